"""Clients of MLflow keep what they have read: that is waited out in words, and what stands there after the wait is what counts. Against a real MLflow."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest

from rollbackhub.accounts.models import Team
from rollbackhub.common import clock
from rollbackhub.common.verdict import Verdict
from rollbackhub.executions.domain import owners
from rollbackhub.executions.domain.deliver import deliver_due
from rollbackhub.executions.domain.engine import advance_execution
from rollbackhub.executions.domain.owners import ExecutionOwner
from rollbackhub.executions.domain.plan import build_plan
from rollbackhub.executions.domain.transitions import start_execution
from rollbackhub.executions.enums import ExecutionKind, ExecutionState, FindingCode, StepState
from rollbackhub.executions.models import Execution, Sample, StepAttempt
from rollbackhub.registry.models import Artefact, Connection, Environment, Version
from rollbackhub.routing.domain.transitions import create_policy
from rollbackhub.routing.models import RoutingPolicy
from rollbackhub.routing.rules import CandidateSpec
from tests.connectors.mlflow_server import Fault, MlflowServer, relay_to, shared_mlflow
from tests.routing.conftest import ACTOR

MODEL = "support-tone"
CACHE_SECONDS = 3


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    with shared_mlflow(tmp_path_factory.mktemp("mlflow"), auth=False) as found:
        found.make_model(MODEL, prompt=True)
        yield found


@pytest.fixture
def policy(db: None, server: MlflowServer, monkeypatch: pytest.MonkeyPatch) -> RoutingPolicy:
    """A prompt in staging: version 2 serves, 1 is what to go back to."""
    # Who may roll back is another test's matter.
    monkeypatch.setitem(owners._owners, ExecutionKind.ROLLBACK, ExecutionOwner())
    server.set_alias(MODEL, "live", 2)
    team, _ = Team.objects.get_or_create(slug="platform", defaults={"name": "Platform"})
    artefact = Artefact.objects.create(slug=MODEL, name="Tone", change_type="prompt", team=team)
    for number in (1, 2):
        Version.objects.create(artefact=artefact, label=f"v{number}", digest=f"sha256:{number}", uri=f"prompts:/{MODEL}/{number}")
    environment = Environment.objects.create(slug="staging", name="Staging", kind="staging")
    made = create_policy(
        environment=environment,
        alias=MODEL,
        artefact=artefact,
        candidates=[CandidateSpec("prompt:v2", "v2", 100), CandidateSpec("prompt:v1", "v1", 0)],
        actor=ACTOR,
        reason="seed",
        connection=Connection.objects.create(
            environment=environment, connector="mlflow", settings={"address": server.address, "client_cache_seconds": CACHE_SECONDS}
        ),
        target={"model": MODEL, "alias": "live"},
    )
    assert deliver_due() == 1
    return made


def roll_back(policy: RoutingPolicy) -> Execution:
    policy.refresh_from_db()
    plan = build_plan(policy=policy, kind=ExecutionKind.ROLLBACK, bad_version=Version.objects.get(label="v2"))
    execution = start_execution(kind=ExecutionKind.ROLLBACK, policy=policy, plan=plan, actor=ACTOR, user=None)
    advance_execution(execution_id=execution.pk, worker="worker-1")
    execution.refresh_from_db()
    return execution


def while_it_waits(monkeypatch: pytest.MonkeyPatch, act: Callable[[str], None]) -> None:
    """Do this at each pause of the step that waits out the cache, with what it says; the pauses are as long as ever."""
    sleep = clock.sleep

    def watched(seconds: float) -> None:
        said = StepAttempt.objects.filter(state=StepState.STARTED, action="await_observed").values_list("message", flat=True).first()
        if said:
            act(said)
        sleep(seconds)

    monkeypatch.setattr(clock, "sleep", watched)


def test_wait_for_caches_is_said_with_its_length_and_ends_with_another_look(
    policy: RoutingPolicy, server: MlflowServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[str] = []
    while_it_waits(monkeypatch, heard.append)
    execution = roll_back(policy)
    assert (execution.state, execution.verdict) == (ExecutionState.FINISHED, Verdict.PASSED), execution.outcome
    assert set(heard) == {heard[0]}
    # Counted from the write, so that a look which took its time leaves less to wait for.
    assert re.search("Its clients keep what they have read for up to 3 s: waiting [123] s for that to be over, then looking once more.", heard[0])
    attempt = execution.attempts.get(action="await_observed")
    assert "also after its clients' caches" in attempt.message
    looks = Sample.objects.filter(attempt=attempt, kind="observed").order_by("taken_at")
    assert [look.value.get("reached") for look in looks][-2:] == [True, True]
    assert execution.executed_at is not None
    assert (looks[len(looks) - 1].taken_at - execution.executed_at).total_seconds() >= CACHE_SECONDS
    assert execution.propagated_at is not None
    assert execution.propagated_at >= looks[0].taken_at


def test_alias_that_somebody_moves_while_caches_are_waited_out_is_not_taken_for_restored(
    policy: RoutingPolicy, server: MlflowServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    while_it_waits(monkeypatch, lambda said: server.set_alias(MODEL, "live", 2))
    execution = roll_back(policy)
    assert execution.state == ExecutionState.NEEDS_HUMAN
    assert execution.restored_at is None
    assert execution.propagated_at is None
    finding = execution.findings.get()
    assert finding.code == FindingCode.FLAG_MOVED
    stopped = execution.attempts.get(state=StepState.FAILED)
    assert stopped.action == "await_observed"
    assert "it was changed meanwhile" in stopped.message
    newest = Sample.objects.filter(attempt=stopped, kind="observed").order_by("-taken_at").first()
    assert newest is not None
    assert newest.value["reached"] is False


@pytest.mark.parametrize(("lost", "state"), [(2, ExecutionState.FINISHED), (3, ExecutionState.NEEDS_HUMAN)])
def test_system_that_does_not_answer_at_once_is_asked_again_before_a_rollback_stops_for_it(
    lost: int, state: ExecutionState, policy: RoutingPolicy, server: MlflowServer
) -> None:
    first: list[str] = []

    def fault(method: str, path: str) -> Fault:
        """The first requests of the preflight's first looks get no answer."""
        if len(first) == lost:
            return "pass"
        first.append(path)
        return "cut"

    with relay_to(server.port) as relay:
        Connection.objects.update(settings={"address": relay.address, "client_cache_seconds": 0})
        relay.fault = fault
        execution = roll_back(policy)
    assert execution.state == state, execution.outcome
    assert len(first) == lost
    looks = Sample.objects.filter(execution=execution, kind="mechanism")
    assert [bool(look.value["problems"]) for look in looks] == [state == ExecutionState.NEEDS_HUMAN]
