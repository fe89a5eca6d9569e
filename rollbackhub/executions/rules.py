"""What a procedure must be, which state may follow which, and the fingerprint of a path. Pure: no database."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import rfc8785
from pydantic import BaseModel, ConfigDict, Field

from rollbackhub.executions.enums import ExecutionKind, ExecutionState, Segment

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


def canonical_hash(content: object) -> str:
    """SHA-256 (hex) over the RFC 8785 form of JSON content: the order of keys does not matter."""
    return hashlib.sha256(rfc8785.dumps(content)).hexdigest()  # type: ignore[arg-type]


def fingerprint(plan: Mapping[str, Any], *, digests: Mapping[str, str]) -> str:
    """SHA-256 over all that a rollback path depends on: procedure, versions with digests, the policy's shape, connections."""
    return canonical_hash(
        {
            "procedure": plan["procedure"]["hash"],
            "versions": dict(digests),
            "policy": {"alias": plan["alias"], "candidates": [{"id": entry["id"], "version_pin": entry["version_pin"]} for entry in plan["weights_before"]]},
            "connections": plan["connections"],
        }
    )
