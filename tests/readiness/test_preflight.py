"""The continuous preflight: each thing that can be wrong is a finding, and closes by itself when it is mended."""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from rollbackhub.audit.models import AuditEvent
from rollbackhub.common import clock
from rollbackhub.common.clock import now
from rollbackhub.executions.models import Procedure
from rollbackhub.readiness.domain import looking, preflight
from rollbackhub.readiness.domain.compute import judge_now
from rollbackhub.readiness.enums import RunState
from rollbackhub.readiness.models import PreflightFinding, PreflightRun
from rollbackhub.registry.enums import Lifecycle
from rollbackhub.registry.models import Artefact, Connection, Environment, Version
from rollbackhub.routing.models import Gateway, PolicyRevision, RoutingPolicy, RoutingState
from tests.factories.registry import ConnectionFactory
from tests.factories.routing import BAD, GOOD, GatewayFactory, RoutingPolicyFactory, candidate_id
from tests.readiness.conftest import Run
from tests.readiness.fake_systems import METRICS, Systems, flip

pytestmark = pytest.mark.usefixtures("aliases")

Change = Callable[[Systems, Environment], None]


def the_run(environment: Environment) -> PreflightRun:
    return PreflightRun.objects.get(environment=environment)


def test_nothing_wrong_finds_nothing_and_reads_each_system_once(systems: Systems, environment: Environment, run: Run) -> None:
    before = now()
    assert run() == set()
    assert sorted(systems.calls) == sorted(["metrics", *(f"gateway-{number} {path}" for number in (1, 2) for path in ("/config_dump", "/stats"))])
    found = the_run(environment)
    assert (found.state, found.paths, found.skipped, found.claimed_until) == (RunState.DONE, 3, [], None)
    assert found.started_at is not None
    assert found.finished_at is not None
    assert before <= found.started_at <= found.finished_at
    assert dt.timedelta(minutes=53) < found.due_at - now() < dt.timedelta(minutes=67)


def moved(systems: Systems, environment: Environment) -> None:
    systems.routes["gateway-1"]["beta"] = {candidate_id(BAD): 60, candidate_id(GOOD): 40}


def own_table(systems: Systems, environment: Environment) -> None:
    moved(systems, environment)
    systems.version["gateway-1"] = None


def alias_gone(systems: Systems, environment: Environment) -> None:
    systems.routes["gateway-2"]["beta-new"] = systems.routes["gateway-2"].pop("beta")


def retired(systems: Systems, environment: Environment) -> None:
    flip(RoutingPolicy.objects.get(alias="beta"), {BAD: 100, GOOD: 0})
    systems.follow(environment, "gateway-1", "gateway-2")
    Version.objects.filter(artefact__policies__alias="beta", label=GOOD).update(lifecycle=Lifecycle.RETIRED)


def cluster_gone(systems: Systems, environment: Environment) -> None:
    for node in ("gateway-1", "gateway-2"):
        del systems.clusters[node][candidate_id(GOOD)]


def cluster_failing(systems: Systems, environment: Environment) -> None:
    systems.clusters["gateway-2"][candidate_id(GOOD)] = (2, 0)


def admin_refuses(systems: Systems, environment: Environment) -> None:
    systems.status["gateway-1"] = 403


def admin_broken(systems: Systems, environment: Environment) -> None:
    systems.status["gateway-1"] = 503


def metrics_refuse(systems: Systems, environment: Environment) -> None:
    systems.status["metrics"] = 401


def metrics_down(systems: Systems, environment: Environment) -> None:
    systems.status["metrics"] = 500


def metrics_other(systems: Systems, environment: Environment) -> None:
    systems.metrics = "<html>sign in</html>"


def series_missing(systems: Systems, environment: Environment) -> None:
    systems.metrics = "\n".join(line for line in systems.metrics.split("\n") if 'alias="beta"' not in line) + "\n"


def feedback_missing(systems: Systems, environment: Environment) -> None:
    systems.metrics = "\n".join(line for line in systems.metrics.split("\n") if not ('alias="beta"' in line and METRICS[1] in line)) + "\n"


def silent(systems: Systems, environment: Environment) -> None:
    Gateway.objects.filter(node_id="gateway-2").update(last_seen_at=now() - dt.timedelta(minutes=5))


def behind(systems: Systems, environment: Environment) -> None:
    Gateway.objects.filter(node_id="gateway-2").update(applied_number=0)


def refused(systems: Systems, environment: Environment) -> None:
    Gateway.objects.filter(node_id="gateway-2").update(refused_number=1, refusal="unknown cluster", applied_number=0)


def unknown_gateway(systems: Systems, environment: Environment) -> None:
    GatewayFactory(environment=environment, node_id="gateway-9", applied_number=99)


def no_connection(systems: Systems, environment: Environment) -> None:
    Connection.objects.filter(environment=environment, connector="envoy").delete()


def bad_connection(systems: Systems, environment: Environment) -> None:
    Connection.objects.filter(environment=environment, connector="envoy").update(settings={"admins": {"gateway-1": "nowhere"}})


def runbook_gone(systems: Systems, environment: Environment) -> None:
    problem = "https://wiki/runbook answered 404: there is no runbook."
    Procedure.objects.filter(change_type="model", connector="").update(runbook_url="https://wiki/runbook", runbook_problem=problem)


def probe_not_allowed(systems: Systems, environment: Environment) -> None:
    probe = {"kind": "probe", "key": "answer", "url": "http://gateway.example/health"}
    Artefact.objects.filter(policies__alias="beta").update(checks=[probe])


EVERY = ("alpha", "beta", "gamma")
WRONG: list[tuple[Change, set[tuple[str, str | None, str]], str]] = [
    (moved, {("config_mismatch", "beta", "gateway gateway-1")}, f"{candidate_id(BAD)} 60 %"),
    (own_table, {("config_mismatch", "beta", "gateway gateway-1")}, "a table of its own, not the hub's"),
    (alias_gone, {("flag_moved", "beta", "gateway gateway-2")}, "routes for alpha, beta-new, gamma"),
    (retired, {("target_retired", "beta", f"version {GOOD}")}, "retired"),
    (cluster_gone, {("unreachable", alias, f"version {GOOD} at gateway gateway-{n}") for alias in EVERY for n in (1, 2)}, f"no cluster {candidate_id(GOOD)}"),
    (cluster_failing, {("unreachable", alias, f"version {GOOD} at gateway gateway-2") for alias in EVERY}, "2 failing hosts"),
    (admin_refuses, {("permission_missing", None, "gateway gateway-1")}, "HTTP 403"),
    (admin_broken, {("unreachable", None, "gateway gateway-1")}, "answered 503"),
    (metrics_refuse, {("permission_missing", None, "metrics endpoint")}, "HTTP 401"),
    (metrics_down, {("unreachable", None, "metrics endpoint")}, "answered 500"),
    (metrics_other, {("unreachable", None, "metrics endpoint")}, "not answer in the Prometheus text format"),
    (series_missing, {("config_mismatch", "beta", "metrics endpoint")}, "no llm_requests_total"),
    (feedback_missing, {("config_mismatch", "beta", "metrics endpoint")}, "no llm_negative_feedback_total for beta in staging"),
    (silent, {("flag_moved", None, "gateway gateway-2 and the hub")}, "has not asked lately"),
    (behind, {("config_mismatch", None, "gateway gateway-2 and its revision")}, "still at 0"),
    (refused, {("config_mismatch", None, "gateway gateway-2 and its routes")}, "refused: unknown cluster"),
    (unknown_gateway, {("config_mismatch", None, "gateway gateway-9")}, "none"),
    (no_connection, {("config_mismatch", None, "connections of staging")}, "none"),
    (bad_connection, {("config_mismatch", None, "connections of staging")}, "must look like"),
    (probe_not_allowed, {("config_mismatch", "beta", "probe answer")}, "may not call gateway.example"),
    (runbook_gone, {("docs_stale", alias, "runbook of Model: route weight shift") for alias in EVERY}, "answered 404"),
]


def mend(systems: Systems, environment: Environment) -> None:
    """As it was at first."""
    systems.status.clear()
    Version.objects.filter(lifecycle=Lifecycle.RETIRED).update(lifecycle=Lifecycle.ARCHIVED)
    Procedure.objects.update(runbook_problem="")
    Artefact.objects.update(checks=None)
    Connection.objects.all().delete()
    Gateway.objects.filter(node_id="gateway-9").delete()
    systems.connect(environment, "gateway-1", "gateway-2")
    Gateway.objects.update(last_seen_at=now(), refused_number=None, refusal="")


@pytest.mark.parametrize(("spoil", "wanted", "words"), WRONG, ids=[entry[0].__name__ for entry in WRONG])
def test_each_thing_that_is_wrong_is_named_and_closes_by_itself(
    spoil: Change, wanted: set[tuple[str, str | None, str]], words: str, systems: Systems, environment: Environment, run: Run
) -> None:
    assert run() == set()
    spoil(systems, environment)
    revisions = PolicyRevision.objects.count()
    assert run() == wanted
    first = {finding.pk: finding for finding in PreflightFinding.objects.all()}
    assert all(words in finding.found for finding in first.values()), [finding.found for finding in first.values()]
    assert all(finding.remedy and finding.expected for finding in first.values())
    assert the_run(environment).due_at - now() < dt.timedelta(minutes=2), "what is mended shall close soon"
    assert run() == wanted
    for finding in PreflightFinding.objects.all():
        assert finding.first_seen_at == first[finding.pk].first_seen_at
        assert finding.last_seen_at > first[finding.pk].last_seen_at
    mend(systems, environment)
    assert run() == set()
    assert PreflightFinding.objects.filter(closed_at=None).count() == 0 < PreflightFinding.objects.count() == len(wanted)
    assert the_run(environment).state == RunState.DONE
    assert PolicyRevision.objects.count() == revisions, "it looks and never acts"


def test_finding_that_comes_back_is_a_new_one(systems: Systems, environment: Environment, run: Run) -> None:
    for _ in range(2):
        moved(systems, environment)
        assert len(run()) == 1
        mend(systems, environment)
        assert run() == set()
    assert PreflightFinding.objects.count() == 2
    assert PreflightFinding.objects.filter(closed_at=None).count() == 0


def test_gateway_that_cannot_be_read_closes_nothing_of_its_own_and_the_others_are_compared(systems: Systems, environment: Environment, run: Run) -> None:
    for node in ("gateway-1", "gateway-2"):
        systems.routes[node]["beta"] = {candidate_id(BAD): 60, candidate_id(GOOD): 40}
        systems.clusters[node][candidate_id(GOOD)] = (1, 0)
    assert len(run()) == 2 + 6
    systems.follow(environment, "gateway-1", "gateway-2")
    systems.status["gateway-2"] = 503
    systems.routes["gateway-1"]["gamma"] = {candidate_id(BAD): 10, candidate_id(GOOD): 90}
    assert run() == {
        ("unreachable", None, "gateway gateway-2"),
        ("config_mismatch", "beta", "gateway gateway-2"),
        ("config_mismatch", "gamma", "gateway gateway-1"),
        *(("unreachable", alias, f"version {GOOD} at gateway gateway-2") for alias in EVERY),
    }
    found = the_run(environment)
    assert found.state == RunState.INCOMPLETE
    assert [line.partition(":")[0] for line in found.skipped] == ["Routes and clusters of gateway gateway-2"]
    systems.status.clear()
    systems.follow(environment, "gateway-1", "gateway-2")
    assert run() == set()


def test_metrics_that_cannot_be_read_close_nothing_about_the_aliases(systems: Systems, environment: Environment, run: Run) -> None:
    series_missing(systems, environment)
    run()
    metrics_down(systems, environment)
    assert run() == {("config_mismatch", "beta", "metrics endpoint"), ("unreachable", None, "metrics endpoint")}
    assert the_run(environment).skipped == [f"Metrics of each alias: http://127.0.0.1:{systems.port}/metrics answered 500."]
    systems.status.clear()
    assert run() == {("config_mismatch", "beta", "metrics endpoint")}


def test_without_an_envoy_connection_nothing_of_the_gateways_closes(systems: Systems, environment: Environment, run: Run) -> None:
    moved(systems, environment)
    silent(systems, environment)
    before = run()
    assert len(before) == 2
    no_connection(systems, environment)
    assert run() == before | {("config_mismatch", None, "connections of staging")}


def test_gateway_in_the_middle_of_a_flip_is_no_finding(
    systems: Systems, environment: Environment, aliases: list[RoutingPolicy], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first look reads the hub before a flip and the gateways after it; at the second all is right."""
    new = {candidate_id(BAD): 0, candidate_id(GOOD): 100}

    def flipped_meanwhile(path: str) -> None:
        systems.routes["gateway-1"]["beta"] = systems.routes["gateway-2"]["beta"] = new

    def between(seconds: float) -> None:
        flip(aliases[1], {BAD: 0, GOOD: 100})
        systems.follow(environment, "gateway-1", "gateway-2")

    systems.before_answer = flipped_meanwhile
    monkeypatch.setattr(clock, "sleep", between)
    assert run() == set()
    assert systems.calls.count("gateway-1 /config_dump") == 2
    assert the_run(environment).state == RunState.DONE


def test_policy_flipped_during_the_second_look_is_neither_opened_nor_closed(
    systems: Systems, environment: Environment, aliases: list[RoutingPolicy], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved(systems, environment)
    known = run()
    assert len(known) == 1
    systems.routes["gateway-1"]["alpha"] = {candidate_id(BAD): 50, candidate_id(GOOD): 50}
    real, looks = looking.look_at, []

    def look_and_flip(**wanted: Any) -> Any:
        seen = real(**wanted)
        looks.append(seen)
        if len(looks) == 2:
            for policy in aliases:
                flip(policy, {BAD: 10, GOOD: 90})
            Gateway.objects.update(applied_number=RoutingState.objects.get(environment=environment).number)
        return seen

    monkeypatch.setattr(preflight, "look_at", look_and_flip)
    assert run() == known
    monkeypatch.setattr(preflight, "look_at", real)
    assert ("config_mismatch", "alpha", "gateway gateway-1") in run()


def test_change_of_what_is_found_is_recorded_and_an_unchanged_run_is_not(systems: Systems, environment: Environment, run: Run) -> None:
    def events() -> list[dict[str, Any]]:
        return list(AuditEvent.objects.filter(event="preflight.findings_changed").order_by("id").values_list("data", flat=True))

    run()
    assert events() == []
    moved(systems, environment)
    run()
    run()
    assert events() == [{"environment": "staging", "opened": 1, "closed": 0, "open": 1}]
    mend(systems, environment)
    run()
    assert events()[1:] == [{"environment": "staging", "opened": 0, "closed": 1, "open": 0}]


def test_finding_makes_its_alias_not_ready_and_no_other(systems: Systems, environment: Environment, aliases: list[RoutingPolicy], run: Run) -> None:
    moved(systems, environment)
    run()
    codes = {policy.alias: judge_now(policy)[1].codes for policy in RoutingPolicy.objects.select_related("environment", "artefact")}
    assert "config_mismatch" in codes["beta"]
    assert "config_mismatch" not in codes["alpha"] + codes["gamma"]
    assert "not_checked" not in codes["alpha"]


def test_gateway_that_answers_too_late_is_listed_and_is_no_finding(
    systems: Systems, environment: Environment, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole run has a deadline; what was not read is not judged."""
    moved(systems, environment)
    run()
    monkeypatch.setattr(preflight, "RUN_SECONDS", 0.3)
    systems.before_answer = lambda path: time.sleep(0.6) if path == "/config_dump" else None
    began = time.monotonic()
    assert run() == {("config_mismatch", "beta", "gateway gateway-1")}
    assert time.monotonic() - began < 3
    assert the_run(environment).skipped[:2] == [f"Gateway gateway-{number}: the run's time was over before it was read." for number in (1, 2)]


def test_gateway_that_never_answers_is_unreachable_after_its_time(systems: Systems, environment: Environment, run: Run) -> None:
    systems.before_answer = lambda path: time.sleep(1.5) if path == "/config_dump" else None
    assert run() == {("unreachable", None, f"gateway gateway-{number}") for number in (1, 2)}
    assert "did not answer within 1 s" in PreflightFinding.objects.all()[0].found


def test_many_gateways_are_read_eight_at_a_time(systems: Systems, environment: Environment, run: Run) -> None:
    systems.connect(environment, *(f"gateway-{number}" for number in range(1, 17)))
    under_way, most, lock = 0, 0, threading.Lock()

    def count(path: str) -> None:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        time.sleep(0.03)
        with lock:
            under_way -= 1

    Connection.objects.filter(connector="prometheus").delete()
    Connection.objects.filter(connector="envoy").update(
        settings={"admins": {f"gateway-{number}": f"http://127.0.0.{number}:{systems.port}" for number in range(1, 17)}}
    )
    systems.before_answer = count
    assert run() == set()
    assert 4 <= most <= 8
    assert len(systems.calls) == 32


def test_environment_without_metrics_is_left_to_readiness(systems: Systems, environment: Environment, run: Run) -> None:
    Connection.objects.filter(connector="prometheus").delete()
    assert run() == set()


def test_alias_in_another_environment_is_not_looked_at(systems: Systems, environment: Environment, run: Run) -> None:
    RoutingPolicyFactory(environment__slug="production", alias="alpha", artefact=RoutingPolicy.objects.get(alias="alpha").artefact)
    assert run() == set()
    assert the_run(environment).paths == 3
    ConnectionFactory(environment__slug="production", connector="envoy", settings={"admins": {"p": "http://127.0.0.1:9"}})
    assert run() == set()
