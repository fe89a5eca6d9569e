"""The only writers of an execution's state."""

from __future__ import annotations

import datetime as dt
from typing import Any
from uuid import UUID

from django.db import IntegrityError, connection, transaction

from rollbackhub.accounts.models import User
from rollbackhub.audit.actors import Actor
from rollbackhub.audit.domain.record import record
from rollbackhub.common import clock
from rollbackhub.common.errors import Conflict, InvalidInput, NotFound
from rollbackhub.common.shown_text import spoken
from rollbackhub.common.verdict import Verdict
from rollbackhub.executions.domain.owners import owner_of
from rollbackhub.executions.domain.plan import Plan
from rollbackhub.executions.enums import ACTIVE_STATES, ExecutionKind, ExecutionState, Segment, StepState
from rollbackhub.executions.models import Execution, StepAttempt
from rollbackhub.executions.rules import TRANSITIONS
from rollbackhub.routing.models import RoutingPolicy

WAKE_CHANNEL = "rollbackhub_wake"
"""NOTIFY channel on which the sweeper hears that something is due."""


def start_execution(
    *,
    kind: ExecutionKind,
    policy: RoutingPolicy,
    plan: Plan,
    actor: Actor,
    user: User | None,
    requested_by_label: str = "",
    decided_at: dt.datetime | None = None,
) -> Execution:
    """Freeze the plan onto a new execution and queue it. The sweeper publishes it after the commit.

    `decided_at` starts the clock of a rollback; in a drill, where nobody decides, a step does. `requested_by_label`: who asked for it, when that is
    somebody else than the actor who has it queued (an approver, the rollback that goes on with its next alias).

    Raises Conflict `already_running`, naming the one that holds the alias.
    """
    running = find_active(policy)
    if running is not None:
        raise _already_running(running)
    try:
        with transaction.atomic():
            execution = Execution.objects.create(
                kind=kind,
                environment_id=policy.environment_id,
                policy=policy,
                procedure_version=plan.procedure_version,
                change_type=plan.content["change_type"],
                bad_version=plan.bad_version,
                plan=plan.content,
                fingerprint=plan.fingerprint,
                target_seconds=plan.content["target_seconds"],
                requested_by=user,
                requested_by_label=requested_by_label or actor.label,
                is_lab=policy.environment.is_lab,
                decided_at=decided_at,
            )
            record(
                event="execution.requested",
                actor=actor,
                subject_type="execution",
                subject_id=execution.pk,
                data={
                    "kind": kind,
                    "alias": policy.alias,
                    "environment": plan.content["environment"],
                    "bad_version": plan.bad_version.label,
                    "fingerprint": plan.fingerprint,
                },
            )
            _wake()
    except IntegrityError:
        # Two at once: the partial unique index let one of them in.
        running = find_active(policy)
        if running is None:
            raise
        raise _already_running(running) from None
    return execution


def find_active(policy: RoutingPolicy) -> Execution | None:
    """The execution that holds this alias now, if any."""
    return Execution.objects.filter(policy=policy, state__in=ACTIVE_STATES).first()


def change_state(*, execution_id: UUID, to: ExecutionState, actor: Actor, event: str, data: dict[str, Any] | None = None, **fields: Any) -> Execution:
    """Move an execution to a state that may follow its present one, with its audit record, in the transaction that is open or a new one.

    `fields` are further columns to set. Raises NotFound, Conflict `wrong_state`.
    """
    with transaction.atomic():
        execution = _locked(execution_id)
        if to not in TRANSITIONS[ExecutionState(execution.state)]:
            raise Conflict(
                f"The execution is {execution.get_state_display().lower()} and cannot become {to.label.lower()}.", code="wrong_state", state=execution.state
            )
        before = execution.state
        execution.state = to
        for name, value in fields.items():
            setattr(execution, name, value)
        execution.save(update_fields=["state", *fields])
        record(event=event, actor=actor, subject_type="execution", subject_id=execution.pk, data={"from": before, "to": to, **(data or {})})
        owner_of(execution).state_changed(execution, before=before)
        return execution


def request_cancel(*, execution_id: UUID, actor: Actor, reason: str) -> Execution:
    """Stop an execution. One that has not begun ends at once; a running one ends its present wait and puts things back.

    Raises NotFound, Conflict `wrong_state` (it has ended, or is putting things back already).
    """
    reason = spoken(reason)
    with transaction.atomic():
        execution = _locked(execution_id)
        if execution.state == ExecutionState.QUEUED:
            return change_state(
                execution_id=execution_id,
                to=ExecutionState.CANCELLED,
                actor=actor,
                event="execution.cancelled",
                data={"reason": reason},
                finished_at=clock.now(),
                outcome=f"Stopped by {actor.label} before it began: {reason}",
            )
        if execution.state != ExecutionState.RUNNING:
            raise Conflict(
                f"The execution is {execution.get_state_display().lower()} and cannot be stopped any more.", code="wrong_state", state=execution.state
            )
        if execution.cancel_requested_at is None:
            execution.cancel_requested_at = clock.now()
            execution.outcome = f"Stopped by {actor.label}: {reason}"
            execution.save(update_fields=["cancel_requested_at", "outcome"])
            record(event="execution.cancel_requested", actor=actor, subject_type="execution", subject_id=execution.pk, data={"reason": reason})
        return execution


def retry_execution(*, execution_id: UUID, actor: Actor) -> Execution:
    """Let an execution that needs a person go on: the step that stopped it is tried again.

    Raises NotFound, Conflict `wrong_state`.
    """
    with transaction.atomic():
        execution = _locked(execution_id)
        _require_waiting_for_a_person(execution)
        had_failed = bool(execution.verdict)
        said: dict[str, Any] = {"outcome": _why_it_stopped(execution) if had_failed else ""}
        execution.attempts.filter(state=StepState.UNKNOWN).update(state=StepState.INTERRUPTED)
        to = ExecutionState.CLEANING_UP if had_failed else ExecutionState.RUNNING
        execution = change_state(
            execution_id=execution_id,
            to=to,
            actor=actor,
            event="execution.retried",
            lease_until=None,
            published_at=None,
            retried_at=clock.now(),
            cancel_requested_at=None,
            **said,
        )
        _wake()
        return execution


def _why_it_stopped(execution: Execution) -> str:
    """What failed first: that things could not be put back at once is over when they are put back at another try."""
    failed = execution.attempts.filter(state=StepState.FAILED).exclude(segment=Segment.CLEAN_UP).order_by("-started_at", "-id").first()
    if failed is None or execution.outcome.startswith("Stopped by"):
        return execution.outcome
    step = execution.plan["steps"][failed.position]
    return f"Step “{step.get('title') or step['key']}” did not pass: {failed.message}"


def skip_step(*, execution_id: UUID, actor: Actor, reason: str) -> Execution:
    """Let an execution that needs a person go on without the step that stopped it. What that step was to observe stays unobserved.

    Raises NotFound, Conflict `wrong_state` or `nothing_to_skip`, InvalidInput `step_not_skippable` (without a flip there is no rollback).
    """
    reason = spoken(reason)
    with transaction.atomic():
        execution = _locked(execution_id)
        _require_waiting_for_a_person(execution)
        stopped = execution.attempts.exclude(state__in=(StepState.DONE, StepState.SKIPPED)).order_by("-position", "-number").first()
        if stopped is None or execution.attempts.filter(position=stopped.position, state__in=(StepState.DONE, StepState.SKIPPED)).exists():
            raise Conflict("No step has failed, so there is none to skip.", code="nothing_to_skip")
        if stopped.segment == Segment.EXECUTE:
            raise InvalidInput("The flip itself cannot be skipped: without it nothing is rolled back. Retry it, or put things back.", code="step_not_skippable")
        now = clock.now()
        StepAttempt.objects.create(
            execution=execution,
            position=stopped.position,
            key=stopped.key,
            action=stopped.action,
            segment=stopped.segment,
            number=execution.attempts.filter(position=stopped.position).count() + 1,
            fence=execution.fence,
            worker=actor.label[:120],
            state=StepState.SKIPPED,
            started_at=now,
            ended_at=now,
            message=f"Skipped by {actor.label}: {reason}",
        )
        to = ExecutionState.CLEANING_UP if execution.verdict else ExecutionState.RUNNING
        execution = change_state(
            execution_id=execution_id,
            to=to,
            actor=actor,
            event="execution.step_skipped",
            data={"step": stopped.key, "reason": reason},
            lease_until=None,
            published_at=None,
            retried_at=now,
            cancel_requested_at=None,
            outcome=execution.outcome if execution.verdict else "",
        )
        _wake()
        return execution


def undo_execution(*, execution_id: UUID, actor: Actor, reason: str) -> Execution:
    """Have an execution that needs a person put things back as they were before it, by the procedure's own steps for that.

    Raises NotFound, Conflict `wrong_state` or `nothing_to_undo`.
    """
    reason = spoken(reason)
    with transaction.atomic():
        execution = _locked(execution_id)
        _require_waiting_for_a_person(execution)
        if not any(step["always"] or step.get("undo") for step in execution.plan["steps"]):
            raise Conflict("The procedure has no steps that put things back. Retry, or close it and put them back by hand.", code="nothing_to_undo")
        execution = change_state(
            execution_id=execution_id,
            to=ExecutionState.CLEANING_UP,
            actor=actor,
            event="execution.undo_requested",
            data={"reason": reason},
            verdict=execution.verdict or Verdict.FAILED,
            outcome=f"Put back by {actor.label}: {reason}",
            lease_until=None,
            published_at=None,
            retried_at=clock.now(),
        )
        _wake()
        return execution


def close_execution(*, execution_id: UUID, actor: Actor, reason: str) -> Execution:
    """Give up an execution that needs a person. It ends with the verdict that it had, else `error`, and frees its alias.

    Raises NotFound, Conflict `wrong_state`.
    """
    reason = spoken(reason)
    with transaction.atomic():
        execution = _locked(execution_id)
        _require_waiting_for_a_person(execution)
        return change_state(
            execution_id=execution_id,
            to=ExecutionState.FINISHED,
            actor=actor,
            event="execution.closed",
            data={"reason": reason},
            verdict=execution.verdict or Verdict.ERROR,
            finished_at=clock.now(),
            outcome=f"{execution.outcome} Closed by {actor.label}: {reason}".strip(),
        )


def _locked(execution_id: UUID) -> Execution:
    execution = Execution.objects.select_for_update().filter(pk=execution_id).first()
    if execution is None:
        raise NotFound("There is no such execution.", code="execution_not_found")
    return execution


def _require_waiting_for_a_person(execution: Execution) -> None:
    if execution.state != ExecutionState.NEEDS_HUMAN:
        raise Conflict(
            f"The execution is {execution.get_state_display().lower()}; only one that needs a person can be retried or closed.",
            code="wrong_state",
            state=execution.state,
        )


def _already_running(running: Execution) -> Conflict:
    alias, environment = running.plan["alias"], running.plan["environment"]
    return Conflict(
        f"A {running.get_kind_display().lower()} of {alias} in {environment} is {running.get_state_display().lower()} already"
        f" ({running.pk}, requested by {running.requested_by_label}). Wait for its end or stop it.",
        code="already_running",
        execution_id=str(running.pk),
        execution_kind=running.kind,
        url=owner_of(running).address(running),
    )


def _wake() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, '')", [WAKE_CHANNEL])
