"""Counts and percentiles over any number of runs: whole months come from the rollups, the days around them from the facts.

Counts are exact always. Percentiles are exact while no more than EXACT_UP_TO measured runs are wanted, and whenever a team or an alias is named;
beyond that they come from buckets and are off by 1 % at most. Who shows them says which: `Spread.note`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any

from django.db import connection
from django.db.models import Count, Model, Q, QuerySet, Sum

from rollbackhub.analytics.answer import AnalyticsFilter
from rollbackhub.analytics.domain.facts import GROUP, dimensions_of, facts_matching, start_of
from rollbackhub.analytics.enums import COMPARABLE, Measure, RunGroup, RunKind
from rollbackhub.analytics.models import RunBucket, RunCell, RunFact
from rollbackhub.common.verdict import Verdict

EXACT_UP_TO = 10_000
"""Measured runs whose percentiles are reckoned one by one."""

ACCURACY = 0.01
"""A percentile from buckets is off by this share of itself at most (migrations/0003_rollups.py)."""

Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Totals:
    """How many runs there were and how they went. `measured`: restored, so that there is a rollback time; `hits` of `with_target`."""

    n: int = 0
    passed: int = 0
    failed: int = 0
    inconclusive: int = 0
    error: int = 0
    measured: int = 0
    with_target: int = 0
    hits: int = 0
    imported: int = 0

    def __add__(self, other: Totals) -> Totals:
        return Totals(*(mine + theirs for mine, theirs in zip(astuple(self), astuple(other), strict=True)))


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Of one group: the wanted quantiles in seconds, in their order, over so many measured runs."""

    seconds: tuple[float, ...]
    measured: int


@dataclass(frozen=True, slots=True)
class Spread:
    """Percentiles by (measure, group, *key). A group that nothing was measured in is missing."""

    found: dict[Key, Percentiles]
    is_exact: bool

    @property
    def note(self) -> str:
        """How they were reckoned, in a sentence."""
        if self.is_exact:
            return "Percentiles are exact: reckoned from every run."
        return f"More than {EXACT_UP_TO:,} runs: percentiles come from a histogram and are off by {ACCURACY:.0%} at most. Counts are exact."


def totals(wanted: AnalyticsFilter, *, by: Sequence[str] = (), kinds: Collection[RunKind] = COMPARABLE) -> dict[Key, Totals]:
    """How many runs, by these columns of facts (`group`, `kind`, `month`, `change_type`, `alias`, `team__name` …). Two or three queries for any number."""
    cells, days = parts_of(wanted)
    found: dict[Key, Totals] = {}
    if cells is not None:
        sums = {name: Sum(name) for name in ("n", *Verdict.values, "with_target", "hits")} | {"measured": Sum("rollback_n")}
        _add_up(found, RunCell.objects.filter(dimensions_of(wanted, kinds), cells), by, sums | {"imported": Sum("n", filter=Q(source="imported"), default=0)})
    if days is not None:
        counts = {verdict: Count("pk", filter=Q(verdict=verdict)) for verdict in Verdict.values}
        counts |= {"n": Count("pk"), "measured": Count("rollback_seconds"), "with_target": Count("hit"), "hits": Count("pk", filter=Q(hit=True))}
        _add_up(found, RunFact.objects.filter(dimensions_of(wanted, kinds), days), by, counts | {"imported": Count("imported")})
    return found


def all_of(found: Mapping[Any, Totals]) -> Totals:
    """Everything together."""
    return sum(found.values(), Totals())


def _add_up(found: dict[Key, Totals], rows: QuerySet[Any], by: Sequence[str], counts: dict[str, Any]) -> None:
    if "group" in by:
        rows = rows.annotate(group=GROUP)
    # Under names of their own: an aggregate may not be called as a column is.
    renamed = {f"total_{name}": count for name, count in counts.items()}
    for row in rows.order_by().values(*by).annotate(**renamed) if by else [rows.order_by().aggregate(**renamed)]:
        if row["total_n"]:
            key = tuple(row[name] for name in by)
            found[key] = found.get(key, Totals()) + Totals(**{name: row[f"total_{name}"] for name in counts})


def percentiles(
    wanted: AnalyticsFilter,
    *,
    measured: int,
    quantiles: Sequence[float] = (0.5, 0.9),
    measures: Sequence[Measure] = (Measure.ROLLBACK,),
    by: Sequence[str] = (),
    kinds: Collection[RunKind] = COMPARABLE,
) -> Spread:
    """Percentiles of these measures for drills, production and both together, by `change_type`, `month` or neither. One query.

    `measured`: how many runs there are, by `totals`: it decides how they are reckoned.
    """
    if measured <= EXACT_UP_TO or wanted.team or wanted.alias:
        return Spread(_exact(facts_matching(wanted, kinds), quantiles=quantiles, measures=measures, by=by), is_exact=True)
    return Spread(_from_buckets(wanted, quantiles=quantiles, measures=measures, by=by, kinds=kinds), is_exact=False)


def exact_percentiles(
    facts: QuerySet[RunFact], *, quantiles: Sequence[float] = (0.5, 0.9), measures: Sequence[Measure] = (Measure.ROLLBACK,), by: Sequence[str] = ()
) -> Spread:
    """The same of any facts, run by run. One query."""
    return Spread(_exact(facts, quantiles=quantiles, measures=measures, by=by), is_exact=True)


def _exact(facts: QuerySet[RunFact], *, quantiles: Sequence[float], measures: Sequence[Measure], by: Sequence[str]) -> dict[Key, Percentiles]:
    seconds = [f"{measure}_seconds" for measure in measures]
    rows, params = _sql(facts.annotate(group=GROUP).values(*by, "group", *seconds))
    columns = "".join(f'"{name}", ' for name in by)
    spreads = ", ".join(f"percentile_cont(%s::float8[]) WITHIN GROUP (ORDER BY {name}), count({name})" for name in seconds)
    found: dict[Key, Percentiles] = {}
    with connection.cursor() as cursor:
        cursor.execute(
            f'SELECT {columns}"group", {spreads} FROM ({rows}) AS facts GROUP BY GROUPING SETS (({columns}"group"), ({columns.rstrip(", ")}))',
            [*([list(quantiles)] * len(seconds)), *params],
        )
        for row in cursor.fetchall():
            key, group, values = row[: len(by)], row[len(by)] or RunGroup.TOGETHER.value, row[len(by) + 1 :]
            for measure, these, count in zip(measures, values[::2], values[1::2], strict=True):
                if count:
                    found[measure, group, *key] = Percentiles(tuple(these), count)
    return found


def _from_buckets(
    wanted: AnalyticsFilter, *, quantiles: Sequence[float], measures: Sequence[Measure], by: Sequence[str], kinds: Collection[RunKind]
) -> dict[Key, Percentiles]:
    cells, days = parts_of(wanted)
    parts: list[str] = []
    params: list[Any] = []
    names = [*by, "group", "measure", "bucket"]
    listed = ", ".join(f'"{name}"' for name in names)
    if cells is not None:
        buckets = RunBucket.objects.filter(dimensions_of(wanted, kinds), cells, measure__in=list(measures)).annotate(group=GROUP)
        rows, found_params = _sql(buckets.order_by().values(*names, "n"))
        parts.append(f"SELECT {listed}, n FROM ({rows}) AS months")
        params += found_params
    if days is not None:
        facts = RunFact.objects.filter(dimensions_of(wanted, kinds), days).annotate(group=GROUP)
        rows, found_params = _sql(facts.order_by().values(*by, "group", *(f"{measure}_seconds" for measure in measures)))
        listing = "".join(f'days."{name}", ' for name in by)
        values = ", ".join(f"('{measure.value}', days.{measure}_seconds)" for measure in measures)
        parts.append(
            f'SELECT {listing}days."group", of.measure, analytics_bucket(of.seconds) AS bucket, 1 AS n'
            f" FROM ({rows}) AS days CROSS JOIN LATERAL (VALUES {values}) AS of (measure, seconds) WHERE of.seconds IS NOT NULL"
        )
        params += found_params
    if not parts:
        return {}
    columns = "".join(f'"{name}", ' for name in by)
    places = ", ".join("analytics_bucket_seconds(min(bucket) FILTER (WHERE upto > %s * (total - 1)))" for _ in quantiles)
    statement = f"""
        WITH pooled AS (
            SELECT {listed}, sum(n) AS n FROM ({" UNION ALL ".join(parts)}) AS parts
            GROUP BY GROUPING SETS (({listed}), ({columns}measure, bucket))
        ),
        ranked AS (
            SELECT *, sum(n) OVER (rank ORDER BY bucket) AS upto, sum(n) OVER rank AS total
            FROM pooled WINDOW rank AS (PARTITION BY {columns}"group", measure)
        )
        SELECT {columns}"group", measure, total, {places} FROM ranked GROUP BY {columns}"group", measure, total
    """
    found: dict[Key, Percentiles] = {}
    with connection.cursor() as cursor:
        cursor.execute(statement, [*params, *quantiles])
        for row in cursor.fetchall():
            key, (group, measure, total), values = row[: len(by)], row[len(by) : len(by) + 3], row[len(by) + 3 :]
            found[measure, group or RunGroup.TOGETHER.value, *key] = Percentiles(tuple(values), int(total))
    return found


def _sql(rows: QuerySet[Model, Any]) -> tuple[str, list[Any]]:
    statement, params = rows.query.sql_with_params()
    return statement, list(params)


def parts_of(wanted: AnalyticsFilter) -> tuple[Q | None, Q | None]:
    """A period as whole months (a condition on rollups) and the days around them (a condition on facts); None: nothing of that sort."""
    first, last = wanted.since, wanted.until
    if first is not None and last is not None and first >= last:
        return None, None
    whole_from = None if first is None else first if first.day == 1 else _next_month(first)
    whole_to = None if last is None else last.replace(day=1)
    if whole_from is not None and whole_to is not None and whole_from > whole_to:
        # Within one month.
        return None, _between(first, last)
    cells = Q()
    if whole_from is not None:
        cells &= Q(month__gte=whole_from)
    if whole_to is not None:
        cells &= Q(month__lt=whole_to)
    days = [_between(start, end) for start, end in ((first, whole_from), (whole_to, last)) if start is not None and start != end]
    none_whole = whole_from is not None and whole_from == whole_to
    around = days[0] | days[1] if len(days) == 2 else days[0] if days else None
    return None if none_whole else cells, around


def _between(start: dt.date | None, end: dt.date | None) -> Q:
    assert start is not None
    assert end is not None
    return Q(at__gte=start_of(start), at__lt=start_of(end))


def _next_month(day: dt.date) -> dt.date:
    return (day.replace(day=1) + dt.timedelta(days=32)).replace(day=1)
