"""Reading drills, and the rehearsals of releases, which run in the same way and have the same page."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from drills.models import Drill
from rollbackhub.common.errors import NotFound
from rollbackhub.executions.domain.selectors import report_of
from rollbackhub.executions.enums import REHEARSES
from rollbackhub.executions.models import Execution


def drills_and_rehearsals() -> QuerySet[Execution]:
    """Every execution that has its page at /drills/<id>/: a drill, or a rehearsal (which has no Drill row)."""
    return Execution.objects.filter(kind__in=REHEARSES)


def get_drill_execution(drill_id: UUID) -> Execution:
    """The execution of a drill or a rehearsal. Raises NotFound. One query."""
    execution = drills_and_rehearsals().filter(pk=drill_id).first()
    if execution is None:
        raise no_drill()
    return execution


def no_drill() -> NotFound:
    """What is said of a drill that does not exist."""
    return NotFound("There is no such drill.", code="drill_not_found")


def get_drill(drill_id: UUID) -> Drill:
    """A drill with its execution. Raises NotFound. One query."""
    drill = Drill.objects.select_related("execution", "execution__environment", "execution__policy").filter(pk=drill_id).first()
    if drill is None:
        raise no_drill()
    return drill


def drill_report(drill: Drill) -> dict[str, Any]:
    """The whole of a drill as JSON."""
    return {**report_of(drill.execution), "note": drill.note}
