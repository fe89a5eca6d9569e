"""What the page of a drill says: the answer to its question, and its steps in words."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any
from uuid import UUID

from django.core.serializers.json import DjangoJSONEncoder

from rollbackhub.common import clock
from rollbackhub.common.durations import in_words
from rollbackhub.common.verdict import Verdict
from rollbackhub.connectors.mechanism import JobState
from rollbackhub.dashboard.looks import EXECUTIONS, STEPS, VERDICTS, Look
from rollbackhub.executions.domain.listing import JobSeen
from rollbackhub.executions.enums import ExecutionState, Segment, StepState
from rollbackhub.executions.models import Execution, StepAttempt
from rollbackhub.releases.models import Release


def noun_of(execution: Execution) -> str:
    """`drill` or `rehearsal`."""
    return str(execution.get_kind_display()).lower()


def release_of(execution: Execution) -> Release | None:
    """The release that asked for a rehearsal; it must be fetched with the execution, or it costs a query."""
    rehearsal = getattr(execution, "release_rehearsal", None)
    return rehearsal.release if rehearsal is not None else None


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer above the fold."""

    words: str
    look: Look


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job of another system as its step shows it."""

    seen: JobSeen
    step_runs: bool

    @property
    def runs(self) -> bool:
        """Whether somebody follows it now."""
        return self.step_runs and self.seen.state in ("", JobState.RUNNING)

    @property
    def share(self) -> int | None:
        """Whole percent done while it runs; None when the system does not say."""
        return int(self.seen.progress) if self.runs and self.seen.progress is not None else None

    @property
    def words(self) -> str:
        """`40 % done: Embedding documents` while it runs, `Ended well after 42 s` afterwards. Without a full stop."""
        seen = self.seen
        took = in_words(clock.seconds_between(seen.begun_at, seen.seen_at) or 0.0)
        if seen.state == JobState.SUCCEEDED:
            return f"Ended well after {took}"
        said = f": {seen.message.rstrip('.')}" if seen.message else ""
        if seen.state == JobState.FAILED:
            return f"Failed after {took}{said}"
        done = f"{seen.progress:.0f} % done" if seen.progress is not None else "It does not say how much is done"
        if not self.step_runs:
            return f"Had not ended when this step did ({done[:1].lower() + done[1:]}{said})"
        return f"{done}{said}"

    @property
    def problem(self) -> str:
        """Why it could not be asked lately."""
        return self.seen.problem.partition(": ")[2] or self.seen.problem


@dataclass(slots=True)
class StepRow:
    """One step of the frozen plan and what became of it."""

    number: int
    key: str
    title: str
    segment: str
    state: str
    look: Look
    attempts: list[StepAttempt] = field(default_factory=list)
    job: JobRow | None = None
    """The job that it has another system run, once that was seen."""

    @property
    def message(self) -> str:
        """What the last attempt said."""
        return self.attempts[-1].message if self.attempts else ""

    @property
    def running_since(self) -> dt.datetime | None:
        """When the attempt that runs now began."""
        return self.attempts[-1].started_at if self.attempts and self.state == StepState.STARTED else None

    @property
    def seconds(self) -> float | None:
        """From the first beginning to the last end, interruptions included."""
        return clock.seconds_between(self.attempts[0].started_at, self.attempts[-1].ended_at) if self.attempts else None

    @property
    def history(self) -> list[str]:
        """Earlier attempts and how the step went on, in words; empty when the first attempt did it."""
        sentences = []
        for earlier, later in pairwise(self.attempts):
            ended = f"Attempt {earlier.number} by {earlier.worker}: {STEPS[StepState(earlier.state)].word.lower()}"
            gap = clock.seconds_between(earlier.ended_at or earlier.started_at, later.started_at)
            message = f" ({earlier.message.rstrip('.')})" if earlier.message else ""
            after = "at once" if gap is None or gap < 0.05 else f"{in_words(gap)} later"
            sentences.append(f"{ended}{message}; attempt {later.number} by {later.worker} went on {after}.")
        return sentences


def step_rows(execution: Execution, *, jobs: Mapping[tuple[UUID, int], JobSeen] | None = None) -> list[StepRow]:
    """Every step of the plan with its attempts (which must be fetched), and with the `jobs` of `list_jobs`. No query."""
    attempts: dict[int, list[StepAttempt]] = {}
    for attempt in execution.attempts.all():
        attempts.setdefault(attempt.position, []).append(attempt)
    rows = []
    for position, step in enumerate(execution.plan["steps"]):
        mine = attempts.get(position, [])
        if mine:
            state = str(mine[-1].state)
        else:
            passed_by = not execution.is_active or (execution.state == ExecutionState.CLEANING_UP and not step.get("always"))
            state = "skipped" if passed_by else "waiting"
        segment = Segment(step["segment"]).label
        seen = (jobs or {}).get((execution.pk, position))
        job = JobRow(seen, step_runs=state == StepState.STARTED) if seen else None
        rows.append(StepRow(position + 1, step["key"], step.get("title") or step["key"], segment, state, _look(state), mine, job))
    return rows


def _look(state: str) -> Look:
    return STEPS[StepState(state)] if state in StepState.values else STEPS[state]


def answer_of(execution: Execution, steps: Sequence[StepRow]) -> Answer:
    """Did the rollback work, and in time?"""
    state = ExecutionState(execution.state)
    took = in_words(execution.rollback_seconds) if execution.rollback_seconds is not None else ""
    target = f"; the target is {in_words(execution.target_seconds)}" if execution.target_seconds else "; there is no target"
    if state == ExecutionState.FINISHED:
        verdict = Verdict(execution.verdict)
        words = {
            Verdict.PASSED: f"Yes: rolled back in {took}{target}.",
            Verdict.FAILED: f"No: rolled back in {took}, but it did not pass{target}." if took else "No: the rollback did not work.",
            Verdict.INCONCLUSIVE: "Unknown: there was not enough data to say.",
            Verdict.ERROR: "Unknown: it could not be carried out or checked.",
        }[verdict]
        return Answer(words, VERDICTS[verdict])
    if state == ExecutionState.CANCELLED:
        return Answer("Unknown: it was stopped before it began.", EXECUTIONS[state])
    if state == ExecutionState.NEEDS_HUMAN:
        return Answer("It stands still and needs a person to decide.", EXECUTIONS[state])
    now = next((step for step in steps if step.state == StepState.STARTED), None)
    at = f": step {now.number} of {len(steps)}, {now.title[:1].lower() + now.title[1:]}" if now else ""
    if state == ExecutionState.CLEANING_UP:
        return Answer(f"Not yet: things are being put back{at}.", EXECUTIONS[state])
    if execution.cancel_requested_at:
        return Answer(f"Not yet: it is being stopped{at}.", EXECUTIONS[state])
    if state == ExecutionState.QUEUED:
        return Answer("Not yet: it waits for a worker.", EXECUTIONS[state])
    return Answer(f"Not yet: it runs{at}.", EXECUTIONS[state])


def digest_of(state: dict[str, Any]) -> str:
    """A short name of what `state_digest` found: equal while nothing has changed."""
    return hashlib.sha256(json.dumps(state, cls=DjangoJSONEncoder, sort_keys=True).encode()).hexdigest()[:16]
