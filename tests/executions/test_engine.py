"""The engine's rules: steps in order, effects once, failures put back, people asked when a machine cannot know."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, ClassVar

import pytest
from django.db import IntegrityError, transaction
from django.db.models.functions import Now

from rollbackhub.audit.models import AuditEvent
from rollbackhub.common.errors import Conflict, NotFound, TransientError
from rollbackhub.common.verdict import Verdict
from rollbackhub.connectors.base import Promise
from rollbackhub.executions.actions.base import Action, Params, StepOutcome
from rollbackhub.executions.domain import engine, owners
from rollbackhub.executions.domain.context import StepContext
from rollbackhub.executions.domain.engine import advance_execution
from rollbackhub.executions.domain.owners import ExecutionOwner
from rollbackhub.executions.domain.transitions import change_state, close_execution, request_cancel, retry_execution
from rollbackhub.executions.enums import ExecutionKind, ExecutionState, FindingCode, StepState
from rollbackhub.executions.findings import FindingDraft
from rollbackhub.executions.models import Execution, StepAttempt
from rollbackhub.executions.rules import MAX_STEP_ATTEMPTS, TRANSITIONS
from rollbackhub.routing.domain.current import get_candidates
from rollbackhub.routing.domain.transitions import append_revision
from rollbackhub.routing.models import PolicyRevision, RoutingPolicy
from tests.databases import FreshDatabase
from tests.executions.conftest import FLIP, RESTORE, start
from tests.routing.conftest import ACTOR, BAD, GOOD, seed_policy
from tests.threads import at_once


class Scripted(Action):
    """An action of these tests: does what the test says."""

    name = "scripted"
    promise = Promise.CONVERGENT
    params_type = Params
    script: ClassVar[Callable[[StepContext], StepOutcome]]

    def run(self, context: StepContext, params: Params) -> StepOutcome:
        """Play the script."""
        return type(self).script(context)


class ScriptedOnce(Scripted):
    """The same, for a system that must not be called twice blindly."""

    name = "scripted_once"
    promise = Promise.AT_LEAST_ONCE


def step(key: str, *, action: str = "scripted", segment: str = "execute", **more: Any) -> dict[str, Any]:
    return {"key": key, "title": key, "action": action, "segment": segment, **more}


def script(monkeypatch: pytest.MonkeyPatch, play: Callable[[StepContext], StepOutcome]) -> None:
    monkeypatch.setattr(Scripted, "script", staticmethod(play), raising=False)


def passes(context: StepContext) -> StepOutcome:
    return StepOutcome(Verdict.PASSED, "fine")


def run(execution: Execution, worker: str = "worker-1") -> Execution:
    advance_execution(execution_id=execution.pk, worker=worker)
    execution.refresh_from_db()
    return execution


def die(context: StepContext) -> StepOutcome:
    """Stands for a killed worker: nothing after this point is run."""
    raise KeyboardInterrupt


def killed(execution: Execution) -> None:
    """Run until the script dies, then let the lease end."""
    with pytest.raises(KeyboardInterrupt):
        advance_execution(execution_id=execution.pk, worker="doomed")
    Execution.objects.filter(pk=execution.pk).update(lease_until=Now() - timedelta(seconds=1))


WHOLE = [
    FLIP,
    step("propagate", segment="propagate"),
    step("drain", segment="drain"),
    step("verify", segment="verify"),
    RESTORE,
]


def test_all_steps_passed_gives_passed_with_every_instant(policy: RoutingPolicy, monkeypatch: pytest.MonkeyPatch) -> None:
    script(monkeypatch, passes)
    execution = run(start(policy, *WHOLE))
    assert (execution.state, execution.verdict) == (ExecutionState.FINISHED, Verdict.PASSED)
    instants = [execution.decided_at, execution.executed_at, execution.propagated_at, execution.drained_at, execution.verified_at, execution.finished_at]
    assert all(instants)
    assert execution.rollback_seconds is not None
    assert 0 <= execution.rollback_seconds < 5
    assert get_candidates(policy=RoutingPolicy.objects.get(pk=policy.pk)) == [BAD, GOOD]
    assert [revision.effect_key for revision in PolicyRevision.objects.order_by("number")[1:]] == [f"{execution.pk}:flip", f"{execution.pk}:restore"]


def test_passed_steps_that_never_saw_traffic_restored_are_inconclusive(policy: RoutingPolicy, monkeypatch: pytest.MonkeyPatch) -> None:
    script(monkeypatch, passes)
    execution = run(start(policy, FLIP, RESTORE))
    assert execution.verdict == Verdict.INCONCLUSIVE


def test_restored_too_late_fails_with_a_finding(policy: RoutingPolicy, monkeypatch: pytest.MonkeyPatch) -> None:
    script(monkeypatch, passes)
    execution = start(policy, *WHOLE)
    Execution.objects.filter(pk=execution.pk).update(target_seconds=1, decided_at=Now() - timedelta(seconds=90))
    execution = run(execution)
    assert execution.verdict == Verdict.FAILED
    assert [finding.code for finding in execution.findings.all()] == [FindingCode.TOO_SLOW]


@pytest.mark.parametrize("verdict", [Verdict.FAILED, Verdict.INCONCLUSIVE, Verdict.ERROR])
def test_a_step_that_does_not_pass_stops_the_procedure_and_things_are_put_back(
    policy: RoutingPolicy, monkeypatch: pytest.MonkeyPatch, verdict: Verdict
) -> None:
    finding = FindingDraft(FindingCode.NOT_RESTORED, "traffic", "none", "some")
    script(monkeypatch, lambda context: StepOutcome(verdict, "not so", findings=(finding,)))
    execution = run(start(policy, *WHOLE))
    assert (execution.state, execution.verdict) == (ExecutionState.FINISHED, verdict)
    assert [attempt.key for attempt in execution.attempts.all()] == ["flip", "propagate", "restore"]
    assert execution.findings.get().subject == "traffic"
    assert get_candidates(policy=RoutingPolicy.objects.get(pk=policy.pk)) == [BAD, GOOD]


def test_a_failed_step_of_a_rollback_asks_a_person_instead_of_putting_back(policy: RoutingPolicy, monkeypatch: pytest.MonkeyPatch) -> None:
    script(monkeypatch, lambda context: StepOutcome(Verdict.FAILED, "not so"))
    monkeypatch.setitem(owners._owners, ExecutionKind.ROLLBACK, ExecutionOwner())
    execution = run(start(policy, *WHOLE, kind=ExecutionKind.ROLLBACK))
    assert execution.state == ExecutionState.NEEDS_HUMAN
    assert get_candidates(policy=RoutingPolicy.objects.get(pk=policy.pk))[0].weight == 0


def test_killed_after_the_effect_and_resumed_has_one_effect(policy: RoutingPolicy, monkeypatch: pytest.MonkeyPatch) -> None:
    script(monkeypatch, passes)
    execution = start(policy, *WHOLE)
    monkeypatch.setattr(engine, "failpoint", lambda name, scope: die(None) if name == "acted-flip" else None)  # type: ignore[arg-type]
    killed(execution)
    assert PolicyRevision.objects.filter(policy=policy).count() == 2
    monkeypatch.undo()
    script(monkeypatch, passes)
    execution = run(execution, "worker-2")
    assert execution.verdict == Verdict.PASSED
    assert PolicyRevision.objects.filter(policy=policy).count() == 3
    assert [(attempt.number, attempt.state) for attempt in execution.attempts.filter(key="flip")] == [(1, StepState.INTERRUPTED), (2, StepState.DONE)]


def test_worker_that_lost_its_claim_in_the_middle_of_a_step_writes_nothing(policy: RoutingPolicy, monkeypatch: pytest.MonkeyPatch) -> None:
    execution = start(policy, *WHOLE)
    taken = False

    def pause_while_another_takes_over(context: StepContext) -> StepOutcome:
        nonlocal taken
        if not taken:
            taken = True
            Execution.objects.filter(pk=execution.pk).update(lease_until=Now() - timedelta(seconds=1))
            advance_execution(execution_id=execution.pk, worker="worker-2")
            return StepOutcome(Verdict.FAILED, "written by a ghost")
        return passes(context)

    script(monkeypatch, pause_while_another_takes_over)
    assert advance_execution(execution_id=execution.pk, worker="worker-1") == "lease_lost"
    execution.refresh_from_db()
    assert execution.verdict == Verdict.PASSED
    assert not execution.attempts.filter(message__contains="ghost").exists()
    assert PolicyRevision.objects.filter(policy=policy).count() == 3


def test_step_that_kills_every_worker_needs_a_person_after_some_tries(policy: RoutingPolicy, monkeypatch: pytest.MonkeyPatch) -> None:
    script(monkeypatch, die)
    execution = start(policy, step("deadly"), RESTORE)
    for _ in range(MAX_STEP_ATTEMPTS):
        killed(execution)
    execution = run(execution)
    assert execution.state == ExecutionState.NEEDS_HUMAN
    assert "begun 10 times" in execution.outcome
    script(monkeypatch, passes)
    retry_execution(execution_id=execution.pk, actor=ACTOR)
    assert run(execution).state == ExecutionState.FINISHED


def test_step_that_may_happen_only_once_is_unknown_after_a_crash_and_not_tried_again(policy: RoutingPolicy, monkeypatch: pytest.MonkeyPatch) -> None:
    script(monkeypatch, die)
    execution = start(policy, step("once", action="scripted_once"), RESTORE)
    killed(execution)
    calls: list[str] = []

    def called(context: StepContext) -> StepOutcome:
        calls.append("called")
        return passes(context)

    script(monkeypatch, called)
    execution = run(execution)
    assert execution.state == ExecutionState.NEEDS_HUMAN
    assert execution.attempts.get(key="once").state == StepState.UNKNOWN
    assert calls == []
    retry_execution(execution_id=execution.pk, actor=ACTOR)
    assert run(execution).state == ExecutionState.FINISHED
    assert calls == ["called"]


def test_transient_errors_are_tried_again_and_then_reported(policy: RoutingPolicy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "TRANSIENT_PAUSE_SECONDS", 0)
    left = [2]

    def flaky(context: StepContext) -> StepOutcome:
        if left[0]:
            left[0] -= 1
            raise TransientError("no answer")
        return passes(context)

    script(monkeypatch, flaky)
    assert run(start(policy, step("call"), RESTORE)).attempts.get(key="call").state == StepState.DONE
    left[0] = 99
    execution = run(start(seed_policy(alias="other"), step("call"), RESTORE))
    assert execution.verdict == Verdict.ERROR
    assert execution.findings.get().code == FindingCode.UNREACHABLE


def test_restoring_never_overwrites_somebody_elses_change(policy: RoutingPolicy, monkeypatch: pytest.MonkeyPatch) -> None:
    def somebody_changes_it(context: StepContext) -> StepOutcome:
        if context.attempt.key == "propagate":
            append_revision(policy_id=policy.pk, expected_revision=2, candidates=[BAD, GOOD], actor=ACTOR, reason="by hand")
        return passes(context)

    script(monkeypatch, somebody_changes_it)
    execution = run(start(policy, *WHOLE))
    assert execution.state == ExecutionState.NEEDS_HUMAN
    assert PolicyRevision.objects.filter(policy=policy).count() == 3
    assert execution.findings.filter(code=FindingCode.CONFIG_MISMATCH).exists()
    execution = close_execution(execution_id=execution.pk, actor=ACTOR, reason="looked at it")
    assert (execution.state, execution.verdict) == (ExecutionState.FINISHED, Verdict.FAILED)


def test_what_is_put_back_at_another_try_is_told_by_what_failed_first(policy: RoutingPolicy, monkeypatch: pytest.MonkeyPatch) -> None:
    stuck = [True]

    def play(context: StepContext) -> StepOutcome:
        if context.attempt.key == "drain" or (context.attempt.key == "seen" and stuck[0]):
            return StepOutcome(Verdict.FAILED, f"{context.attempt.key} is not so.")
        return StepOutcome(Verdict.PASSED, "Staging is as it was before.")

    script(monkeypatch, play)
    execution = run(start(policy, *WHOLE, step("seen", segment="clean_up", always=True)))
    assert execution.state == ExecutionState.NEEDS_HUMAN
    assert execution.outcome.startswith("Putting things back did not work at step “seen”")
    stuck[0] = False
    retry_execution(execution_id=execution.pk, actor=ACTOR)
    execution = run(execution)
    assert (execution.state, execution.verdict) == (ExecutionState.FINISHED, Verdict.FAILED)
    assert execution.outcome.startswith("Step “drain” did not pass: drain is not so.")
    assert "did not work" not in execution.outcome


def test_cancel_of_a_queued_execution_ends_it(policy: RoutingPolicy) -> None:
    execution = start(policy, FLIP)
    assert request_cancel(execution_id=execution.pk, actor=ACTOR, reason="not now").state == ExecutionState.CANCELLED
    assert PolicyRevision.objects.count() == 1


def test_cancel_of_a_running_execution_puts_things_back(policy: RoutingPolicy, monkeypatch: pytest.MonkeyPatch) -> None:
    def wait_for_ever(context: StepContext) -> StepOutcome:
        request_cancel(execution_id=context.execution.pk, actor=ACTOR, reason="enough seen")
        while True:
            context.pause(0.01)

    script(monkeypatch, wait_for_ever)
    execution = run(start(policy, *WHOLE))
    assert (execution.state, execution.verdict) == (ExecutionState.FINISHED, Verdict.ERROR)
    assert "enough seen" in execution.outcome
    assert get_candidates(policy=RoutingPolicy.objects.get(pk=policy.pk)) == [BAD, GOOD]


def test_cancel_of_an_ended_execution_is_a_conflict(policy: RoutingPolicy, monkeypatch: pytest.MonkeyPatch) -> None:
    script(monkeypatch, passes)
    execution = run(start(policy, *WHOLE))
    with pytest.raises(Conflict, match="cannot be stopped"):
        request_cancel(execution_id=execution.pk, actor=ACTOR, reason="late")


@pytest.mark.parametrize("act", [retry_execution, lambda **values: close_execution(**values, reason="x")])
def test_retry_and_close_of_a_running_execution_are_conflicts(policy: RoutingPolicy, act: Callable[..., Execution]) -> None:
    execution = start(policy, FLIP)
    with pytest.raises(Conflict):
        act(execution_id=execution.pk, actor=ACTOR)


def test_acts_on_an_unknown_execution_are_not_found(db: None) -> None:
    unknown = Execution().pk
    for act in (retry_execution, lambda **values: request_cancel(**values, reason="x"), lambda **values: close_execution(**values, reason="x")):
        with pytest.raises(NotFound):
            act(execution_id=unknown, actor=ACTOR)


@pytest.mark.parametrize("before", list(ExecutionState))
@pytest.mark.parametrize("after", list(ExecutionState))
def test_only_the_transitions_of_the_table_are_made(policy: RoutingPolicy, before: ExecutionState, after: ExecutionState) -> None:
    execution = start(policy, FLIP)
    Execution.objects.filter(pk=execution.pk).update(state=before, verdict=Verdict.ERROR)
    events = AuditEvent.objects.count()
    if after in TRANSITIONS[before]:
        assert change_state(execution_id=execution.pk, to=after, actor=ACTOR, event="execution.tested").state == after
        assert AuditEvent.objects.count() == events + 1
    else:
        with pytest.raises(Conflict):
            change_state(execution_id=execution.pk, to=after, actor=ACTOR, event="execution.tested")
        execution.refresh_from_db()
        assert execution.state == before
        assert AuditEvent.objects.count() == events


def test_second_execution_on_an_alias_is_a_conflict_that_names_the_first(policy: RoutingPolicy) -> None:
    first = start(policy, FLIP)
    with pytest.raises(Conflict) as caught:
        start(policy, FLIP)
    assert caught.value.code == "already_running"
    assert caught.value.extra["execution_id"] == str(first.pk)
    assert str(first.pk) in caught.value.message


def test_ten_starts_at_once_give_one_execution_and_nine_conflicts(fresh_database: FreshDatabase) -> None:
    policy = seed_policy()
    results = at_once(10, lambda _: start(policy, FLIP))
    assert sum(isinstance(result, Execution) for result in results) == 1
    assert [result.code for result in results if isinstance(result, Conflict)] == ["already_running"] * 9


def test_the_database_refuses_passed_without_observation(policy: RoutingPolicy) -> None:
    execution = start(policy, FLIP)
    with pytest.raises(IntegrityError), transaction.atomic():
        Execution.objects.filter(pk=execution.pk).update(verdict=Verdict.PASSED)


def test_the_database_refuses_two_ends_of_one_step(policy: RoutingPolicy) -> None:
    execution = start(policy, FLIP)
    values = {
        "execution": execution,
        "position": 0,
        "key": "flip",
        "action": "a",
        "segment": "execute",
        "fence": 1,
        "worker": "w",
        "started_at": execution.created_at,
        "state": StepState.DONE,
    }
    StepAttempt.objects.create(**values, number=1)
    with pytest.raises(IntegrityError), transaction.atomic():
        StepAttempt.objects.create(**values, number=2)
