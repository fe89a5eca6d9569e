"""Reading an execution: its segments, and its report."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from rollbackhub.common import clock
from rollbackhub.executions.enums import DECIDED_BY_PEOPLE, Segment
from rollbackhub.executions.models import Execution


@dataclass(frozen=True, slots=True)
class SegmentTime:
    """One segment of the clock. `seconds` and `end` are None while it lasts or when it was not reached."""

    segment: Segment
    start: dt.datetime | None
    end: dt.datetime | None

    @property
    def seconds(self) -> float | None:
        """Its duration in seconds."""
        return clock.seconds_between(self.start, self.end)


def segments_of(execution: Execution) -> list[SegmentTime]:
    """The segments of an execution in their order, from its recorded instants. No query.

    Propagating and draining overlap: draining counts from the last acknowledgement, or from the moment it was seen if that was earlier.
    """
    restored_from = execution.propagated_at
    if restored_from and execution.drained_at:
        restored_from = min(restored_from, execution.drained_at)
    if execution.kind in DECIDED_BY_PEOPLE:
        # Decided before it existed; it exists from the moment it was authorised.
        opening = [
            SegmentTime(Segment.AUTHORISE, execution.decided_at, execution.created_at),
            SegmentTime(Segment.EXECUTE, execution.created_at, execution.executed_at),
        ]
    else:
        opening = [
            SegmentTime(Segment.SETUP, execution.started_at, execution.decided_at),
            SegmentTime(Segment.EXECUTE, execution.decided_at, execution.executed_at),
        ]
    segments = [
        *opening,
        SegmentTime(Segment.PROPAGATE, execution.executed_at, execution.propagated_at),
        SegmentTime(Segment.DRAIN, restored_from, execution.drained_at),
        SegmentTime(Segment.VERIFY, execution.restored_at, execution.verified_at),
        SegmentTime(Segment.CLEAN_UP, execution.verified_at, execution.finished_at),
    ]
    return [segment for segment in segments if segment.start is not None]


def costliest_segment(execution: Execution) -> SegmentTime | None:
    """The segment between decision and restoration that took longest; None before any has ended. No query."""
    counted = [
        segment
        for segment in segments_of(execution)
        if segment.seconds is not None and segment.segment in (Segment.DECIDE, Segment.AUTHORISE, Segment.EXECUTE, Segment.PROPAGATE, Segment.DRAIN)
    ]
    return max(counted, key=lambda segment: segment.seconds or 0, default=None)


def report_of(execution: Execution) -> dict[str, Any]:
    """The whole of an execution as JSON: verdict, seconds per segment, findings, checks, steps. Four queries."""
    return {
        "id": str(execution.pk),
        "kind": execution.kind,
        "alias": execution.plan["alias"],
        "environment": execution.plan["environment"],
        "change_type": execution.change_type,
        "state": execution.state,
        "verdict": execution.verdict or None,
        "outcome": execution.outcome,
        "bad_version": execution.plan["bad_version"],
        "good_versions": execution.plan["good_versions"],
        "segments": {str(segment.segment): _rounded(segment.seconds) for segment in segments_of(execution)},
        "rollback_seconds": _rounded(execution.rollback_seconds),
        "target_seconds": execution.target_seconds,
        "findings": [
            {**found, "mended_at": found["mended_at"].isoformat() if found["mended_at"] else None}
            for found in execution.findings.values("code", "subject", "expected", "found", "remedy", "mended_at")
        ],
        "checks": list(execution.checks.values("check_name", "verdict", "sentence", "numbers")),
        "steps": [
            {
                "key": attempt.key,
                "attempt": attempt.number,
                "state": attempt.state,
                "verdict": attempt.verdict or None,
                "seconds": _rounded(clock.seconds_between(attempt.started_at, attempt.ended_at)),
                "message": attempt.message,
            }
            for attempt in execution.attempts.all()
        ],
        "samples": execution.samples.count(),
        "fingerprint": execution.fingerprint,
        "procedure": execution.plan["procedure"],
        "requested_by": execution.requested_by_label,
        "created_at": execution.created_at.isoformat(),
        "finished_at": execution.finished_at.isoformat() if execution.finished_at else None,
        "is_lab": execution.is_lab,
    }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 4)
