"""What was live at an instant: answered from the policies' revisions, which nobody can change."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from rollbackhub.routing.models import PolicyRevision


@dataclass(frozen=True, slots=True)
class LiveThen:
    """One alias in one environment at an instant: its revision then, and since when that stood."""

    revision: PolicyRevision
    """With policy, environment, artefact and candidates with their versions."""

    @property
    def since(self) -> dt.datetime:
        """When that revision was written."""
        return self.revision.created_at


def list_live_at(at: dt.datetime, *, environment: str = "", alias: str = "", artefact: str = "") -> list[LiveThen]:
    """Every alias that existed at this instant, with what it served then, by alias. Three queries."""
    revisions = PolicyRevision.objects.filter(created_at__lte=at)
    for field, value in (("policy__environment__slug", environment), ("policy__alias", alias), ("policy__artefact__slug", artefact)):
        if value:
            revisions = revisions.filter(**{field: value})
    newest = revisions.order_by("policy_id", "-number").distinct("policy_id").values("pk")
    found = (
        PolicyRevision.objects.filter(pk__in=newest)
        .select_related("policy__environment", "policy__artefact")
        .prefetch_related("candidates__version")
        .order_by("policy__alias", "policy__environment__slug")
    )
    return [LiveThen(revision) for revision in found]
