"""The MLflow mechanism against real MLflow servers: one that is open to everybody, and one with MLflow's own users."""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rollbackhub.common.errors import InvalidInput, RollbackHubError, TransientError, Unavailable
from rollbackhub.connectors.base import PermissionMissing, Promise, connector_type
from rollbackhub.connectors.mechanism import Problem, ProblemCode, ProblemFound, Share, VersionRef
from rollbackhub.connectors.mlflow import MlflowConnector, MlflowTarget
from rollbackhub.connectors.secret_refs import SecretMissing
from tests.connectors.mlflow_server import ADMIN, Fault, MlflowServer, Relay, relay_to, shared_mlflow
from tests.ports import free_port

READER = ("reader", "mlflow-reader-bX7pL2")
EDITOR = ("editor", "mlflow-editor-cV5wN8")
SECRETS = [ADMIN[1], READER[1], EDITOR[1], "mlflow-token-dT6yR4"]
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """One folder for all workers of this run."""
    base = tmp_path_factory.getbasetemp()
    return (base if worker_id == "master" else base.parent) / "mlflow"


@pytest.fixture(scope="session")
def open_server(run_folder: Path) -> Iterator[MlflowServer]:
    """MLflow as `mlflow server` starts it: everybody may do everything."""
    with shared_mlflow(run_folder / "open", auth=False) as server:
        yield server


@pytest.fixture(scope="session")
def auth_server(run_folder: Path) -> Iterator[MlflowServer]:
    """MLflow with `--app-name basic-auth`, and two users in it."""
    with shared_mlflow(run_folder / "auth", auth=True) as server:
        for name, password in (READER, EDITOR):
            status, text = server.call("POST", "/api/2.0/mlflow/users/create", {"username": name, "password": password})
            assert status == 200 or "RESOURCE_ALREADY_EXISTS" in text, text
        yield server


@pytest.fixture
def relay(open_server: MlflowServer) -> Iterator[Relay]:
    """A line to the open server that can lose requests."""
    with relay_to(open_server.port) as found:
        yield found


@pytest.fixture
def name() -> str:
    """A model of this test's own: workers share the server."""
    return f"support-answers-{os.getpid()}-{next(_numbers)}"


def connector(address: str, *, timeout_seconds: float = 20, **settings: Any) -> MlflowConnector:
    parsed = MlflowConnector.parse_settings({"address": address, **settings})
    return MlflowConnector(parsed, timeout_seconds=timeout_seconds)


def target_of(name: str) -> MlflowTarget:
    return MlflowTarget(model=name, alias="production")


def version(name: str, number: int, scheme: str = "models") -> VersionRef:
    return VersionRef(label=f"2026.11.{number}", digest=f"sha256:{number}", uri=f"{scheme}:/{name}/{number}")


def shares(name: str, serving: int, other: int) -> list[Share]:
    return [Share("openai:gpt:eu", version(name, serving), 100), Share("openai:gpt:us", version(name, other), 0)]


def made(server: MlflowServer, name: str, *, at: int = 2, **options: Any) -> MlflowTarget:
    """The model with versions 1 to 3 and the alias at one of them."""
    server.make_model(name, **options)
    server.set_alias(name, "production", at)
    return target_of(name)


def flip(mechanism: MlflowConnector, name: str, before: int = 2, wanted: int = 1, key: str = "e1:s1") -> Any:
    return mechanism.apply(
        target=target_of(name), before=shares(name, before, wanted), wanted=shares(name, wanted, before), key=key, reason="lead@x: wrong tone"
    )


def look(mechanism: MlflowConnector, name: str, before: int = 2, wanted: int = 1) -> list[Problem]:
    return mechanism.preflight(target=target_of(name), before=shares(name, before, wanted), wanted=shares(name, wanted, before))


def codes(problems: list[Problem]) -> list[ProblemCode]:
    assert not any(secret in str(problems) for secret in SECRETS), problems
    return [problem.code for problem in problems]


def stranger(password: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("TEST_MLFLOW_LOGIN", password)
    return "env:TEST_MLFLOW_LOGIN"


# What it does


@pytest.mark.parametrize(("prompt", "scheme"), [(False, "models"), (True, "prompts"), (True, "models")])
def test_flip_of_alias_is_planned_applied_and_observed(open_server: MlflowServer, name: str, prompt: bool, scheme: str) -> None:
    target = made(open_server, name, prompt=prompt)
    before, wanted = [Share("a", version(name, 2, scheme), 100)], [Share("a", version(name, 1, scheme), 100)]
    mechanism = connector(open_server.address)
    assert mechanism.preflight(target=target, before=before, wanted=wanted) == []
    [change] = mechanism.plan(target=target, wanted=wanted)
    assert (change.subject, change.before, change.after) == (f"alias production of {name}", "version 2", "version 1")
    assert open_server.alias(name, "production") == "2"
    seen = mechanism.observe(target=target, wanted=wanted)
    assert not seen.reached
    assert seen.found.endswith("at version 2")

    done = mechanism.apply(target=target, before=before, wanted=wanted, key="e:1", reason="why")

    assert (done.changed, done.revision) == (True, f"{name}/1")
    assert open_server.alias(name, "production") == "1"
    assert mechanism.observe(target=target, wanted=wanted).reached
    assert mechanism.observe(target=target, wanted=wanted).values == {"model": name, "alias": "production", "wanted": "1", "found": "1"}
    assert mechanism.plan(target=target, wanted=wanted) == []


def test_apply_twice_has_one_effect(open_server: MlflowServer, name: str) -> None:
    made(open_server, name)
    mechanism = connector(open_server.address)
    assert flip(mechanism, name).changed
    again = flip(mechanism, name)
    assert not again.changed
    assert again.revision == f"{name}/1"
    assert open_server.changes(name) == [2, 1]


def test_apply_leaves_other_aliases_where_they_are(open_server: MlflowServer, name: str) -> None:
    made(open_server, name)
    open_server.set_alias(name, "staging", 3)
    flip(connector(open_server.address), name)
    assert (open_server.alias(name, "production"), open_server.alias(name, "staging")) == ("1", "3")


def test_apply_killed_before_it_is_recorded_has_one_effect_when_resumed(open_server: MlflowServer, name: str) -> None:
    made(open_server, name)
    mechanism = connector(open_server.address)
    child = os.fork()
    if child == 0:
        try:
            flip(mechanism, name)
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    assert open_server.changes(name) == [2, 1]
    assert not flip(mechanism, name).changed
    assert open_server.changes(name) == [2, 1]


def test_observe_after_a_change_behind_our_back_shows_it_and_apply_refuses(open_server: MlflowServer, name: str) -> None:
    target = made(open_server, name)
    mechanism = connector(open_server.address)
    flip(mechanism, name)
    open_server.set_alias(name, "production", 3)
    seen = mechanism.observe(target=target, wanted=shares(name, 1, 2))
    assert not seen.reached
    assert seen.values["found"] == "3"
    with pytest.raises(ProblemFound) as caught:
        flip(mechanism, name)
    assert caught.value.problem.code == ProblemCode.CONFIG_MISMATCH
    assert "version 3" in caught.value.message
    assert open_server.changes(name) == [2, 1, 3]
    assert codes(look(mechanism, name)) == [ProblemCode.CONFIG_MISMATCH]


def test_served_names_have_mlflows_own(name: str) -> None:
    mechanism = connector("http://127.0.0.1:1")
    assert mechanism.served_names(target=target_of(name), version=version(name, 3)) == ["2026.11.3", "sha256:3", "3", f"{name}/3"]
    assert mechanism.served_names(target=target_of(name), version=VersionRef(label="x", uri="git:abc")) == ["x"]


def test_settle_seconds_is_the_clients_cache(name: str) -> None:
    assert connector("http://127.0.0.1:1").settle_seconds(target=target_of(name)) == 60
    assert connector("http://127.0.0.1:1", client_cache_seconds=5).settle_seconds(target=target_of(name)) == 5
    assert (MlflowConnector.promise, MlflowConnector.weighted) == (Promise.CONVERGENT, False)
    assert connector_type("mlflow") is MlflowConnector


# What is not there


def test_model_missing_is_flag_moved_everywhere(open_server: MlflowServer, name: str) -> None:
    mechanism = connector(open_server.address)
    assert codes(look(mechanism, name)) == [ProblemCode.FLAG_MOVED, ProblemCode.TARGET_RETIRED]
    for act in (lambda: flip(mechanism, name), lambda: mechanism.plan(target=target_of(name), wanted=shares(name, 1, 2))):
        with pytest.raises(ProblemFound) as caught:
            act()
        assert caught.value.problem.code == ProblemCode.FLAG_MOVED
    seen = mechanism.observe(target=target_of(name), wanted=shares(name, 1, 2))
    assert not seen.reached
    assert seen.found == f"no model or prompt {name}"


def test_alias_missing_is_flag_moved_and_not_made(open_server: MlflowServer, name: str) -> None:
    open_server.make_model(name)
    mechanism = connector(open_server.address)
    assert codes(look(mechanism, name)) == [ProblemCode.FLAG_MOVED]
    with pytest.raises(ProblemFound) as caught:
        flip(mechanism, name)
    assert caught.value.problem.code == ProblemCode.FLAG_MOVED
    assert open_server.alias(name, "production") is None
    assert mechanism.observe(target=target_of(name), wanted=shares(name, 1, 2)).found == f"no alias production of {name}"


def test_version_deleted_there_is_target_retired_and_nothing_moves(open_server: MlflowServer, name: str) -> None:
    made(open_server, name)
    open_server.must("DELETE", "/api/2.0/mlflow/model-versions/delete", {"name": name, "version": "1"})
    mechanism = connector(open_server.address)
    assert codes(look(mechanism, name)) == [ProblemCode.TARGET_RETIRED]
    with pytest.raises(ProblemFound) as caught:
        flip(mechanism, name)
    assert caught.value.problem.code == ProblemCode.TARGET_RETIRED
    assert open_server.alias(name, "production") == "2"


def test_version_deleted_between_look_and_set_is_target_retired(open_server: MlflowServer, relay: Relay, name: str) -> None:
    made(open_server, name)

    def delete_first(method: str, path: str) -> Fault:
        if method == "POST":
            open_server.must("DELETE", "/api/2.0/mlflow/model-versions/delete", {"name": name, "version": "1"})
        return "pass"

    relay.fault = delete_first
    with pytest.raises(ProblemFound) as caught:
        flip(connector(relay.address), name)
    assert caught.value.problem.code == ProblemCode.TARGET_RETIRED
    assert open_server.alias(name, "production") == "2"


def test_version_whose_registration_failed_is_target_retired(open_server: MlflowServer, name: str) -> None:
    made(open_server, name)
    open_server.set_status(name, 1, "FAILED_REGISTRATION")
    mechanism = connector(open_server.address)
    [problem] = look(mechanism, name)
    assert problem.code == ProblemCode.TARGET_RETIRED
    assert "FAILED_REGISTRATION" in problem.found
    with pytest.raises(ProblemFound):
        flip(mechanism, name)
    assert open_server.alias(name, "production") == "2"


@pytest.mark.parametrize("uri", ["", "git:abc", "models:/NAME", "models:/NAME/latest", "models:/NAME/0", "models:/NAME@production", "models:/other-model/1"])
def test_version_without_its_number_here_is_refused_with_what_is_wanted(open_server: MlflowServer, name: str, uri: str) -> None:
    target = made(open_server, name)
    wanted = [Share("a", VersionRef(label="v7", uri=uri.replace("NAME", name)), 100)]
    mechanism = connector(open_server.address)
    [problem] = mechanism.preflight(target=target, before=shares(name, 2, 1), wanted=wanted)
    assert problem.code == ProblemCode.CONFIG_MISMATCH
    assert name in problem.expected
    with pytest.raises(ProblemFound):
        mechanism.apply(target=target, before=shares(name, 2, 1), wanted=wanted, key="k", reason="")
    assert open_server.changes(name) == [2]


# Who may


def test_reader_is_found_by_preflight_and_refused_by_apply(auth_server: MlflowServer, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made(auth_server, name)
    mechanism = connector(auth_server.address, login_ref=stranger(":".join(READER), monkeypatch))
    [problem] = look(mechanism, name)
    assert (problem.code, problem.found) == (ProblemCode.PERMISSION_MISSING, "READ for reader")
    assert auth_server.changes(name) == [2]
    with pytest.raises(PermissionMissing) as caught:
        flip(mechanism, name)
    assert READER[1] not in str(caught.value)
    assert auth_server.changes(name) == [2]
    assert not mechanism.observe(target=target_of(name), wanted=shares(name, 1, 2)).reached


@pytest.mark.parametrize("prompt", [False, True])
def test_editor_may(auth_server: MlflowServer, name: str, prompt: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    made(auth_server, name, prompt=prompt)
    mechanism = connector(auth_server.address, login_ref=stranger(":".join(EDITOR), monkeypatch))
    [problem] = look(mechanism, name)
    assert problem.code == ProblemCode.PERMISSION_MISSING, problem
    auth_server.grant(name, "editor", "EDIT", prompt=prompt)
    assert look(mechanism, name) == []
    assert flip(mechanism, name).changed
    assert auth_server.changes(name) == [2, 1]


@pytest.mark.parametrize("prompt", [False, True])
def test_administrator_may(auth_server: MlflowServer, name: str, tmp_path: Path, prompt: bool) -> None:
    made(auth_server, name, prompt=prompt)
    (tmp_path / "login").write_text(":".join(ADMIN) + "\n")
    mechanism = connector(auth_server.address, login_ref=f"file:{tmp_path}/login")
    assert look(mechanism, name) == []
    assert flip(mechanism, name).changed


@pytest.mark.parametrize("login", ["none", "wrong password", "token"])
def test_login_that_is_not_accepted_is_one_permission_missing(auth_server: MlflowServer, name: str, login: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made(auth_server, name)
    field, value = {"none": ("", ""), "wrong password": ("login_ref", "reader:" + SECRETS[3]), "token": ("token_ref", SECRETS[3])}[login]
    settings: dict[str, Any] = {field: stranger(value, monkeypatch)} if field else {}
    mechanism = connector(auth_server.address, **settings)
    assert codes(look(mechanism, name)) == [ProblemCode.PERMISSION_MISSING]
    for act in (lambda: flip(mechanism, name), lambda: mechanism.observe(target=target_of(name), wanted=shares(name, 1, 2))):
        with pytest.raises(PermissionMissing) as caught:
            act()
        assert SECRETS[3] not in str(caught.value)
    assert auth_server.changes(name) == [2]


@pytest.mark.parametrize("value", [None, "no-colon-in-it"])
def test_login_missing_or_not_in_its_form_is_secret_missing(auth_server: MlflowServer, name: str, value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEST_MLFLOW_LOGIN", raising=False)
    reference = "env:TEST_MLFLOW_LOGIN" if value is None else stranger(value, monkeypatch)
    mechanism = connector(auth_server.address, login_ref=reference)
    for act in (lambda: look(mechanism, name), lambda: flip(mechanism, name), lambda: mechanism.observe(target=target_of(name), wanted=shares(name, 1, 2))):
        with pytest.raises(SecretMissing) as caught:
            act()
        assert "no-colon" not in str(caught.value)


# When it does not answer


def everything(mechanism: MlflowConnector, name: str) -> list[Callable[[], Any]]:
    wanted = shares(name, 1, 2)
    return [
        lambda: flip(mechanism, name),
        lambda: mechanism.plan(target=target_of(name), wanted=wanted),
        lambda: mechanism.observe(target=target_of(name), wanted=wanted),
    ]


def test_server_down_is_one_problem_beforehand_and_transient_after(name: str) -> None:
    mechanism = connector(f"http://127.0.0.1:{free_port()}")
    [problem] = look(mechanism, name)
    assert problem.code == ProblemCode.UNREACHABLE
    for act in everything(mechanism, name):
        with pytest.raises(TransientError) as caught:
            act()
        assert caught.value.code == "unreachable"


def test_server_too_slow_ends_in_time(open_server: MlflowServer, relay: Relay, name: str) -> None:
    made(open_server, name)
    relay.fault = lambda method, path: "stall"
    mechanism = connector(relay.address, timeout_seconds=0.3)
    started = time.monotonic()
    assert codes(look(mechanism, name)) == [ProblemCode.UNREACHABLE]
    for act in everything(mechanism, name):
        with pytest.raises(TransientError) as caught:
            act()
        assert caught.value.code == "timeout"
    assert time.monotonic() - started < 3
    assert open_server.changes(name) == [2]


@pytest.mark.parametrize(("fault", "done"), [("cut", False), ("stall", False), ("lose_answer", True)])
def test_line_broken_while_the_alias_is_set_is_said_and_a_retry_converges(open_server: MlflowServer, relay: Relay, name: str, fault: Fault, done: bool) -> None:
    made(open_server, name)
    relay.fault = lambda method, path: fault if method == "POST" else "pass"
    mechanism = connector(relay.address, timeout_seconds=5)
    with pytest.raises(TransientError) as caught:
        flip(mechanism, name)
    assert "is not known" in caught.value.message
    assert open_server.changes(name) == ([2, 1] if done else [2])
    relay.fault = lambda method, path: "pass"
    assert flip(mechanism, name).changed is not done
    assert open_server.changes(name) == [2, 1]


def test_something_else_at_the_address_is_unreachable_and_not_a_missing_model(open_server: MlflowServer, name: str) -> None:
    made(open_server, name)
    mechanism = connector(open_server.address + "/not-here")
    [problem] = look(mechanism, name)
    assert problem.code == ProblemCode.UNREACHABLE
    assert "not as MLflow does" in problem.found
    with pytest.raises(Unavailable):
        flip(mechanism, name)


def test_host_that_may_not_be_called_is_permission_missing(name: str) -> None:
    mechanism = connector("http://mlflow.example.com:5000")
    [problem] = look(mechanism, name)
    assert problem.code == ProblemCode.PERMISSION_MISSING
    assert "OUTBOUND_ALLOWED_HOSTS" in problem.remedy
    with pytest.raises(RollbackHubError) as caught:
        flip(mechanism, name)
    assert caught.value.code == "outbound_refused"


# What a person may write


@pytest.mark.parametrize(
    "settings",
    [
        {"address": "http://127.0.0.1:5000", "token": "mlflow-token-dT6yR4"},
        {"address": "http://127.0.0.1:5000", "password": "mlflow-token-dT6yR4"},
        {"address": "http://127.0.0.1:5000", "token_ref": "mlflow-token-dT6yR4"},
        {"address": "http://127.0.0.1:5000", "login_ref": "admin:mlflow-token-dT6yR4"},
        {"address": "http://admin:mlflow-token-dT6yR4@127.0.0.1:5000"},
        {"address": "http://mlflow-token-dT6yR4@127.0.0.1:5000"},
        {"address": "http://127.0.0.1:5000?token=mlflow-token-dT6yR4"},
    ],
)
def test_secret_in_a_setting_is_refused_and_not_repeated(settings: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as caught:
        MlflowConnector.parse_settings(settings)
    assert "dT6yR4" not in str(caught.value) + str(caught.value.fields)


@pytest.mark.parametrize(
    "target", [{"model": "m", "alias": "production", "token": "hf_abcdefghijklmnopqrstuvwx"}, {"model": "ghp_abcdefghijklmnopqrstuvwxyz", "alias": "a"}]
)
def test_secret_in_a_target_is_refused_and_not_repeated(target: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as caught:
        MlflowConnector.parse_target(target)
    assert "abcdefghijklmnop" not in str(caught.value) + str(caught.value.fields)


@pytest.mark.parametrize(
    "settings",
    [{}, {"address": "ftp://x"}, {"address": "http://"}, {"address": "http://h", "login_ref": "env:A", "token_ref": "env:B"}, {"address": "http://h", "x": 1}],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        MlflowConnector.parse_settings(settings)


@pytest.mark.parametrize("alias", ["latest", "Latest", "v1", "V22", "", "a b", "a/b"])
def test_alias_that_mlflow_would_refuse_is_refused(open_server: MlflowServer, name: str, alias: str) -> None:
    open_server.make_model(name, versions=1)
    status, _ = open_server.call("POST", "/api/2.0/mlflow/registered-models/alias", {"name": name, "alias": alias, "version": "1"})
    assert status == 400
    with pytest.raises(InvalidInput):
        MlflowConnector.parse_target({"model": name, "alias": alias})
