"""Lists of drills for pages."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.db.models import QuerySet

from rollbackhub.executions.domain.listing import ExecutionFilter, after_cursor, filter_executions
from rollbackhub.executions.enums import REHEARSES, ExecutionKind
from rollbackhub.executions.models import Execution


@dataclass(frozen=True, slots=True)
class DrillPage:
    """Some drills, and whether there are older ones."""

    executions: list[Execution]
    has_older: bool


def list_drills(*, wanted: ExecutionFilter, kind: str = "", after: UUID | None = None, size: int = 50) -> DrillPage:
    """The newest drills and rehearsals (or those of one kind) that match, or those older than the drill `after`. Two queries at most, however many there are.

    Raises InvalidInput for an outcome that does not exist.
    """
    found = filter_executions(kinds=_kinds(kind), wanted=wanted)
    if after is not None:
        created_at = Execution.objects.filter(pk=after).values_list("created_at", flat=True).first()
        if created_at is not None:
            found = after_cursor(found, created_at=created_at, execution_id=after)
    rows = list(found.select_related("policy", "environment", "bad_version")[: size + 1])
    return DrillPage(executions=rows[:size], has_older=len(rows) > size)


def list_measured(*, wanted: ExecutionFilter, limit: int, kind: str = "") -> list[Execution]:
    """The newest matching drills and rehearsals that measured a rollback time, oldest first. One query."""
    found = filter_executions(kinds=_kinds(kind), wanted=wanted).filter(rollback_seconds__isnull=False).exclude(verdict="")
    return list(reversed(found[:limit]))


def list_recent_of(*, policy_id: int, limit: int = 5) -> QuerySet[Execution]:
    """The newest drills and rehearsals of a policy."""
    return Execution.objects.filter(policy_id=policy_id, kind__in=REHEARSES).order_by("-created_at")[:limit]


def _kinds(kind: str) -> tuple[ExecutionKind, ...]:
    return tuple(wanted for wanted in REHEARSES if kind in ("", wanted))
