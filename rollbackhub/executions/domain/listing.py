"""Lists of executions for pages."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import Max, Min, Prefetch, Q, QuerySet
from django.db.models.fields.json import KT

from rollbackhub.common.errors import InvalidInput
from rollbackhub.common.verdict import Verdict
from rollbackhub.executions.enums import ACTIVE_STATES, ExecutionKind, ExecutionState
from rollbackhub.executions.models import Execution, Sample, StepAttempt
from rollbackhub.routing.models import RoutingPolicy


@dataclass(frozen=True, slots=True)
class ExecutionFilter:
    """Which executions: empty means all. `outcome` is a verdict, `active` or `cancelled`."""

    alias: str = ""
    environment: str = ""
    outcome: str = ""
    change_type: str = ""
    since: dt.datetime | None = None


def list_active(*, limit: int = 5) -> list[Execution]:
    """What runs or waits for a person now, oldest first. One query."""
    return list(Execution.objects.filter(state__in=ACTIVE_STATES).order_by("created_at")[:limit])


def filter_executions(*, kinds: Sequence[ExecutionKind], wanted: ExecutionFilter) -> QuerySet[Execution]:
    """The executions of these kinds that match, newest first."""
    found = Execution.objects.filter(kind__in=kinds).order_by("-created_at", "-id")
    if wanted.alias or wanted.environment:
        policies = RoutingPolicy.objects.all()
        if wanted.alias:
            policies = policies.filter(alias__icontains=wanted.alias)
        if wanted.environment:
            policies = policies.filter(environment__slug=wanted.environment)
        found = found.filter(policy__in=policies)
    if wanted.outcome == "active":
        found = found.filter(state__in=ACTIVE_STATES)
    elif wanted.outcome == "cancelled":
        found = found.filter(state=ExecutionState.CANCELLED)
    elif wanted.outcome:
        if wanted.outcome not in Verdict.values:
            raise InvalidInput(f"There is no outcome {wanted.outcome!r}; there are {', '.join(Verdict.values)}, active and cancelled.")
        found = found.filter(state=ExecutionState.FINISHED, verdict=wanted.outcome)
    if wanted.change_type:
        found = found.filter(change_type=wanted.change_type)
    if wanted.since is not None:
        found = found.filter(created_at__gte=wanted.since)
    return found


def after_cursor(executions: QuerySet[Execution], *, created_at: dt.datetime, execution_id: UUID) -> QuerySet[Execution]:
    """Those that come after this one in a list of the newest first."""
    # The first condition says nothing new, but lets the index begin in the right place.
    return executions.filter(created_at__lte=created_at).filter(Q(created_at__lt=created_at) | Q(created_at=created_at, id__lt=execution_id))


def get_for_page(executions: QuerySet[Execution], *, execution_id: UUID) -> Execution | None:
    """An execution with all that its page shows but its samples. Five queries."""
    attempts = StepAttempt.objects.order_by("position", "number")
    return (
        executions.filter(pk=execution_id)
        .select_related("environment", "policy", "policy__artefact", "procedure_version__procedure", "bad_version")
        .prefetch_related(Prefetch("attempts", queryset=attempts), "checks__attempt", "findings")
        .first()
    )


def list_samples(*, execution_id: UUID, kinds: Iterable[str], limit: int) -> list[Sample]:
    """The newest samples of these kinds, oldest first. One query."""
    newest = Sample.objects.filter(execution_id=execution_id, kind__in=list(kinds)).order_by("-taken_at", "-id")[:limit]
    return list(reversed(newest))


def state_digest(execution_id: UUID) -> dict[str, Any] | None:
    """What tells whether a page about this execution is still true: state, steps and what they say, findings, jobs. Three queries; None when there is none."""
    found = Execution.objects.filter(pk=execution_id).values("state", "verdict", "cancel_requested_at", "outcome", "claims").first()
    if found is None:
        return None
    attempts = StepAttempt.objects.filter(execution_id=execution_id).order_by("position", "number")
    return {**found, "attempts": list(attempts.values_list("position", "number", "state", "message")), "job": newest_look([execution_id], kinds=["job"])}


@dataclass(frozen=True, slots=True)
class JobSeen:
    """A job that another system runs for a step, as it was seen last."""

    job: str
    connection: str
    state: str
    """A `JobState`; empty while the system has not said any."""
    message: str
    progress: float | None
    """Percent, when the system says so."""
    problem: str
    """Why the newest look could not be taken; empty when it could."""
    begun_at: dt.datetime
    """The first look at it."""
    seen_at: dt.datetime
    """The newest look that saw something new."""


def list_jobs(executions: Iterable[Execution]) -> dict[tuple[UUID, int], JobSeen]:
    """The newest job of each step that runs one, by the execution's id and the step's position. Two queries; none when no step does."""
    ids = [execution.pk for execution in executions if any(step["action"] == "run_job" for step in execution.plan["steps"])]
    if not ids:
        return {}
    has_state = Q(value__has_key="state")
    kept = Sample.objects.filter(execution__in=ids, kind="job").order_by().annotate(job_id=KT("value__id"))
    jobs = kept.values("execution_id", "attempt__position", "job_id").annotate(begun_at=Min("taken_at"), newest=Max("id"), read=Max("id", filter=has_state))
    found = sorted(jobs, key=lambda row: row["newest"])
    samples = Sample.objects.in_bulk([row[name] for row in found for name in ("newest", "read") if row[name] is not None])
    return {(row["execution_id"], row["attempt__position"]): _seen(row["begun_at"], samples[row["newest"]], samples.get(row["read"])) for row in found}


def _seen(begun_at: dt.datetime, newest: Sample, read: Sample | None) -> JobSeen:
    said = read.value if read is not None else {}
    return JobSeen(
        job=newest.value["job"],
        connection=newest.source,
        state=said.get("state", ""),
        message=said.get("message", ""),
        progress=said.get("progress"),
        problem=newest.value.get("error", ""),
        begun_at=begun_at,
        seen_at=newest.taken_at,
    )


def newest_look(execution_ids: Iterable[UUID], *, kinds: Iterable[str]) -> int | None:
    """What tells whether samples of these kinds have come in: the number of the newest. One query."""
    newest: int | None = Sample.objects.filter(execution__in=list(execution_ids), kind__in=list(kinds)).aggregate(newest=Max("id"))["newest"]
    return newest
