"""What the last drill says about an alias."""

from __future__ import annotations

import datetime as dt

import pytest

from drills.enums import AliasState
from drills.rules import alias_state

NOW = dt.datetime(2026, 5, 1, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("active", "verdict", "days_ago", "state"),
    [
        ("", "", None, AliasState.MISSING),
        ("", "passed", 0, AliasState.PASSED),
        ("", "passed", 30, AliasState.PASSED),
        ("", "passed", 32, AliasState.OVERDUE),
        ("", "failed", 0, AliasState.FAILED),
        ("", "inconclusive", 0, AliasState.UNPROVEN),
        ("", "error", 0, AliasState.UNPROVEN),
        ("queued", "failed", 0, AliasState.RUNNING),
        ("running", "passed", 0, AliasState.RUNNING),
        ("cleaning_up", "", None, AliasState.RUNNING),
        ("needs_human", "passed", 0, AliasState.NEEDS_PERSON),
    ],
)
def test_alias_state_each_case_of_high_stakes(active: str, verdict: str, days_ago: int | None, state: AliasState) -> None:
    finished = None if days_ago is None else NOW - dt.timedelta(days=days_ago)
    assert alias_state(stakes="high", last_verdict=verdict, last_finished_at=finished, active_state=active, now=NOW) == state


def test_alias_state_standard_stakes_passed_counts_a_quarter() -> None:
    for days, state in ((92, AliasState.PASSED), (93, AliasState.OVERDUE)):
        finished = NOW - dt.timedelta(days=days)
        assert alias_state(stakes="standard", last_verdict="passed", last_finished_at=finished, active_state="", now=NOW) == state
