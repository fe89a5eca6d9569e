"""Causes over time: how many incidents of each month had which cause, by their postmortems."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from django.db.models import Count
from django.db.models.functions import TruncMonth

from rollbackhub.postmortems.models import Cause, Postmortem

SHOWN_SERIES = 7
"""The most frequent causes have a series each; the others are one together."""
OTHERS = "Other causes"
UNTAGGED = "No cause named"


@dataclass(frozen=True, slots=True)
class CauseReport:
    """Counts by month and cause. `months` are first days, none left out between the first and the last."""

    months: list[dt.date]
    counts: list[tuple[str, str, list[int]]]
    """Name, slug and a number a month; the most frequent first, postmortems without a cause at the end."""
    postmortems: int

    def series(self) -> list[tuple[str, list[int]]]:
        """For a figure: the rare ones together."""
        named = [(name, values) for name, _, values in self.counts]
        if len(named) <= SHOWN_SERIES + 1:
            return named
        rest = [values for _, values in named[SHOWN_SERIES:]]
        return [*named[:SHOWN_SERIES], (OTHERS, [sum(column) for column in zip(*rest, strict=True)])]


def count_causes(*, since: dt.date, until: dt.date, team: str = "", with_lab: bool = True) -> CauseReport:
    """By the month (UTC) in which the incidents were opened, from `since` on and before `until`. Three queries.

    An incident with two causes counts for each.
    """
    found = Postmortem.objects.filter(
        incident__opened_at__gte=dt.datetime.combine(since, dt.time(), dt.UTC), incident__opened_at__lt=dt.datetime.combine(until, dt.time(), dt.UTC)
    )
    if team:
        found = found.filter(team__slug=team)
    if not with_lab:
        found = found.filter(is_lab=False)
    by_month = found.annotate(month=TruncMonth("incident__opened_at", tzinfo=dt.UTC))
    rows = by_month.order_by().values_list("month", "causes").annotate(found=Count("pk"))
    counts: dict[int | None, dict[dt.date, int]] = {}
    for month, cause, number in rows:
        counts.setdefault(cause, {})[month.date()] = number
    months = _months([day for found_months in counts.values() for day in found_months])
    names = {cause.pk: cause for cause in Cause.objects.filter(pk__in=[key for key in counts if key is not None])}
    named = [(names[key].name, names[key].slug, [row.get(month, 0) for month in months]) for key, row in counts.items() if key is not None]
    named.sort(key=lambda row: (-sum(row[2]), row[0]))
    untagged = counts.get(None)
    if untagged is not None:
        named.append((UNTAGGED, "", [untagged.get(month, 0) for month in months]))
    return CauseReport(months=months, counts=named, postmortems=found.count())


def _months(days: list[dt.date]) -> list[dt.date]:
    """All first days from the earliest to the latest."""
    if not days:
        return []
    found = [min(days)]
    while found[-1] < max(days):
        found.append((found[-1] + dt.timedelta(days=32)).replace(day=1))
    return found
