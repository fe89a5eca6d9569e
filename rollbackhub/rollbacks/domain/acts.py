"""What a person does with a rollback that runs or has stopped: retry, skip, put back, stop, close, correct.

Each acts on the execution first (its row is locked before the rollback's, as the engine does), and the rollback follows.
"""

from __future__ import annotations

import datetime as dt
from uuid import UUID

from django.db import transaction

from rollbackhub.accounts.domain.notices import list_people_with, tell
from rollbackhub.accounts.enums import Role
from rollbackhub.accounts.models import User
from rollbackhub.accounts.rules import Capability, may, require
from rollbackhub.audit.actors import Actor
from rollbackhub.audit.domain.record import record
from rollbackhub.common import clock
from rollbackhub.common.errors import Conflict, Forbidden, InvalidInput
from rollbackhub.executions.domain.transitions import close_execution, request_cancel, retry_execution, skip_step, undo_execution
from rollbackhub.executions.models import Execution
from rollbackhub.registry.domain.holds import lift_hold, list_standing_holds, start_hold
from rollbackhub.rollbacks.domain.changes import (
    address_of,
    change_state,
    clean_reason,
    current_part,
    locked,
    note,
    require_lead,
    require_person,
    wrong_state,
)
from rollbackhub.rollbacks.domain.coordination import refuse_past_no_return
from rollbackhub.rollbacks.domain.exposure import reckon_exposure
from rollbackhub.rollbacks.domain.selectors import get_rollback
from rollbackhub.rollbacks.domain.transitions import EARLIEST_DETECTION, aliases_of
from rollbackhub.rollbacks.enums import STOPPED_STATES, RollbackState
from rollbackhub.rollbacks.models import Rollback
from rollbackhub.routing.models import PolicyRevision


def retry_rollback(*, rollback_id: UUID, account: User, actor: Actor) -> Rollback:
    """Try the step again that stopped it. Raises NotFound, Forbidden, Conflict `wrong_state`."""
    require(user=account, capability=Capability.ROLL_BACK)
    execution = _stopped_execution(rollback_id)
    retry_execution(execution_id=execution.pk, actor=actor)
    return get_rollback(rollback_id)


def skip_failed_step(*, rollback_id: UUID, account: User, actor: Actor, reason: str) -> Rollback:
    """Go on without the step that stopped it: a lead, with a reason. What it was to observe stays unobserved, and says so.

    Raises NotFound, Forbidden, InvalidInput, Conflict.
    """
    require_lead(account=account, actor=actor, doing="Skipping a step")
    reason = clean_reason(reason)
    execution = _stopped_execution(rollback_id)
    with transaction.atomic():
        skip_step(execution_id=execution.pk, actor=actor, reason=reason)
        record(event="rollback.step_skipped", actor=actor, subject_type="rollback", subject_id=rollback_id, data={"reason": reason})
    return get_rollback(rollback_id)


def undo_rollback(*, rollback_id: UUID, account: User, actor: Actor, reason: str) -> Rollback:
    """Put the weights back as they were before. Once the version is under hold this lifts the hold, so it takes a lead.

    Raises NotFound, Forbidden, InvalidInput, Conflict (`past_no_return` behind a coordinated procedure's point of no return).
    """
    require(user=account, capability=Capability.ROLL_BACK)
    reason = clean_reason(reason)
    execution = _stopped_execution(rollback_id)
    refuse_past_no_return(get_rollback(rollback_id))
    with transaction.atomic():
        # The execution's row first, as always; the hold is lifted in the same transaction, before any weight is written.
        undo_execution(execution_id=execution.pk, actor=actor, reason=reason)
        for hold in list_standing_holds().filter(version_id=execution.bad_version_id, rollback_id=rollback_id):
            if not may(user=account, capability=Capability.LEAD):
                sentence = f"{hold.version.label} is under a stability hold already: putting it back lifts the hold, and that takes a lead."
                raise Forbidden(sentence, code="hold_stands")
            lift_hold(hold_id=hold.pk, user=account, actor=actor, reason=f"Put back: {reason}")
        record(event="rollback.undo_requested", actor=actor, subject_type="rollback", subject_id=rollback_id, data={"reason": reason})
    return get_rollback(rollback_id)


def stop_rollback(*, rollback_id: UUID, account: User, actor: Actor, reason: str) -> Rollback:
    """Stop a rollback that runs: before its first step it ends having changed nothing, later it waits for a person.

    Raises NotFound, Forbidden, InvalidInput, Conflict `wrong_state`.
    """
    require(user=account, capability=Capability.ROLL_BACK)
    reason = clean_reason(reason)
    rollback = get_rollback(rollback_id)
    execution = _execution_of(rollback)
    if rollback.state not in (RollbackState.RUNNING, RollbackState.RESTORED, RollbackState.ROLLING_FORWARD) or execution is None:
        raise wrong_state(rollback, "does not run, so it cannot be stopped")
    with transaction.atomic():
        request_cancel(execution_id=execution.pk, actor=actor, reason=reason)
        record(event="rollback.stop_requested", actor=actor, subject_type="rollback", subject_id=rollback_id, data={"reason": reason})
    return get_rollback(rollback_id)


def close_rollback(*, rollback_id: UUID, account: User, actor: Actor, reason: str) -> Rollback:
    """Close a verified rollback, or give up one that has stopped, as it stands: its aliases are free for a new one then.

    Whoever may roll back may give up, so that nobody is locked out at night; when something was changed already, every lead is told.

    Raises NotFound, Forbidden, InvalidInput, Conflict `wrong_state`.
    """
    require(user=account, capability=Capability.ROLL_BACK)
    reason = clean_reason(reason)
    rollback = get_rollback(rollback_id)
    if rollback.state == RollbackState.VERIFIED or (rollback.state == RollbackState.VERIFICATION_FAILED and rollback.verified_at is not None):
        with transaction.atomic():
            return change_state(
                rollback_id=rollback_id, to=RollbackState.CLOSED, actor=actor, event="rollback.closed", data={"reason": reason}, closed_at=clock.now()
            )
    if rollback.state not in STOPPED_STATES:
        raise wrong_state(rollback, "cannot be closed: it has to be verified, or to have stopped")
    require_person(account=account, actor=actor, doing="Giving up a rollback that is not restored and verified")
    execution = _execution_of(rollback)
    with transaction.atomic():
        if execution is not None and PolicyRevision.objects.filter(effect_key__startswith=f"{execution.pk}:").exists():
            tell(
                people=list_people_with(Role.PLATFORM_LEAD, Role.LEADERSHIP).exclude(pk=account.pk),
                key=f"given-up:{execution.pk}",
                subject=f"Given up unfinished: the rollback of {aliases_of(rollback)}",
                text=f"{actor.label}: {reason}",
                url=address_of(rollback),
            )
        # A roll-forward whose steps were skipped has ended by itself without holding: then there is none to close.
        if execution is not None and execution.is_active:
            close_execution(execution_id=execution.pk, actor=actor, reason=reason)
        record(event="rollback.given_up", actor=actor, subject_type="rollback", subject_id=rollback_id, data={"reason": reason})
        if locked(rollback_id).state in STOPPED_STATES:
            # A roll-forward that failed leaves the rollback as it is: the way back to rolling back ends here, and the bad version stays out.
            if execution is not None and execution.executed_at is not None:
                start_hold(version=execution.bad_version, rollback_id=rollback_id, actor=actor)
            said = f"{rollback.outcome} Given up by {actor.label}: {reason}"
            change_state(rollback_id=rollback_id, to=RollbackState.CLOSED, actor=actor, event="rollback.closed", data={"reason": reason}, outcome=said)
    return get_rollback(rollback_id)


def correct_detection(*, rollback_id: UUID, account: User, actor: Actor, detected_at: dt.datetime, reason: str) -> Rollback:
    """Correct when it was detected: a lead, with a reason; the exposure is reckoned again. Never silently: old and new are audited.

    Raises NotFound, Forbidden, InvalidInput.
    """
    require_lead(account=account, actor=actor, doing="Correcting the detection")
    reason = clean_reason(reason)
    with transaction.atomic():
        rollback = locked(rollback_id)
        if not rollback.decided_at - EARLIEST_DETECTION <= detected_at <= rollback.decided_at:
            sentence = f"The detection lies before the decision ({rollback.decided_at:%Y-%m-%d %H:%M:%S} UTC), by at most {EARLIEST_DETECTION.days} days."
            raise InvalidInput(sentence, code="detected_at_invalid", fields={"detected_at": [sentence]})
        before = rollback.detected_at.isoformat() if rollback.detected_at else None
        data = {"before": before, "after": detected_at.isoformat(), "reason": reason}
        note(rollback=rollback, actor=actor, event="rollback.detection_corrected", data=data, detected_at=detected_at)
        if rollback.restored_at is not None:
            reckon_exposure(rollback, actor=actor)
        return rollback


def _stopped_execution(rollback_id: UUID) -> Execution:
    """The execution that waits for a person. Raises NotFound, Conflict `wrong_state`."""
    rollback = get_rollback(rollback_id)
    execution = _execution_of(rollback)
    if rollback.state not in STOPPED_STATES:
        raise wrong_state(rollback, "has not stopped at a step")
    if execution is None or not execution.is_active:
        raise Conflict("Its execution has ended: there is no step to go on with. Close it, and request a new rollback if one is needed.", code="wrong_state")
    return execution


def _execution_of(rollback: Rollback) -> Execution | None:
    """What runs or stopped last: the present part's execution, or that of the roll-forward while none of its parts has one."""
    execution = current_part(rollback).execution
    if execution is not None:
        return execution
    return Execution.objects.filter(roll_forward__rollback=rollback).order_by("-created_at").first()
