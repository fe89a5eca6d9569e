"""What the last drill of an alias says about it now. Pure: no database."""

from __future__ import annotations

import datetime as dt

from drills.enums import AliasState
from rollbackhub.common.verdict import Verdict
from rollbackhub.executions.enums import ExecutionState
from rollbackhub.executions.rules import proven_until


def alias_state(*, stakes: str, last_verdict: str, last_finished_at: dt.datetime | None, active_state: str, now: dt.datetime) -> AliasState:
    """The state of an alias from its last finished drill (verdict empty: there is none) and what runs on it now (empty: nothing)."""
    if active_state == ExecutionState.NEEDS_HUMAN:
        return AliasState.NEEDS_PERSON
    if active_state:
        return AliasState.RUNNING
    if not last_verdict or last_finished_at is None:
        return AliasState.MISSING
    if last_verdict == Verdict.FAILED:
        return AliasState.FAILED
    if last_verdict != Verdict.PASSED:
        return AliasState.UNPROVEN
    return AliasState.OVERDUE if now > proven_until(last_finished_at, stakes=stakes) else AliasState.PASSED
