"""Reading drills."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drills.models import Drill
from rollbackhub.common.errors import NotFound
from rollbackhub.executions.domain.selectors import report_of


def get_drill(drill_id: UUID) -> Drill:
    """A drill with its execution. Raises NotFound. One query."""
    drill = Drill.objects.select_related("execution", "execution__environment", "execution__policy").filter(pk=drill_id).first()
    if drill is None:
        raise NotFound("There is no such drill.", code="drill_not_found")
    return drill


def drill_report(drill: Drill) -> dict[str, Any]:
    """The whole of a drill as JSON."""
    return {**report_of(drill.execution), "note": drill.note}
