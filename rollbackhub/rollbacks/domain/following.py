"""What a rollback makes of its executions: told by the engine, in the engine's own transaction."""

from __future__ import annotations

from typing import Any

from rollbackhub.audit.actors import system_actor
from rollbackhub.common import clock
from rollbackhub.common.durations import in_words
from rollbackhub.common.housekeeping import register_job
from rollbackhub.common.verdict import Verdict
from rollbackhub.executions.domain.looks import UNSEEN
from rollbackhub.executions.domain.mechanisms import shares_traffic
from rollbackhub.executions.domain.owners import ExecutionOwner, register_owner
from rollbackhub.executions.domain.restoring import is_revoked
from rollbackhub.executions.enums import ExecutionKind, ExecutionState, Segment
from rollbackhub.executions.models import Execution, StepAttempt
from rollbackhub.registry.domain.holds import start_hold
from rollbackhub.rollbacks.domain import watch
from rollbackhub.rollbacks.domain.approvals import expire_requests, tell_next_levels
from rollbackhub.rollbacks.domain.authority import get_authority, missing_authority
from rollbackhub.rollbacks.domain.changes import address_of, change_state, locked, note
from rollbackhub.rollbacks.domain.exposure import reckon_exposure
from rollbackhub.rollbacks.domain.roll_forward import RollForwardOwner
from rollbackhub.rollbacks.domain.selectors import costliest_segment_of, standing_in_words
from rollbackhub.rollbacks.domain.transitions import start_next_part
from rollbackhub.rollbacks.enums import STOPPED_STATES, RollbackState
from rollbackhub.rollbacks.models import Rollback, RollbackPart
from rollbackhub.rollbacks.rules import plan_hash
from rollbackhub.routing.domain.current import get_candidates

FOLLOWING = system_actor("rollbacks")


def register() -> None:
    """Once, when the app is ready."""
    register_owner(ExecutionKind.ROLLBACK, RollbackOwner())
    register_owner(ExecutionKind.ROLL_FORWARD, RollForwardOwner())
    register_job("rollbacks.tell_next_levels", every_seconds=1, function=tell_next_levels)
    register_job("rollbacks.expire_requests", every_seconds=1, function=expire_requests)
    register_job("rollbacks.resume_partially_restored", every_seconds=2, function=watch.resume_partially_restored)
    register_job("rollbacks.watch_held_versions", every_seconds=10, function=watch.watch_held_versions)
    register_job("rollbacks.watch_mechanisms", every_seconds=20, function=watch.watch_mechanisms)


class RollbackOwner(ExecutionOwner):
    """Executions of production rollbacks."""

    def refusal(self, execution: Execution) -> str | None:
        """Authority is checked again when the execution starts: roles, and the hash of what really runs."""
        part = _part_of(execution)
        if part is None:
            return "no rollback has asked for it."
        rollback = locked(part.rollback_id)
        plans = [execution.plan if other.pk == part.pk else other.plan for other in rollback.parts.order_by("position")]
        authority = get_authority(change_types=[plan["change_type"] for plan in plans], parts=len(plans), strategic=rollback.is_strategic)
        refusal = missing_authority(
            rollback, present_hash=plan_hash(plans, strategic=rollback.is_strategic, coordination=rollback.coordination), required=authority.role
        )
        if refusal is None and rollback.started_at is None:
            now = clock.now()
            note(rollback=rollback, actor=FOLLOWING, event="rollback.started", data={"execution": str(execution.pk)}, started_at=now)
        return refusal

    def restored(self, execution: Execution) -> None:
        """This alias is observed to be restored: its version goes under hold; after the last alias the rollback is restored."""
        part = _part_of(execution)
        if part is None:
            return
        rollback = locked(part.rollback_id)
        start_hold(version=part.bad_version, rollback_id=rollback.pk, actor=FOLLOWING)
        parts = list(rollback.parts.select_related("execution").order_by("position"))
        runs = [other.execution for other in parts if other.execution is not None]
        if rollback.state != RollbackState.RUNNING or len(runs) < len(parts) or any(run.restored_at is None for run in runs):
            return
        last = {field: max(getattr(run, field) for run in runs) for field in ("executed_at", "propagated_at", "drained_at", "restored_at")}
        seconds = clock.seconds_between(rollback.decided_at, last["restored_at"])
        rollback = change_state(
            rollback_id=rollback.pk,
            to=RollbackState.RESTORED,
            actor=FOLLOWING,
            event="rollback.restored",
            data={"rollback_seconds": seconds, "target_seconds": rollback.target_seconds},
            rollback_seconds=seconds,
            outcome=f"Restored in {in_words(seconds or 0)}; being verified.",
            **last,
        )
        reckon_exposure(rollback, actor=FOLLOWING)

    def revoked(self, execution: Execution) -> None:
        """The bad version still serves: the rollback is not restored, whatever was observed before. Its hold stays."""
        part = _part_of(execution)
        if part is None:
            return
        rollback = locked(part.rollback_id)
        if rollback.state != RollbackState.RESTORED:
            return
        was = {"restored_at": rollback.restored_at.isoformat() if rollback.restored_at else None, "rollback_seconds": rollback.rollback_seconds}
        self._move(
            rollback,
            RollbackState.RUNNING,
            "rollback.restored_revoked",
            {"execution": str(execution.pk), **was},
            restored_at=None,
            drained_at=None,
            rollback_seconds=None,
            outcome=f"Not restored after all: {part.bad_version.label} was seen to serve again after the drain.",
        )

    def state_changed(self, execution: Execution, *, before: str) -> None:
        """The rollback follows its execution."""
        part = _part_of(execution)
        if part is None or part.execution_id != execution.pk:
            return
        rollback = locked(part.rollback_id)
        state = ExecutionState(execution.state)
        if state == ExecutionState.NEEDS_HUMAN:
            self._stopped(rollback, execution)
        elif state == ExecutionState.CLEANING_UP:
            self._move(rollback, RollbackState.UNDOING, "rollback.undoing", outcome=execution.outcome)
        elif state == ExecutionState.RUNNING and before == ExecutionState.NEEDS_HUMAN:
            to = RollbackState.RESTORED if rollback.restored_at is not None else RollbackState.RUNNING
            self._move(rollback, to, "rollback.resumed", outcome="")
        elif state == ExecutionState.CANCELLED:
            self._cancelled(rollback, execution)
        elif state == ExecutionState.FINISHED:
            self._finished(rollback, execution)

    def reference(self, execution: Execution) -> str:
        """By the rollback's id: that is what its page and its hold are called by."""
        part = _part_of(execution)
        return f"{execution.get_kind_display()} {str(part.rollback_id)[:8]}" if part else super().reference(execution)

    def address(self, execution: Execution) -> str:
        """The rollback's page."""
        part = _part_of(execution)
        return address_of(part.rollback) if part else super().address(execution)

    def _stopped(self, rollback: Rollback, execution: Execution) -> None:
        """A step did not pass. Which state says how far things got."""
        failed = execution.attempts.order_by("-started_at", "-id").first()
        stands = standing_in_words(rollback)
        data: dict[str, Any] = {"execution": str(execution.pk), "step": failed.key if failed else None, "why": execution.outcome}
        if rollback.state == RollbackState.UNDOING or execution.verdict:
            self._move(rollback, RollbackState.NEEDS_HUMAN, "rollback.needs_human", data, outcome=f"{execution.outcome} {stands}")
        elif rollback.restored_at is not None:
            back = f"{execution.plan['alias']} is back at {' and '.join(execution.plan['good_versions'])}"
            restored = "Traffic is restored" if shares_traffic(execution.plan) else back
            advice = f"{restored}, but it is not shown that the harm is over. Look at the check, then verify again, or look for another cause."
            self._move(rollback, RollbackState.VERIFICATION_FAILED, "rollback.verification_failed", data, outcome=f"{execution.outcome} {advice}")
        elif execution.executed_at is not None and failed is not None and _is_partial(execution, failed):
            data["lagging"] = failed.result.get("lagging", [])
            said = f"{execution.outcome} {_advice_for(failed)} {stands}".strip()
            self._move(rollback, RollbackState.PARTIALLY_RESTORED, "rollback.partially_restored", data, outcome=said)
            if failed.segment == Segment.VERIFY:
                # It had been reckoned until the drain that was none.
                reckon_exposure(locked(rollback.pk), actor=FOLLOWING)
        else:
            self._move(rollback, RollbackState.NEEDS_HUMAN, "rollback.needs_human", data, outcome=f"{execution.outcome} {stands}")

    def _cancelled(self, rollback: Rollback, execution: Execution) -> None:
        others = rollback.parts.filter(execution__executed_at__isnull=False).exclude(execution=execution).exists()
        to = RollbackState.CLOSED if others else RollbackState.CANCELLED
        self._move(rollback, to, "rollback.cancelled", {"why": execution.outcome}, outcome=f"{execution.outcome} {standing_in_words(rollback)}")

    def _finished(self, rollback: Rollback, execution: Execution) -> None:
        if rollback.state == RollbackState.UNDOING:
            # Of several aliases those before this one stay rolled back: then the whole is closed, not undone.
            others = rollback.parts.filter(execution__executed_at__isnull=False).exclude(execution=execution).exists()
            to = RollbackState.CLOSED if others else RollbackState.UNDONE
            self._move(rollback, to, "rollback.undone", outcome=f"{execution.outcome} {standing_in_words(rollback)}")
            return
        if rollback.state in STOPPED_STATES:
            # Nothing was running: a person gave it up.
            self._hold_what_was_flipped(rollback)
            self._move(rollback, RollbackState.CLOSED, "rollback.closed", outcome=f"{execution.outcome} {standing_in_words(rollback)}")
            return
        if start_next_part(rollback, actor=FOLLOWING) is not None:
            return
        runs = [part.execution for part in rollback.parts.select_related("execution") if part.execution is not None]
        if any(run.verdict != Verdict.PASSED for run in runs):
            self._hold_what_was_flipped(rollback)
            said = "Not everything was observed, because steps were skipped."
            self._move(rollback, RollbackState.CLOSED, "rollback.closed", outcome=f"{said} {standing_in_words(rollback)}")
            return
        verified_at = max(run.verified_at for run in runs if run.verified_at is not None)
        self._move(
            rollback,
            RollbackState.VERIFIED,
            "rollback.verified",
            {"rollback_seconds": rollback.rollback_seconds, "target_seconds": rollback.target_seconds},
            verified_at=verified_at,
            outcome=_said_at_the_end(rollback),
        )

    @staticmethod
    def _hold_what_was_flipped(rollback: Rollback) -> None:
        """Versions that were taken out stay out, also where nobody saw the end of it; not those that were put back meanwhile."""
        for part in rollback.parts.select_related("bad_version", "policy").filter(execution__executed_at__isnull=False, execution__restored_at=None):
            label = part.bad_version.label
            if not any(candidate.version_pin == label and candidate.weight for candidate in get_candidates(policy=part.policy)):
                start_hold(version=part.bad_version, rollback_id=rollback.pk, actor=FOLLOWING)

    @staticmethod
    def _move(rollback: Rollback, to: RollbackState, event: str, data: dict[str, Any] | None = None, **fields: Any) -> None:
        change_state(rollback_id=rollback.pk, to=to, actor=FOLLOWING, event=event, data=data, **fields)


def _is_partial(execution: Execution, failed: StepAttempt) -> bool:
    """Whether a step stopped that had to observe that the bad version gets nothing: gateways, draining, or a verification that saw it serve."""
    return failed.segment in (Segment.PROPAGATE, Segment.DRAIN) or (failed.segment == Segment.VERIFY and is_revoked(execution))


def _advice_for(failed: StepAttempt) -> str:
    """What a person does about a rollback that is restored in part."""
    lagging = failed.result.get("lagging", [])
    if lagging:
        return f"Not following: {', '.join(lagging)}. Mend or stop what still serves the bad version; the rollback goes on by itself when the gateways follow."
    if failed.result.get(UNSEEN):
        return (
            "The traffic went by the gateways' counters alone. Mend the callers' metrics, then try the step again: it passes when they show nobody there."
            " If they cannot be mended now, look yourself at who is served, and decide: a lead may skip the step and say what was seen;"
            " nothing of it then counts as observed."
        )
    if failed.segment == Segment.VERIFY:
        return (
            "It is not restored while clients get the bad version: find what holds them there (sessions, callers beside the gateways), then try the step again."
        )
    return "Mend or stop what still serves the bad version; then try the step again."


def _said_at_the_end(rollback: Rollback) -> str:
    said = f"Restored in {in_words(rollback.rollback_seconds or 0)} and verified."
    if rollback.target_seconds is None or (rollback.rollback_seconds or 0) <= rollback.target_seconds:
        return said
    costliest = costliest_segment_of(rollback)
    where = f" {costliest.segment.label} cost most ({in_words(costliest.seconds)})." if costliest and costliest.seconds else ""
    return f"{said} It missed its target of {in_words(rollback.target_seconds)}.{where}"


def _part_of(execution: Execution) -> RollbackPart | None:
    return RollbackPart.objects.select_related("rollback", "bad_version").filter(execution=execution).first()
