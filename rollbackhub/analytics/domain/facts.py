"""Facts as a filter wants them. Every question reads them through here, so that a link means the same in each."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection

from django.db.models import Case, CharField, F, Q, QuerySet, Value, When
from django.db.models.functions import Concat

from rollbackhub.analytics.answer import AnalyticsFilter
from rollbackhub.analytics.enums import COMPARABLE, REHEARSED, RunGroup, RunKind
from rollbackhub.analytics.models import RunFact


def facts_matching(wanted: AnalyticsFilter, kinds: Collection[RunKind] = COMPARABLE) -> QuerySet[RunFact]:
    """Facts of these kinds that the filter wants, in no order: drills, rehearsals and rollbacks unless told otherwise. Imported runs are among them."""
    return RunFact.objects.filter(dimensions_of(wanted, kinds), *days_of(wanted.since, wanted.until)).order_by()


def dimensions_of(wanted: AnalyticsFilter, kinds: Collection[RunKind]) -> Q:
    """All of the filter but its period, as a condition on facts or on their monthly cells: both name these columns alike."""
    found = Q(kind__in=list(kinds))
    named = {
        "team__slug": wanted.team,
        "environment__slug": wanted.environment,
        "change_type": wanted.change_type,
        "alias": wanted.alias,
    }
    for column, value in named.items():
        if value:
            found &= Q(**{column: value})
    return found if wanted.with_lab else found & Q(is_lab=False)


def days_of(since: dt.date | None, until: dt.date | None) -> list[Q]:
    """The days from `since` on and before `until`, in UTC, as conditions on a fact's instant."""
    found = []
    if since is not None:
        found.append(Q(at__gte=start_of(since)))
    if until is not None:
        found.append(Q(at__lt=start_of(until)))
    return found


def start_of(day: dt.date) -> dt.datetime:
    """Midnight at which a day begins, in UTC."""
    return dt.datetime.combine(day, dt.time(), dt.UTC)


GROUP = Case(When(kind__in=REHEARSED, then=Value(RunGroup.DRILLS.value)), default=Value(RunGroup.PRODUCTION.value), output_field=CharField())
"""Drills (with rehearsals) or production, for `annotate(group=GROUP)` over facts of COMPARABLE kinds."""

URL = Case(
    When(rollback_id__isnull=False, then=Concat(Value("/rollbacks/"), F("rollback_id"), Value("/"), output_field=CharField())),
    When(execution__isnull=False, then=Concat(Value("/drills/"), F("execution_id"), Value("/"), output_field=CharField())),
    default=Value(""),
    output_field=CharField(),
)
"""The path of the page that a fact is about; empty: an imported run, which has none. For `annotate(url=URL)`."""
