"""The instants of the clock, and `restored`: set when it was observed, taken back when the bad version is seen to serve again."""

from __future__ import annotations

import datetime as dt
from typing import Any

from rollbackhub.common import clock
from rollbackhub.executions.domain.owners import owner_of
from rollbackhub.executions.enums import Segment, StepState
from rollbackhub.executions.models import Execution

_INSTANT_OF_SEGMENT = {
    Segment.EXECUTE: "executed_at",
    Segment.PROPAGATE: "propagated_at",
    Segment.DRAIN: "drained_at",
    Segment.VERIFY: "verified_at",
}

SERVED_AGAIN = "served_again"
"""In the result of an attempt: it saw the bad version serve after the drain."""


def mark_instant(execution: Execution, segment: Segment, at: dt.datetime) -> None:
    """Set the instant that the segment ends with, and `restored_at` once propagated and drained are both known. In a fenced transaction."""
    field = _INSTANT_OF_SEGMENT.get(segment)
    if field is None:
        return
    columns = ("decided_at", *_INSTANT_OF_SEGMENT.values())
    instants: dict[str, dt.datetime | None] = dict(zip(columns, Execution.objects.values_list(*columns).get(pk=execution.pk), strict=True))
    if instants[field] is not None:
        return
    instants[field] = at
    changes: dict[str, Any] = {field: at}
    if segment in (Segment.PROPAGATE, Segment.DRAIN) and instants["propagated_at"] and instants["drained_at"]:
        restored_at = max(instants["propagated_at"], instants["drained_at"])
        changes |= {"restored_at": restored_at, "rollback_seconds": clock.seconds_between(instants["decided_at"], restored_at)}
    Execution.objects.filter(pk=execution.pk).update(**changes)
    if "restored_at" in changes:
        execution.refresh_from_db()
        owner_of(execution).restored(execution)


def revoke_restored(execution: Execution) -> None:
    """The bad version was seen to serve after the drain: it is not drained, and nothing is restored. In a fenced transaction."""
    if Execution.objects.filter(pk=execution.pk, drained_at__isnull=False).update(drained_at=None, restored_at=None, rollback_seconds=None):
        execution.refresh_from_db()
        owner_of(execution).revoked(execution)


def mark_drained_again(execution: Execution, at: dt.datetime) -> None:
    """What was revoked is observed again. A drain that nobody has observed (a person skipped it) stays so. In a fenced transaction."""
    if _drain_was_observed(execution):
        mark_instant(execution, Segment.DRAIN, at)


def is_revoked(execution: Execution) -> bool:
    """Whether it was seen drained once, and is not any more. At most one query."""
    return execution.drained_at is None and _drain_was_observed(execution)


def _drain_was_observed(execution: Execution) -> bool:
    settled = execution.attempts.filter(segment=Segment.DRAIN, state__in=(StepState.DONE, StepState.SKIPPED))
    return set(settled.values_list("state", flat=True)) == {StepState.DONE}
