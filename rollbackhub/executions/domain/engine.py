"""The durable engine: claim, then step by step: write that it starts, act and observe, write how it ended (DESIGN.md §4).

Whatever happens to a worker, the database knows which step was begun. Whoever claims next goes on from there; a step that was
interrupted is tried again with the same effect key, so that its effect happens once.
"""

from __future__ import annotations

import logging
from typing import Any
from uuid import UUID

from rollbackhub.common import clock
from rollbackhub.common.durations import in_words
from rollbackhub.common.errors import LeaseLost, TransientError
from rollbackhub.common.failpoints import failpoint
from rollbackhub.common.verdict import Verdict
from rollbackhub.connectors.base import Promise
from rollbackhub.executions.actions import get_action, parse_params
from rollbackhub.executions.actions.base import StepOutcome
from rollbackhub.executions.domain.claims import ENGINE, Claim, claim_execution
from rollbackhub.executions.domain.context import CancelRequested, StepContext
from rollbackhub.executions.domain.owners import owner_of
from rollbackhub.executions.domain.restoring import mark_drained_again, mark_instant
from rollbackhub.executions.domain.selectors import costliest_segment
from rollbackhub.executions.domain.transitions import change_state
from rollbackhub.executions.enums import REHEARSES, RUNNABLE_STATES, ExecutionState, FindingCode, Segment, StepState
from rollbackhub.executions.findings import FindingDraft
from rollbackhub.executions.models import CheckResult, Execution, Finding, StepAttempt
from rollbackhub.executions.rules import MAX_STEP_ATTEMPTS, runs_now

logger = logging.getLogger(__name__)

CLEAN_UP_TRIES = 3
"""A step that puts things back is tried this often before it needs a person."""

TRANSIENT_TRIES = 3
TRANSIENT_PAUSE_SECONDS = 0.5


def advance_execution(*, execution_id: UUID, worker: str) -> str:
    """Claim the execution and run it as far as it goes. Returns its state, `not_claimed` or `lease_lost`.

    Database errors are raised: the claim then ends with its lease, and the sweeper has the execution resumed.
    """
    claim = claim_execution(execution_id=execution_id, worker=worker)
    if claim is None:
        return "not_claimed"
    try:
        while _advance_one(claim):
            pass
    except LeaseLost as error:
        logger.warning("%s Nothing more is written by this worker.", error.message)
        return "lease_lost"
    return str(Execution.objects.values_list("state", flat=True).get(pk=execution_id))


def _advance_one(claim: Claim) -> bool:
    """Run the next step, or end the execution. False when there is nothing more to do under this claim."""
    execution = Execution.objects.get(pk=claim.execution_id)
    if execution.state not in RUNNABLE_STATES:
        return False
    if execution.state == ExecutionState.RUNNING and execution.cancel_requested_at is not None:
        _leave_off(claim, execution, verdict=Verdict.ERROR, outcome=execution.outcome)
        return True
    settled = set(execution.attempts.filter(state__in=(StepState.DONE, StepState.SKIPPED)).values_list("position", flat=True))
    putting_back = execution.state == ExecutionState.CLEANING_UP
    steps = enumerate(execution.plan["steps"])
    position = next((index for index, step in steps if index not in settled and runs_now(step, putting_back=putting_back)), None)
    if position == 0 and not putting_back and not execution.attempts.exists() and _is_refused(claim, execution):
        return False
    if position is None:
        failpoint("boundary-end", scope=execution.plan["alias"])
        _finish(claim, execution)
        return False
    failpoint(f"boundary-{execution.plan['steps'][position]['key']}", scope=execution.plan["alias"])
    return _run_step(claim, execution, position)


def _is_refused(claim: Claim, execution: Execution) -> bool:
    """Ask the owner once more before anything happens; a refused execution ends here, having changed nothing."""
    with claim.fenced():
        refusal = owner_of(execution).refusal(execution)
        if refusal is not None:
            change_state(
                execution_id=execution.pk,
                to=ExecutionState.CANCELLED,
                actor=ENGINE,
                event="execution.refused",
                data={"why": refusal},
                outcome=f"Not started: {refusal}",
                finished_at=clock.now(),
                lease_until=None,
            )
    return refusal is not None


def _run_step(claim: Claim, execution: Execution, position: int) -> bool:
    step = execution.plan["steps"][position]
    attempt = _begin(claim, execution, position, step)
    if attempt is None:
        return False
    failpoint(f"started-{step['key']}", scope=execution.plan["alias"])
    if attempt.number > 1 or (step["starts_clock"] and execution.decided_at is None):
        execution.refresh_from_db()
    context = StepContext(claim=claim, execution=execution, attempt=attempt, may_be_cancelled=execution.state == ExecutionState.RUNNING and not step["always"])
    try:
        outcome = _act(context, step)
    except CancelRequested:
        outcome = StepOutcome(Verdict.ERROR, "Stopped by a person.")
    failpoint(f"acted-{step['key']}", scope=execution.plan["alias"])
    _record(claim, execution, attempt, step, outcome)
    failpoint(f"done-{step['key']}", scope=execution.plan["alias"])
    return True


def _begin(claim: Claim, execution: Execution, position: int, step: dict[str, Any]) -> StepAttempt | None:
    """Write that the step starts, before it has any effect. None when a person has to decide first."""
    with claim.fenced():
        now = clock.now()
        earlier = StepAttempt.objects.filter(execution=execution, position=position)
        unfinished = earlier.filter(state=StepState.STARTED)
        promise = get_action(step["action"]).promise_in(execution.plan, parse_params(action=step["action"], params=step["params"]))
        if promise == Promise.AT_LEAST_ONCE and unfinished.exists():
            unfinished.update(state=StepState.UNKNOWN, ended_at=now, message="The worker was lost while this ran: whether it had its effect is not known.")
            _ask_a_person(execution, f"Step “{step['title']}” may or may not have happened. Look at the system, then retry or close.")
            return None
        unfinished.update(state=StepState.INTERRUPTED, ended_at=now, message="The worker was lost while this ran; the step was tried again.")
        counted = earlier if execution.retried_at is None else earlier.filter(started_at__gt=execution.retried_at)
        if counted.count() >= MAX_STEP_ATTEMPTS:
            _ask_a_person(execution, f"Step “{step['title']}” was begun {MAX_STEP_ATTEMPTS} times without an end. Look for what kills it, then retry or close.")
            return None
        if step["starts_clock"] and execution.decided_at is None:
            Execution.objects.filter(pk=execution.pk).update(decided_at=now)
        return StepAttempt.objects.create(
            execution=execution,
            position=position,
            key=step["key"],
            action=step["action"],
            segment=step["segment"],
            number=earlier.count() + 1,
            fence=claim.fence,
            worker=claim.worker,
            started_at=now,
        )


def _act(context: StepContext, step: dict[str, Any]) -> StepOutcome:
    """Run the action. What it cannot handle becomes an `error` outcome that names it; a lost lease or database is not caught here."""
    action = get_action(step["action"])
    params = parse_params(action=step["action"], params=step["params"])
    for tries_left in reversed(range(TRANSIENT_TRIES)):
        try:
            return action.run(context, params)
        except TransientError as error:
            if not tries_left:
                finding = FindingDraft(FindingCode.UNREACHABLE, step["title"], "an answer", error.message, "See whether the system runs and can be reached.")
                return StepOutcome(Verdict.ERROR, f"Tried {TRANSIENT_TRIES} times: {error.message}", findings=(finding,))
            context.pause(TRANSIENT_PAUSE_SECONDS)
    raise AssertionError("unreachable: the last try returns or raises")


def _record(claim: Claim, execution: Execution, attempt: StepAttempt, step: dict[str, Any], outcome: StepOutcome) -> None:
    """Write how the step ended, and what follows from it, in one fenced transaction."""
    passed = outcome.verdict == Verdict.PASSED
    with claim.fenced():
        attempt.state = StepState.DONE if passed else StepState.FAILED
        attempt.ended_at = clock.now()
        attempt.verdict = outcome.verdict
        attempt.message = outcome.message
        attempt.result = {**attempt.result, **outcome.result}
        attempt.save(update_fields=["state", "ended_at", "verdict", "message", "result"])
        CheckResult.objects.bulk_create(
            CheckResult(
                execution=execution,
                attempt=attempt,
                check_name=check.name,
                verdict=check.verdict,
                sentence=check.sentence,
                numbers=check.numbers,
                decided_at=attempt.ended_at,
            )
            for check in outcome.checks
        )
        _keep_findings(execution, outcome.findings, attempt=attempt)
        if passed:
            _mark_mended(execution, outcome.findings, attempt=attempt)
        if outcome.drained_at is not None:
            mark_drained_again(execution, outcome.drained_at)
        if passed and _ends_segment(execution, attempt.position):
            mark_instant(execution, Segment(step["segment"]), outcome.at or attempt.ended_at)
        if not passed and execution.state == ExecutionState.RUNNING:
            _stop_here(execution, verdict=outcome.verdict, outcome=f"Step “{step['title']}” did not pass: {outcome.message}")
        elif not passed and execution.attempts.filter(position=attempt.position, state=StepState.FAILED).count() % CLEAN_UP_TRIES == 0:
            _ask_a_person(execution, f"Putting things back did not work at step “{step['title']}”: {outcome.message}")


def _keep_findings(execution: Execution, findings: tuple[FindingDraft, ...], *, attempt: StepAttempt | None) -> None:
    now = clock.now()
    Finding.objects.bulk_create(
        (
            Finding(
                execution=execution,
                attempt=attempt,
                code=finding.code,
                subject=finding.subject[:200],
                expected=finding.expected,
                found=finding.found,
                remedy=finding.remedy,
                found_at=now,
            )
            for finding in findings
        ),
        # Found again: the newest words count, and what was mended is not any more.
        update_conflicts=True,
        unique_fields=["execution", "code", "subject"],
        update_fields=["attempt", "expected", "found", "remedy", "found_at", "mended_at"],
    )


def _mark_mended(execution: Execution, findings: tuple[FindingDraft, ...], *, attempt: StepAttempt) -> None:
    """The step has passed: what its earlier attempts had found, and this one does not find, is mended."""
    again = {(str(finding.code), finding.subject[:200]) for finding in findings}
    open_ones = Finding.objects.filter(execution=execution, attempt__position=attempt.position, mended_at=None)
    mended = [found.pk for found in open_ones if (found.code, found.subject) not in again]
    if mended:
        Finding.objects.filter(pk__in=mended).update(mended_at=attempt.ended_at)


def _ends_segment(execution: Execution, position: int) -> bool:
    """Whether the next step is of another segment: a job that is followed by the drain belongs to what restoring takes."""
    steps = execution.plan["steps"]
    following = next((step for step in steps[position + 1 :] if not step.get("undo")), None)
    return following is None or following["segment"] != steps[position]["segment"]


def _leave_off(claim: Claim, execution: Execution, *, verdict: Verdict, outcome: str) -> None:
    with claim.fenced():
        _stop_here(execution, verdict=verdict, outcome=outcome)


def _stop_here(execution: Execution, *, verdict: Verdict, outcome: str) -> None:
    """The procedure goes no further; what must always run still runs. Without such steps a person decides."""
    cleans_up = any(step["always"] for step in execution.plan["steps"])
    said = Execution.objects.values_list("outcome", flat=True).get(pk=execution.pk)
    outcome = said if execution.cancel_requested_at or said else outcome
    if cleans_up:
        change_state(
            execution_id=execution.pk,
            to=ExecutionState.CLEANING_UP,
            actor=ENGINE,
            event="execution.stopped",
            data={"verdict": verdict},
            verdict=verdict,
            outcome=outcome,
        )
    else:
        change_state(
            execution_id=execution.pk,
            to=ExecutionState.NEEDS_HUMAN,
            actor=ENGINE,
            event="execution.needs_human",
            data={"verdict": verdict},
            outcome=outcome,
            lease_until=None,
        )


def _ask_a_person(execution: Execution, outcome: str) -> None:
    change_state(
        execution_id=execution.pk,
        to=ExecutionState.NEEDS_HUMAN,
        actor=ENGINE,
        event="execution.needs_human",
        data={"why": outcome},
        outcome=outcome,
        lease_until=None,
    )


def _finish(claim: Claim, execution: Execution) -> None:
    """End the execution with the verdict that its steps and its clock give."""
    with claim.fenced():
        execution.refresh_from_db()
        verdict, outcome = Verdict(execution.verdict or Verdict.PASSED), execution.outcome
        if not execution.verdict:
            if execution.restored_at is None or execution.verified_at is None:
                verdict, outcome = Verdict.INCONCLUSIVE, "The procedure ended, but it did not observe that traffic was restored and verified."
            else:
                verdict, outcome = _judge_speed(execution)
        if execution.state == ExecutionState.CLEANING_UP:
            cleaned = execution.attempts.filter(state=StepState.DONE, segment=Segment.CLEAN_UP).order_by("position").values_list("message", flat=True).first()
            outcome = f"{outcome} {cleaned or ''}".strip()
        change_state(
            execution_id=execution.pk,
            to=ExecutionState.FINISHED,
            actor=ENGINE,
            event="execution.finished",
            data={"verdict": verdict, "rollback_seconds": execution.rollback_seconds, "target_seconds": execution.target_seconds},
            verdict=verdict,
            outcome=outcome,
            finished_at=clock.now(),
            lease_until=None,
        )


def _judge_speed(execution: Execution) -> tuple[Verdict, str]:
    """The verdict of what was restored and verified. A drill exists to be fast enough; a rollback that was slow has still rolled back."""
    said = f"Restored in {in_words(execution.rollback_seconds or 0)} and verified."
    if execution.target_seconds is None or (execution.rollback_seconds or 0) <= execution.target_seconds:
        return Verdict.PASSED, said
    found = f"{execution.rollback_seconds:.1f} s"
    costliest = costliest_segment(execution)
    where = f" {costliest.segment.label} cost most ({costliest.seconds:.1f} s)." if costliest else ""
    finding = FindingDraft(
        FindingCode.TOO_SLOW,
        f"rollback of {execution.plan['alias']}",
        f"at most {execution.target_seconds} s",
        f"{found}.{where}",
        "Look at that segment first.",
    )
    _keep_findings(execution, (finding,), attempt=None)
    if execution.kind in REHEARSES:
        return Verdict.FAILED, f"Restored and verified, but in {found}: the target is {execution.target_seconds} s.{where}"
    return Verdict.PASSED, f"{said} It missed its target of {execution.target_seconds} s.{where}"
