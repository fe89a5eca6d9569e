"""The deploy hook against a real receiver: a process that checks signatures, takes its time, and survives being killed."""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rollbackhub.common.errors import InvalidInput, RollbackHubError, TransientError
from rollbackhub.connectors.base import PermissionMissing, Promise, connector_type
from rollbackhub.connectors.deploy import DeployConnector, DeployTarget
from rollbackhub.connectors.mechanism import Change, Problem, ProblemCode, ProblemFound, Share, VersionRef
from rollbackhub.connectors.secret_refs import SecretMissing
from tests.connectors.deploy_receiver import SECRET, SIGNING, Receiver, running_receiver
from tests.connectors.mlflow_server import Fault, Relay, relay_to
from tests.ports import free_port

WRONG = "whsec_d3Jvbmctc2VjcmV0LW9mLXRoZS10ZXN0cw=="
DEPLOY_SECONDS = 0.4
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    """One for all tests, with services enough; each has v2, the first, at the start."""
    services = [f"--service=agent-{number}=v2,v1,v3" for number in range(1, 60)]
    with running_receiver(tmp_path_factory.mktemp("deployer"), "--deploy-seconds", str(DEPLOY_SECONDS), *services) as found:
        yield found


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SIGNING, SECRET)


@pytest.fixture
def service() -> str:
    """A service of this test's own."""
    return f"agent-{next(_numbers)}"


@pytest.fixture
def relay(receiver: Receiver) -> Iterator[Relay]:
    """A line to the receiver that can lose requests."""
    with relay_to(receiver.port) as found:
        yield found


def connector(address: str, *, timeout_seconds: float = 5, **settings: Any) -> DeployConnector:
    urls = {"deploy_url": f"{address}/deploy", "status_url": f"{address}/services/{{service}}"}
    jobs = {"job_url": f"{address}/jobs", "job_status_url": f"{address}/jobs/{{job_id}}"}
    parsed = DeployConnector.parse_settings({**urls, **jobs, "signing_ref": f"env:{SIGNING}", **settings})
    return DeployConnector(parsed, timeout_seconds=timeout_seconds)


def version(label: str) -> VersionRef:
    return VersionRef(label=label, digest=f"sha256:{label}", uri=f"oci://registry/agent:{label}")


def shares(serving: str, other: str) -> list[Share]:
    return [Share("agent:new", version(serving), 100), Share("agent:old", version(other), 0)]


def back(mechanism: DeployConnector, service: str, *, key: str, before: str = "v2", wanted: str = "v1") -> Any:
    target = DeployTarget(service=service)
    return mechanism.apply(target=target, before=shares(before, wanted), wanted=shares(wanted, before), key=key, reason="lead@x: it evades")


def look(mechanism: DeployConnector, service: str, before: str = "v2", wanted: str = "v1") -> list[Problem]:
    return mechanism.preflight(target=DeployTarget(service=service), before=shares(before, wanted), wanted=shares(wanted, before))


def seen(mechanism: DeployConnector, service: str, wanted: str = "v1") -> Any:
    return mechanism.observe(target=DeployTarget(service=service), wanted=shares(wanted, "v2"))


def everything(mechanism: DeployConnector, service: str) -> list[Callable[[], Any]]:
    return [
        lambda: back(mechanism, service, key=f"{service}:x"),
        lambda: mechanism.plan(target=DeployTarget(service=service), wanted=shares("v1", "v2")),
        lambda: seen(mechanism, service),
    ]


def all_texts(error: BaseException) -> str:
    """What a log would show of it, with the errors behind it."""
    behind = error.__cause__ or error.__context__
    return repr(error) + str(getattr(error, "fields", "")) + (all_texts(behind) if behind else "")


# What it does


def test_apply_is_planned_taken_shown_under_way_and_reached_only_at_its_end(receiver: Receiver, service: str) -> None:
    mechanism = connector(receiver.address)
    assert look(mechanism, service) == []
    assert mechanism.plan(target=DeployTarget(service=service), wanted=shares("v1", "v2")) == [Change(f"service {service}", "v2", "v1")]
    assert receiver.deployments(service) == 0, "looking and pinging deploys nothing"
    before = seen(mechanism, service)
    assert (before.reached, before.found) == (False, "v2")

    done = back(mechanism, service, key=f"{service}:1")

    assert (done.changed, done.revision) == (True, f"deployment {service}:1")
    under_way = seen(mechanism, service)
    assert not under_way.reached, "taken is not deployed"
    assert under_way.found.startswith("v1, still being deployed")
    assert under_way.values["state"] == "running"
    began = time.monotonic()
    Receiver.wait(lambda: seen(mechanism, service).reached)
    assert time.monotonic() - began > DEPLOY_SECONDS / 4
    after = seen(mechanism, service)
    assert (after.found, after.values["version"], after.values["progress"]) == ("v1", "v1", 100)
    assert mechanism.plan(target=DeployTarget(service=service), wanted=shares("v1", "v2")) == []
    assert receiver.deployments(service) == 1


def test_apply_twice_has_one_effect_while_it_runs_and_afterwards(receiver: Receiver, service: str) -> None:
    mechanism = connector(receiver.address)
    assert back(mechanism, service, key=f"{service}:1").changed
    assert not back(mechanism, service, key=f"{service}:1").changed
    Receiver.wait(lambda: seen(mechanism, service).reached)
    assert not back(mechanism, service, key=f"{service}:1").changed
    assert not back(mechanism, service, key=f"{service}:2").changed
    assert receiver.deployments(service) == 1


def test_same_key_is_sent_again_has_one_effect_at_the_receiver_and_another_use_of_it_is_refused(receiver: Receiver, service: str) -> None:
    mechanism = connector(receiver.address)
    message = {"type": "deploy", "service": service, "version": {"label": "v1"}, "key": f"{service}:1", "reason": "first"}
    first = mechanism._caller.post(f"{receiver.address}/deploy", message, key=f"{service}:1")
    again = mechanism._caller.post(f"{receiver.address}/deploy", {**message, "reason": "worded anew"}, key=f"{service}:1")
    assert first == again == {"id": f"{service}:1"}
    with pytest.raises(ProblemFound) as caught:
        mechanism._caller.post(f"{receiver.address}/deploy", {**message, "version": {"label": "v3"}}, key=f"{service}:1")
    assert caught.value.problem.code == ProblemCode.CONFIG_MISMATCH
    assert "HTTP 409" in caught.value.message
    assert receiver.deployments(service) == 1


def test_apply_killed_before_it_is_recorded_has_one_effect_when_resumed(receiver: Receiver, service: str) -> None:
    mechanism = connector(receiver.address)
    child = os.fork()
    if child == 0:
        try:
            back(mechanism, service, key=f"{service}:1")
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    assert receiver.deployments(service) == 1
    assert not back(mechanism, service, key=f"{service}:1").changed
    Receiver.wait(lambda: seen(mechanism, service).reached)
    assert receiver.deployments(service) == 1


def test_observe_after_a_change_behind_our_back_shows_it_and_apply_refuses(receiver: Receiver, service: str) -> None:
    mechanism = connector(receiver.address)
    receiver.deploy(service, "v3", key=f"{service}:somebody")
    found = seen(mechanism, service)
    assert (found.reached, found.found) == (False, "v3")
    [problem] = look(mechanism, service)
    assert (problem.code, problem.expected, problem.found) == (ProblemCode.CONFIG_MISMATCH, "v2", "v3")
    with pytest.raises(ProblemFound) as caught:
        back(mechanism, service, key=f"{service}:1")
    assert caught.value.problem.code == ProblemCode.CONFIG_MISMATCH
    assert receiver.status(service)["version"] == "v3"
    assert receiver.deployments(service) == 1


def test_preflight_finds_a_deployment_under_way_and_apply_leaves_the_choice_to_the_receiver(receiver: Receiver, service: str) -> None:
    mechanism = connector(receiver.address)
    receiver.post("/deploy", {"type": "deploy", "service": service, "version": {"label": "v3"}}, key=f"{service}:release")
    [problem] = look(mechanism, service, before="v3")
    assert (problem.code, problem.expected) == (ProblemCode.CONFIG_MISMATCH, "no deployment under way")
    # Out of a bad release that is still being rolled out: this receiver gives it up.
    assert back(mechanism, service, before="v3", key=f"{service}:1").changed
    Receiver.wait(lambda: seen(mechanism, service).reached)


def test_preflight_when_already_gone_back_says_that_before_is_not_there(receiver: Receiver, service: str) -> None:
    receiver.deploy(service, "v1", key=f"{service}:somebody")
    assert [problem.code for problem in look(connector(receiver.address), service)] == [ProblemCode.CONFIG_MISMATCH]


def test_deployment_that_died_with_the_receiver_is_shown_as_failed_and_another_key_tries_again(tmp_path: Any) -> None:
    with running_receiver(tmp_path, "--deploy-seconds=30", "--service=agent=v2,v1") as own:
        mechanism = connector(own.address)
        back(mechanism, "agent", key="e:1")
        own.kill()
        own.options[0] = "--deploy-seconds=0.2"
        own.start()
        found = seen(mechanism, "agent")
        assert not found.reached
        assert found.found == "v1, and the deployment failed: The deployer was restarted meanwhile."
        assert mechanism.plan(target=DeployTarget(service="agent"), wanted=shares("v1", "v2"))
        back(mechanism, "agent", key="e:1")
        assert own.deployments("agent") == 1, "the same key has one effect, also over a restart"
        assert not seen(mechanism, "agent").reached
        assert back(mechanism, "agent", key="e:2").changed
        Receiver.wait(lambda: seen(mechanism, "agent").reached)
        assert own.deployments("agent") == 2
        own.kill()
        own.start()
        assert seen(mechanism, "agent").reached, "what was deployed survives"


def test_connector_is_registered_and_states_its_promises() -> None:
    assert connector_type("deploy") is DeployConnector
    usual = connector("http://127.0.0.1:1")
    assert (usual.promise, usual.jobs_promise, usual.weighted) == (Promise.IDEMPOTENT, Promise.IDEMPOTENT, False)
    careless = connector("http://127.0.0.1:1", honours_idempotency_key=False)
    assert (careless.promise, careless.jobs_promise) == (Promise.AT_LEAST_ONCE, Promise.AT_LEAST_ONCE)
    assert connector("http://127.0.0.1:1").promise == DeployConnector.promise == Promise.IDEMPOTENT


# What is not there


def test_service_missing_is_flag_moved_everywhere(receiver: Receiver) -> None:
    mechanism = connector(receiver.address)
    problems = look(mechanism, "nobody")
    assert {problem.code for problem in problems} == {ProblemCode.FLAG_MOVED}
    assert "nothing is deployed there by this name" in problems[0].found
    for act in everything(mechanism, "nobody")[:2]:
        with pytest.raises(ProblemFound) as caught:
            act()
        assert caught.value.problem.code == ProblemCode.FLAG_MOVED
    found = seen(mechanism, "nobody")
    assert (found.reached, found.found) == (False, "nothing is deployed there by this name")


def test_version_missing_is_target_retired_beforehand_and_in_apply(receiver: Receiver, service: str) -> None:
    mechanism = connector(receiver.address)
    [problem] = look(mechanism, service, wanted="v0")
    assert problem.code == ProblemCode.TARGET_RETIRED
    assert f"There is no version v0 of {service}." in problem.found
    with pytest.raises(ProblemFound) as caught:
        back(mechanism, service, wanted="v0", key=f"{service}:1")
    assert caught.value.problem.code == ProblemCode.TARGET_RETIRED
    assert (receiver.status(service)["version"], receiver.deployments(service)) == ("v2", 0)


def test_ping_turned_off_knows_less_beforehand(receiver: Receiver, service: str) -> None:
    assert look(connector(receiver.address, ping=False), service, wanted="v0") == []


# Who may


def test_other_secret_is_permission_missing_beforehand_and_deploys_nothing(receiver: Receiver, service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SIGNING, WRONG)
    mechanism = connector(receiver.address)
    [problem] = look(mechanism, service)
    assert problem.code == ProblemCode.PERMISSION_MISSING
    assert "HTTP 401" in problem.found
    with pytest.raises(PermissionMissing) as caught:
        back(mechanism, service, key=f"{service}:1")
    for secret in (SECRET, WRONG, WRONG.removeprefix("whsec_")):
        assert secret not in all_texts(caught.value) + str(problem)
    assert receiver.deployments(service) == 0
    [refused] = mechanism.check_jobs(job="rebaseline")
    assert refused.code == ProblemCode.PERMISSION_MISSING


@pytest.mark.parametrize(
    ("value", "says"), [(None, "is not set"), ("whsec_", "no base64"), ("whsec_not-base64-at-all!", "no base64"), ("whsec_ü", "no base64")]
)
@pytest.mark.parametrize("ping", [True, False])
def test_secret_missing_or_broken_is_said_beforehand(
    receiver: Receiver, service: str, value: str | None, says: str, ping: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if value is None:
        monkeypatch.delenv(SIGNING)
    else:
        monkeypatch.setenv(SIGNING, value)
    mechanism = connector(receiver.address, ping=ping)
    acts: list[Callable[[], Any]] = [lambda: look(mechanism, service), lambda: back(mechanism, service, key="k"), lambda: mechanism.check_jobs(job="x")]
    for act in acts:
        with pytest.raises(SecretMissing) as caught:
            act()
        assert says in caught.value.message
        assert "not-base64-at-all" not in all_texts(caught.value)
    assert seen(mechanism, service).found == "v2", "looking needs no signature"


@pytest.mark.parametrize("token", ["deploy-token\nsecond-line", "deploy token", "déploy"])
def test_bearer_token_that_cannot_be_sent_is_secret_missing_and_not_shown(
    receiver: Receiver, service: str, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_DEPLOY_TOKEN", token)
    mechanism = connector(receiver.address, token_ref="env:TEST_DEPLOY_TOKEN")
    for act in (lambda: look(mechanism, service), *everything(mechanism, service)):
        with pytest.raises(SecretMissing) as caught:
            act()
        assert token not in all_texts(caught.value)


# When it does not answer


def test_receiver_down_is_one_problem_beforehand_and_transient_after(service: str) -> None:
    mechanism = connector(f"http://127.0.0.1:{free_port()}")
    [problem] = look(mechanism, service)
    assert problem.code == ProblemCode.UNREACHABLE
    for act in everything(mechanism, service):
        with pytest.raises(TransientError) as caught:
            act()
        assert caught.value.code == "unreachable"


def test_receiver_too_slow_ends_in_time(receiver: Receiver, relay: Relay, service: str) -> None:
    relay.fault = lambda method, path: "stall"
    mechanism = connector(relay.address, timeout_seconds=0.3)
    started = time.monotonic()
    assert [problem.code for problem in look(mechanism, service)] == [ProblemCode.UNREACHABLE]
    for act in everything(mechanism, service):
        with pytest.raises(TransientError) as caught:
            act()
        assert caught.value.code == "timeout"
    assert time.monotonic() - started < 3
    assert receiver.deployments(service) == 0


@pytest.mark.parametrize(("fault", "done"), [("cut", 0), ("stall", 0), ("lose_answer", 1)])
def test_line_broken_while_it_is_told_is_said_and_the_same_key_tried_again_has_one_effect(
    receiver: Receiver, relay: Relay, service: str, fault: Fault, done: int
) -> None:
    relay.fault = lambda method, path: fault if method == "POST" else "pass"
    mechanism = connector(relay.address, timeout_seconds=1)
    with pytest.raises(TransientError) as caught:
        back(mechanism, service, key=f"{service}:1")
    assert "Whether the deployment of v1 was begun is not known; the next try has the same key" in caught.value.message
    assert receiver.deployments(service) == done
    relay.fault = lambda method, path: "pass"
    back(mechanism, service, key=f"{service}:1")
    Receiver.wait(lambda: seen(mechanism, service).reached)
    assert receiver.deployments(service) == 1


@pytest.mark.parametrize(("fault", "done"), [("cut", 0), ("lose_answer", 1)])
def test_receiver_that_does_not_honour_keys_is_never_asked_again_blindly(receiver: Receiver, relay: Relay, service: str, fault: Fault, done: int) -> None:
    relay.fault = lambda method, path: fault if method == "POST" else "pass"
    mechanism = connector(relay.address, honours_idempotency_key=False)
    with pytest.raises(RollbackHubError) as caught:
        back(mechanism, service, key=f"{service}:1")
    assert not isinstance(caught.value, TransientError), "a transient error would be tried again"
    assert caught.value.code == "effect_unknown"
    assert "is not asked again: look there" in caught.value.message
    assert receiver.deployments(service) == done
    assert [call for call in relay.seen if call[0] == "POST"] == [("POST", "/deploy")]


def test_receiver_that_does_not_honour_keys_and_cannot_be_looked_at_may_be_tried_again(receiver: Receiver, relay: Relay, service: str) -> None:
    relay.fault = lambda method, path: "cut"
    with pytest.raises(TransientError):
        back(connector(relay.address, honours_idempotency_key=False), service, key=f"{service}:1")
    assert [call[0] for call in relay.seen] == ["GET"]


# Settings


@pytest.mark.parametrize(
    "settings",
    [
        {"signing_ref": SECRET},
        {"token_ref": "deploy-token-aB3dE6gH"},
        {"deploy_url": "https://hook:p4ssw0rd-Zx9@deploy.example.com/deploy"},
        {"deploy_url": "https://deploy.example.com/deploy?token=tok-Qw8eR7"},
        {"status_url": "https://deploy.example.com/{service}?apikey=tok-Qw8eR7"},
        {"job_status_url": "https://deploy.example.com/{job_id}?a=1&access_token=tok-Qw8eR7"},
        {"deploy_url": f"https://deploy.example.com/{SECRET}"},
        {"secret": "tok-Qw8eR7"},
    ],
)
def test_secret_in_a_setting_is_refused_and_not_repeated(settings: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as caught:
        connector("https://deploy.example.com", **settings)
    shown = str(caught.value) + str(caught.value.fields)
    for secret in (SECRET, "aB3dE6gH", "p4ssw0rd-Zx9", "tok-Qw8eR7"):
        assert secret not in shown


@pytest.mark.parametrize("service", ["whsec_d3Jvbmctc2VjcmV0LW9mLXRoZS10ZXN0cw", "", "../admin", "a/b", "a b", "x" * 200])
def test_service_name_that_is_a_secret_or_no_name_is_refused(service: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        DeployConnector.parse_target({"service": service})
    assert "d3Jvbmctc2VjcmV0" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"status_url": "http://127.0.0.1/services"}, "status_url must have {service} in it once"),
        ({"status_url": "http://127.0.0.1/{service}/{key}"}, "status_url must have {service} in it once"),
        ({"deploy_url": "http://127.0.0.1/{service}"}, "deploy_url must have nothing in braces"),
        ({"job_url": ""}, "both job_url and job_status_url"),
        ({"job_status_url": "http://127.0.0.1/jobs"}, "job_status_url must have {job_id} in it once"),
        ({"deploy_url": "ftp://127.0.0.1/deploy"}, "deploy_url"),
        ({"deploy_url": ""}, "deploy_url"),
        ({"retries": 3}, "retries"),
    ],
)
def test_settings_that_cannot_work_are_refused_with_what_is_wrong(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidInput, match=says.replace("{", r"\{")):
        connector("http://127.0.0.1", **settings)
