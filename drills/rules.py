"""How a planned drill moves. Pure."""

from __future__ import annotations

from drills.enums import PlannedState

TRANSITIONS: dict[PlannedState, frozenset[PlannedState]] = {
    PlannedState.DUE: frozenset({PlannedState.OVERDUE, PlannedState.RUNNING, PlannedState.MISSED, PlannedState.EXCUSED}),
    PlannedState.OVERDUE: frozenset({PlannedState.RUNNING, PlannedState.MISSED, PlannedState.EXCUSED}),
    PlannedState.RUNNING: frozenset({PlannedState.PASSED, PlannedState.FAILED}),
    PlannedState.PASSED: frozenset(),
    PlannedState.FAILED: frozenset(),
    PlannedState.MISSED: frozenset({PlannedState.EXCUSED}),
    PlannedState.EXCUSED: frozenset(),
}
"""From → to. A drill that was missed may be excused by a lead afterwards; that does not make it passed."""
