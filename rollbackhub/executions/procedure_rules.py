"""Whether steps that are each well written make a rollback together: what cannot work is refused, what is likely wrong is said. Pure: no database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rollbackhub.executions.enums import REHEARSES, ExecutionKind, Segment
from rollbackhub.executions.rules import Step

OF_GATEWAYS = frozenset({"await_gateways"})
"""Actions that need gateways that take the policy from the hub."""

OF_MECHANISMS = frozenset({"await_observed", "await_consumers", "verify_served", "run_job"})
"""Actions that need a system that the hub moves."""

COUNTING = frozenset({"await_traffic", "await_drain", "verify"})
"""Actions that read requests by version."""

VERIFIES = frozenset({"verify", "verify_served"})
ORDER = tuple(Segment)


@dataclass(frozen=True, slots=True)
class MovedBy:
    """What moves the aliases of a procedure, as far as its steps depend on it."""

    connector: str = ""
    """Empty: the gateways."""
    counts_requests: bool = True
    known: bool = True
    """There is such a connector, and it moves versions."""

    @property
    def words(self) -> str:
        """For sentences."""
        return self.connector or "the gateways"


@dataclass(frozen=True, slots=True)
class Remark:
    """Something about a procedure. `step`: its place from 0, None for the whole; `field`: what of the step."""

    code: str
    sentence: str
    step: int | None = None
    field: str = ""

    @property
    def place(self) -> str:
        """As in the fields of an error: `steps.2.action`, or `steps`."""
        return ".".join(part for part in ("steps", "" if self.step is None else str(self.step), self.field) if part)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What was found."""

    refusals: list[Remark]
    warnings: list[Remark]

    @property
    def fields(self) -> dict[str, list[str]]:
        """The refusals as the fields of an error."""
        found: dict[str, list[str]] = {}
        for remark in self.refusals:
            found.setdefault(remark.place, []).append(remark.sentence)
        return found


@dataclass(frozen=True, slots=True)
class _Placed:
    index: int
    step: Step

    def runs_in(self, kind: ExecutionKind) -> bool:
        """As part of the procedure: what a rollback offers as its way out (`undo`) does not count."""
        return kind in self.step.kinds

    @property
    def sets(self) -> str:
        """Which of the plan's weights it sets; empty when it sets none."""
        if self.step.action == "restore_before":
            return "before"
        return str(self.step.params.get("to", "")) if self.step.action == "set_weights" else ""


def judge_procedure(steps: Sequence[Mapping[str, Any]], *, moved_by: MovedBy) -> Judgement:
    """What is wrong with these steps, and what is likely wrong. Each must be well written by itself (`require_valid_steps`)."""
    placed = [_Placed(index, Step.model_validate(values)) for index, values in enumerate(steps)]
    refusals = [*_mover_refusals(placed, moved_by), *_kind_refusals(placed), *_flip_refusals(placed), *_clock_refusals(placed)]
    return Judgement(refusals, [*_watching_warnings(placed), *_drill_warnings(placed), *_order_warnings(placed), *_counting_warnings(placed, moved_by)])


def _mover_refusals(placed: list[_Placed], moved_by: MovedBy) -> list[Remark]:
    if not moved_by.known:
        return [Remark("no_mover", f"There is no connector {moved_by.connector} that moves versions.")]
    found = []
    for entry in placed:
        action = entry.step.action
        if moved_by.connector and action in OF_GATEWAYS:
            sentence = f"{action} waits for gateways, but {moved_by.connector} moves these aliases. Use await_observed."
            found.append(Remark("wrong_mover", sentence, entry.index, "action"))
        elif not moved_by.connector and action in OF_MECHANISMS:
            instead = {"await_observed": "await_gateways", "await_consumers": "await_drain", "verify_served": "verify"}.get(action)
            sentence = f"{action} looks at a system that RollbackHub moves, but gateways take these aliases from RollbackHub."
            found.append(Remark("wrong_mover", f"{sentence} Use {instead}." if instead else sentence, entry.index, "action"))
    return found


def _kind_refusals(placed: list[_Placed]) -> list[Remark]:
    found = [Remark("no_kind", "The step runs in nothing: choose at least one, or remove it.", e.index, "kinds") for e in placed if not e.step.kinds]
    sentence = "A roll-forward has steps of its own: choose drill, rollback or rehearsal."
    return found + [Remark("forward", sentence, e.index, "kinds") for e in placed if ExecutionKind.ROLL_FORWARD in e.step.kinds]


def _flip_refusals(placed: list[_Placed]) -> list[Remark]:
    found: list[Remark] = []
    missing = [kind for kind in (ExecutionKind.ROLLBACK, *REHEARSES) if not any(e.sets == "rolled_back" and e.runs_in(kind) for e in placed)]
    if missing:
        names = " and no ".join(kind.label.lower() for kind in missing)
        found.append(Remark("no_flip", f"No {names} would flip: add a step set_weights to rolled_back that runs in it."))
    for entry in placed:
        if entry.sets.startswith("forward_"):
            found.append(Remark("forward", "Only a roll-forward has such stages: choose canary or rolled_back.", entry.index, "params.to"))
        if entry.runs_in(ExecutionKind.ROLLBACK) and entry.sets in ("canary", "before"):
            what = "give the bad version its canary weight again" if entry.sets == "canary" else "put the bad version back"
            found.append(Remark("exposes_in_rollback", f"A rollback would {what}: let this step run in drills and rehearsals only.", entry.index, "kinds"))
        verified = [other for other in placed[: entry.index] if other.step.action in VERIFIES and set(other.step.kinds) & set(entry.step.kinds)]
        if verified and entry.sets in ("canary", "rolled_back"):
            sentence = f"The weights change here after “{verified[0].step.title}”: what was verified is no longer what serves. Move it before."
            found.append(Remark("flip_after_verify", sentence, entry.index, "action"))
    return found


def _clock_refusals(placed: list[_Placed]) -> list[Remark]:
    clocks = [entry for entry in placed if entry.step.starts_clock]
    if not clocks:
        return [Remark("no_clock", "No step starts the clock, so a drill measures no time: let the flip start it.")]
    found = [Remark("two_clocks", "The clock is started by an earlier step already.", entry.index, "starts_clock") for entry in clocks[1:]]
    for kind in REHEARSES:
        if not any(entry.runs_in(kind) for entry in clocks):
            found.append(Remark("no_clock", f"The clock's step does not run in a {kind.label.lower()}.", clocks[0].index, "kinds"))
    flip = next((entry for entry in placed if entry.sets == "rolled_back"), None)
    if flip is not None and clocks[0].index > flip.index:
        sentence = f"The clock starts after “{flip.step.title}”: what that takes would not be measured."
        found.append(Remark("late_clock", sentence, clocks[0].index, "starts_clock"))
    return found


def _watching_warnings(placed: list[_Placed]) -> list[Remark]:
    """A rollback without verification is one of the five mistakes; without the two others it never counts as restored."""
    rollback = [entry for entry in placed if entry.runs_in(ExecutionKind.ROLLBACK)]
    there = {entry.step.segment for entry in rollback}
    found = []
    if Segment.PROPAGATE not in there:
        found.append(Remark("no_propagate", "Nothing waits until the flip has arrived (segment propagate): it never counts as restored, and no drill passes."))
    if Segment.DRAIN not in there:
        found.append(
            Remark("no_drain", "Nothing waits until the bad version is no longer used (segment drain): it never counts as restored, and no drill passes.")
        )
    if Segment.VERIFY not in there or not any(entry.step.action in VERIFIES for entry in rollback):
        found.append(Remark("no_verify", "Nothing verifies the rollback: one of the five mistakes. Whether users are well again, nobody knows."))
    if not any(entry.step.action == "preflight" for entry in rollback):
        found.append(Remark("no_preflight", "Nothing looks before acting: a moved flag is met in the middle. Add a preflight first."))
    return found


def _drill_warnings(placed: list[_Placed]) -> list[Remark]:
    drill = [entry for entry in placed if entry.runs_in(ExecutionKind.DRILL)]
    found = []
    if drill and not any(entry.sets == "before" and entry.step.always for entry in drill):
        found.append(Remark("no_restore", "A drill leaves staging as it rolled it back: add a step restore_before that runs always."))
    if drill and not any(entry.sets == "canary" for entry in drill):
        found.append(Remark("no_canary", "A drill does not bring the version under test to serve first: it may flip what nobody used."))
    return found


def _order_warnings(placed: list[_Placed]) -> list[Remark]:
    found: list[Remark] = []
    for kind, said in ((ExecutionKind.ROLLBACK, "a rollback"), (ExecutionKind.DRILL, "a drill")):
        last: _Placed | None = None
        for entry in placed:
            if not entry.runs_in(kind):
                continue
            if last is not None and ORDER.index(entry.step.segment) < ORDER.index(last.step.segment):
                sentence = (
                    f"In {said} the segment {entry.step.segment.label.lower()} comes after {last.step.segment.label.lower()}"
                    f" (“{last.step.title}”): the clock's segments go in their order."
                )
                if not any(remark.step == entry.index for remark in found):
                    found.append(Remark("order", sentence, entry.index, "segment"))
            else:
                last = entry
    for entry in placed:
        if entry.sets == "rolled_back" and entry.step.segment != Segment.EXECUTE:
            found.append(Remark("flip_segment", "The flip belongs to the segment execute: its time is counted there.", entry.index, "segment"))
    return found


def _counting_warnings(placed: list[_Placed], moved_by: MovedBy) -> list[Remark]:
    if not moved_by.connector or not moved_by.known or moved_by.counts_requests:
        return []
    sentence = f"{{}} reads requests by version, which {moved_by.connector} does not count: without other counters it ends as an error."
    return [Remark("not_counted", sentence.format(e.step.action), e.index, "action") for e in placed if e.step.action in COUNTING]
