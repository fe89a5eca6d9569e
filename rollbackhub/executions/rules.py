"""What a procedure must be, and which state may follow which. Pure: no database."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from rollbackhub.common.verdict import Verdict
from rollbackhub.executions.enums import ExecutionKind, ExecutionState, ProofState, Segment
from rollbackhub.registry.enums import Stakes

TRANSITIONS: dict[ExecutionState, frozenset[ExecutionState]] = {
    ExecutionState.QUEUED: frozenset({ExecutionState.RUNNING, ExecutionState.CANCELLED}),
    ExecutionState.RUNNING: frozenset({ExecutionState.CLEANING_UP, ExecutionState.NEEDS_HUMAN, ExecutionState.FINISHED, ExecutionState.CANCELLED}),
    ExecutionState.CLEANING_UP: frozenset({ExecutionState.NEEDS_HUMAN, ExecutionState.FINISHED}),
    ExecutionState.NEEDS_HUMAN: frozenset({ExecutionState.RUNNING, ExecutionState.CLEANING_UP, ExecutionState.FINISHED}),
    ExecutionState.FINISHED: frozenset(),
    ExecutionState.CANCELLED: frozenset(),
}
"""Which state may follow which. Running becomes cancelled only before its first step, when its owner refuses the start."""

MAX_STEP_ATTEMPTS = 10
"""A step that was begun this often without an end needs a person."""


class Step(BaseModel):
    """One step of a procedure, as it is written."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: str = Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")
    title: str = Field(min_length=1, max_length=120)
    action: str
    params: dict[str, Any] = {}
    segment: Segment
    kinds: tuple[ExecutionKind, ...] = (ExecutionKind.DRILL, ExecutionKind.ROLLBACK, ExecutionKind.REHEARSAL)
    """In which kinds of execution it runs: setting up and putting back belong to drills only."""
    always: bool = False
    """It runs also after an earlier step failed."""
    starts_clock: bool = False
    """The rollback's clock starts when this step does (in a drill, where nobody has to decide)."""


def steps_for(steps: Sequence[Mapping[str, Any]], *, kind: ExecutionKind) -> list[dict[str, Any]]:
    """The steps of a procedure that an execution of this kind runs, as JSON.

    What always puts things back after a drill is in a rollback a way out that a person may choose: `undo` steps run only then.
    """
    found: list[dict[str, Any]] = []
    for step in map(Step.model_validate, steps):
        undo = kind == ExecutionKind.ROLLBACK and step.always and kind not in step.kinds
        if undo or kind in step.kinds:
            found.append({**step.model_dump(mode="json", exclude={"kinds"}), "undo": undo, "always": step.always and not undo})
    return found


def runs_now(step: Mapping[str, Any], *, putting_back: bool) -> bool:
    """Whether a step of a frozen plan belongs to what runs now: the procedure itself, or putting things back."""
    undo = bool(step.get("undo", False))
    return (bool(step["always"]) or undo) if putting_back else not undo


PROVEN_FOR = {Stakes.HIGH: dt.timedelta(days=31), Stakes.STANDARD: dt.timedelta(days=92)}
"""High stakes are drilled monthly, the rest quarterly; a passed drill proves its path that long."""


def proven_until(finished_at: dt.datetime, *, stakes: str) -> dt.datetime:
    """When the proof that a drill gave is too old."""
    return finished_at + PROVEN_FOR[Stakes(stakes)]


def proof_state(*, verdict: str, changed: bool, expires_at: dt.datetime, at: dt.datetime) -> ProofState:
    """What a run that ended passed or failed proves at this instant."""
    if verdict != Verdict.PASSED:
        return ProofState.FAILED
    if changed:
        return ProofState.STALE
    return ProofState.EXPIRED if at > expires_at else ProofState.VALID
