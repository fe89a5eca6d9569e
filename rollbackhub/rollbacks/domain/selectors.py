"""Reading rollbacks: lists, the whole clock, what stands where, the report."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from rollbackhub.common import clock
from rollbackhub.common.errors import NotFound
from rollbackhub.executions.domain.mechanisms import shares_traffic
from rollbackhub.executions.domain.selectors import SegmentTime, report_of
from rollbackhub.executions.enums import ExecutionState, Segment, StepState
from rollbackhub.executions.models import Execution
from rollbackhub.rollbacks.enums import HOLDING_STATES, OPEN_STATES
from rollbackhub.rollbacks.models import Rollback, RollbackPart


def get_rollback(rollback_id: UUID) -> Rollback:
    """A rollback with the people of it. Raises NotFound. One query."""
    rollback = Rollback.objects.select_related("environment", "principal", "requested_by", "authorised_by", "reviewed_by").filter(pk=rollback_id).first()
    if rollback is None:
        raise NotFound("There is no such rollback.", code="rollback_not_found")
    return rollback


def list_rollbacks(
    *, state: str = "", environment: str = "", alias: str = "", change_type: str = "", only_open: bool = False, query: str = ""
) -> QuerySet[Rollback]:
    """Rollbacks, newest first, with their parts. Two queries for any number."""
    found = Rollback.objects.select_related("environment", "principal", "authorised_by").prefetch_related("parts__policy", "parts__bad_version")
    if state:
        found = found.filter(state=state)
    if only_open:
        found = found.filter(state__in=OPEN_STATES)
    if environment:
        found = found.filter(environment__slug=environment)
    of_parts: dict[str, Any] = {}
    if alias:
        of_parts["policy__alias"] = alias
    if change_type:
        of_parts["policy__artefact__change_type"] = change_type
    if query:
        of_parts["policy__alias__icontains"] = query
    if of_parts:
        found = found.filter(pk__in=RollbackPart.objects.filter(**of_parts).values("rollback"))
    return found.order_by("-created_at", "-pk")


def list_running() -> QuerySet[Rollback]:
    """Rollbacks that run or need somebody, without those that only wait for approval. They show on every page."""
    return list_rollbacks().filter(state__in=[state for state in HOLDING_STATES if state != "awaiting_approval"])


def list_parts(rollback: Rollback) -> list[RollbackPart]:
    """The parts in their order, with executions and policies. One query."""
    return list(
        rollback.parts.select_related("execution", "policy__environment", "policy__artefact__team", "bad_version", "procedure_version__procedure").order_by(
            "position"
        )
    )


def segments_of_rollback(rollback: Rollback, *, executions: Sequence[Execution] = ()) -> list[SegmentTime]:
    """The whole clock, from detection to verification, from recorded instants. No query. Segments without a start are left out.

    While it runs, what its executions have reached so far counts. Propagating and draining overlap: draining counts from the last
    acknowledgement, or from the moment it was seen if that was earlier.
    """
    reached = {name: getattr(rollback, name) or _last_of(executions, name) for name in ("executed_at", "propagated_at", "drained_at")}
    drain_from = reached["propagated_at"]
    if drain_from and reached["drained_at"]:
        drain_from = min(drain_from, reached["drained_at"])
    segments = [
        SegmentTime(Segment.DETECT, rollback.detected_at, rollback.decided_at if rollback.detected_at else None),
        SegmentTime(Segment.AUTHORISE, rollback.decided_at, rollback.authorised_at),
        SegmentTime(Segment.EXECUTE, rollback.authorised_at, reached["executed_at"]),
        SegmentTime(Segment.PROPAGATE, reached["executed_at"], reached["propagated_at"]),
        SegmentTime(Segment.DRAIN, drain_from, reached["drained_at"]),
        SegmentTime(Segment.VERIFY, rollback.restored_at, rollback.verified_at),
    ]
    return [segment for segment in segments if segment.start is not None]


def _last_of(executions: Sequence[Execution], name: str) -> dt.datetime | None:
    """The last of the executions' instants; None until all of them have it."""
    instants = [getattr(execution, name) for execution in executions]
    return max(instants) if instants and None not in instants else None


def costliest_segment_of(rollback: Rollback) -> SegmentTime | None:
    """The segment between decision and restoration that took longest; None before any has ended. No query."""
    counted = (Segment.AUTHORISE, Segment.EXECUTE, Segment.PROPAGATE, Segment.DRAIN)
    ended = [segment for segment in segments_of_rollback(rollback) if segment.segment in counted and segment.seconds is not None]
    return max(ended, key=lambda segment: segment.seconds or 0, default=None)


def standing_in_words(rollback: Rollback) -> str:
    """What was changed and what was not, alias by alias. One query."""
    parts = rollback.parts.select_related("execution", "policy", "bad_version").order_by("position")
    return " ".join(f"{part.policy.alias}: {stands_in_words(part)}." for part in parts)


def stands_in_words(part: RollbackPart) -> str:
    """What was changed at one alias and what was not. One query once something was changed."""
    execution, bad = part.execution, part.bad_version.label
    shared = shares_traffic(part.plan)
    stays = f"{bad} keeps its weight" if shared else f"{bad} goes on serving"
    if execution is None:
        return f"not begun, {stays}"
    if execution.executed_at is None:
        return f"nothing was changed, {stays}"
    put_back = execution.attempts.filter(segment=Segment.CLEAN_UP, action="restore_before", state=StepState.DONE).exists()
    if put_back and execution.verdict != "passed":
        return f"put back as before, {bad} has its weight again" if shared else f"put back as before, {bad} serves again"
    if execution.restored_at is None:
        return f"the flip is written, but it is not observed that {bad} gets no traffic" if shared else f"it was told to go back, but {bad} may still be in use"
    if execution.state == ExecutionState.FINISHED and execution.verified_at is not None:
        return f"restored and verified without {bad}"
    return f"restored without {bad}, not verified"


def rollback_report(rollback: Rollback) -> dict[str, Any]:
    """The whole of a rollback as JSON: state, authority, clock in seconds, exposure, each alias with its execution's report."""
    parts = list_parts(rollback)
    costliest = costliest_segment_of(rollback)
    missed = rollback.target_seconds is not None and rollback.rollback_seconds is not None and rollback.rollback_seconds > rollback.target_seconds
    return {
        "id": str(rollback.pk),
        "state": rollback.state,
        "outcome": rollback.outcome,
        "environment": rollback.environment.slug,
        "aliases": [part.policy.alias for part in parts],
        "scope": "coordinated" if len(parts) > 1 else "single",
        "strategic": rollback.is_strategic,
        "coordination": rollback.coordination,
        "reason": rollback.reason,
        "requested_by": rollback.requested_by_label,
        "authority": {
            "required_role": rollback.required_role,
            "because": rollback.required_because,
            "how": rollback.authorised_how or None,
            "by": rollback.authorised_by.username if rollback.authorised_by else None,
            "break_glass_reason": rollback.break_glass_reason or None,
            "review_signed_by": rollback.reviewed_by.username if rollback.reviewed_by else None,
        },
        "clock": {
            name: getattr(rollback, f"{name}_at")
            for name in ("detected", "decided", "authorised", "started", "executed", "propagated", "drained", "restored", "verified", "closed")
        },
        "segments": {str(segment.segment): _rounded(segment.seconds) for segment in segments_of_rollback(rollback)},
        "rollback_seconds": _rounded(rollback.rollback_seconds),
        "target_seconds": rollback.target_seconds,
        "missed_target_by": str(costliest.segment) if missed and costliest else None,
        "exposure": {"observed": rollback.exposure_observed, "estimated": rollback.exposure_estimated, "basis": rollback.exposure_basis or None},
        "bad_version_share": _last_share(parts),
        "parts": [
            {
                "alias": part.policy.alias,
                "bad_version": part.bad_version.label,
                "stands": stands_in_words(part),
                "execution": report_of(part.execution) if part.execution else None,
            }
            for part in parts
        ],
    }


def _last_share(parts: list[RollbackPart]) -> float | None:
    """The bad versions' share of the traffic (0 to 1) in the newest sample of each execution; the highest of them. None when there is none."""
    shares: list[float] = []
    for part in parts:
        if part.execution is None:
            continue
        newest = part.execution.samples.filter(kind="traffic", value__total__gt=0).order_by("-id").first()
        if newest is not None:
            shares.append(float(newest.value["shares"].get(part.bad_version.label, 0)))
    return max(shares, default=None)


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


def list_executions_of(rollback: Rollback) -> list[Execution]:
    """The executions of the parts, in order. One query."""
    return list(Execution.objects.filter(rollback_part__rollback=rollback).order_by("rollback_part__position"))


def seconds_so_far(rollback: Rollback) -> float | None:
    """From the decision until restored, or until now while it lasts."""
    if rollback.rollback_seconds is not None:
        return rollback.rollback_seconds
    return clock.seconds_between(rollback.decided_at, rollback.closed_at or clock.now())
