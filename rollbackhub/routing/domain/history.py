"""What was live at an instant: answered from the policies' revisions, which nobody can change."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from django.db.models import F, QuerySet

from rollbackhub.common import clock
from rollbackhub.common.errors import InvalidInput
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


def live_revisions_at(at: dt.datetime, *, environment: str = "", alias: str = "", artefact: str = "", query: str = "") -> QuerySet[PolicyRevision]:
    """The revision that stood at this instant of every alias that existed then, by alias; three queries when it is read, also in parts.

    `query` is a part of the alias; the other filters are exact. Each has its `alias` as a field of its own.
    Raises InvalidInput `at_in_future`: what will be live then nobody knows.
    """
    if at > clock.now():
        sentence = "That time has not come yet. Ask for one that is past."
        raise InvalidInput(sentence, code="at_in_future", fields={"at": [sentence]})
    revisions = PolicyRevision.objects.filter(created_at__lte=at)
    for field, value in (
        ("policy__environment__slug", environment),
        ("policy__alias", alias),
        ("policy__artefact__slug", artefact),
        ("policy__alias__icontains", query),
    ):
        if value:
            revisions = revisions.filter(**{field: value})
    newest = revisions.order_by("policy_id", "-number").distinct("policy_id").values("pk")
    return (
        PolicyRevision.objects.filter(pk__in=newest)
        .select_related("policy__environment", "policy__artefact")
        .prefetch_related("candidates__version")
        .annotate(alias=F("policy__alias"))
        .order_by("alias", "policy__environment__slug", "pk")
    )


def list_live_at(at: dt.datetime, *, environment: str = "", alias: str = "", artefact: str = "") -> list[LiveThen]:
    """Every alias that existed at this instant, with what it served then, by alias. Three queries. Raises as `live_revisions_at`."""
    return [LiveThen(revision) for revision in live_revisions_at(at, environment=environment, alias=alias, artefact=artefact)]
