"""Counts and percentiles over any number of runs: whole months come from the rollups, the days around them from the facts.

Counts are exact always. Percentiles are exact while no more than EXACT_UP_TO measured runs are wanted, and whenever a team or an alias is named;
beyond that they come from buckets and are off by 1 % at most. Who shows them says which: `Spread.note`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from django.db import connection
from django.db.models import Count, Model, Q, QuerySet, Sum

from rollbackhub.analytics.answer import AnalyticsFilter
from rollbackhub.analytics.domain.facts import GROUP, dimensions_of, facts_matching, start_of
from rollbackhub.analytics.enums import COMPARABLE, Measure, RunGroup, RunKind
from rollbackhub.analytics.models import RunCell, RunFact, RunHistogram
from rollbackhub.common.verdict import Verdict

EXACT_UP_TO = 10_000
"""Measured runs whose percentiles are reckoned one by one."""

ACCURACY = 0.01
"""A percentile from buckets is off by this share of itself at most (migrations/0003_rollups.py)."""

GAMMA = (1 + ACCURACY) / (1 - ACCURACY)
"""What the bounds of a bucket differ by. The database has the same number."""

BELOW, ABOVE = 700, 1100
"""Buckets that there are: from a microsecond (-690) to a century (1,100). The first place is of what took nothing, the last one of all beyond."""

ARRAY_HEAD = 20
"""Bytes before the first element of an array as PostgreSQL sends it (an empty one has 12)."""

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
        return Totals(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))


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


def regrouped(found: Mapping[Key, Totals], *places: int) -> dict[Key, Totals]:
    """The same counts by some places of their keys only."""
    summed: dict[Key, Totals] = {}
    for key, counts in found.items():
        mine = tuple(key[place] for place in places)
        summed[mine] = summed[mine] + counts if mine in summed else counts
    return summed


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
    """Percentiles of these measures for drills, production and both together, by columns that facts and histograms have (`change_type`, `month`).

    `measured`: how many runs there are, by `totals`: it decides how they are reckoned. One or two queries.
    """
    return Samples.of(wanted, measured=measured, measures=measures, by=by, kinds=kinds).spread(quantiles=quantiles, by=by)


def exact_percentiles(
    facts: QuerySet[RunFact], *, quantiles: Sequence[float] = (0.5, 0.9), measures: Sequence[Measure] = (Measure.ROLLBACK,), by: Sequence[str] = ()
) -> Spread:
    """The same of any facts, run by run. One query."""
    return Samples.of_facts(facts, measures=measures, by=by).spread(quantiles=quantiles, by=by)


@dataclass(frozen=True, slots=True)
class Samples:
    """What was measured, read once and summed up by any of the columns that it was read by.

    `parts`: for each (measure, group, *key) either all seconds, or a histogram: how many there are in each bucket.
    """

    by: tuple[str, ...]
    parts: dict[Key, npt.NDArray[Any]]
    is_exact: bool

    @classmethod
    def of(
        cls,
        wanted: AnalyticsFilter,
        *,
        measured: int,
        measures: Sequence[Measure] = (Measure.ROLLBACK,),
        by: Sequence[str],
        kinds: Collection[RunKind] = COMPARABLE,
    ) -> Samples:
        """Every run while there are few or a team or an alias is named, else histograms. One query; two for histograms of a period with broken months."""
        if measured <= EXACT_UP_TO or wanted.team or wanted.alias:
            return cls.of_facts(facts_matching(wanted, kinds), measures=measures, by=by)
        months, days = parts_of(wanted)
        parts: dict[Key, npt.NDArray[Any]] = {}
        if months is not None:
            rows = RunHistogram.objects.filter(dimensions_of(wanted, kinds), months, measure__in=list(measures)).annotate(group=GROUP)
            statement, params = _sql(rows.order_by().values(*by, "group", "measure", "buckets", "counts"))
            columns = "".join(f'"{name}", ' for name in by)
            _add_histograms(parts, f'SELECT "measure", "group", {columns}array_send(buckets), array_send(counts) FROM ({statement}) AS months', params)
        if days is not None:
            rows_of_days = RunFact.objects.filter(dimensions_of(wanted, kinds), days).annotate(group=GROUP)
            statement, params = _sql(rows_of_days.order_by().values(*by, "group", *(f"{measure}_seconds" for measure in measures)))
            _add_histograms(parts, _histograms_of_days(statement, measures=measures, by=by), params)
        return cls(tuple(by), parts, is_exact=False)

    @classmethod
    def of_facts(cls, facts: QuerySet[RunFact], *, measures: Sequence[Measure] = (Measure.ROLLBACK,), by: Sequence[str]) -> Samples:
        """Every run of these."""
        seconds = [f"{measure}_seconds" for measure in measures]
        statement, params = _sql(facts.annotate(group=GROUP).values(*by, "group", *seconds))
        columns = "".join(f'"{name}", ' for name in by)
        arrays = ", ".join(f"array_send(array_agg({name}) FILTER (WHERE {name} IS NOT NULL))" for name in seconds)
        parts: dict[Key, npt.NDArray[Any]] = {}
        with connection.cursor() as cursor:
            cursor.execute(f'SELECT "group", {columns}{arrays} FROM ({statement}) AS facts GROUP BY {columns}"group"', params)
            for row in cursor.fetchall():
                for measure, array in zip(measures, row[1 + len(by) :], strict=True):
                    if array is not None:
                        parts[(measure, *row[: 1 + len(by)])] = _unpacked(array[ARRAY_HEAD:], ">f8")
        return cls(tuple(by), parts, is_exact=True)

    def spread(self, *, quantiles: Sequence[float] = (0.5, 0.9), by: Sequence[str] = ()) -> Spread:
        """Percentiles for drills, production and both together, by some of the columns. No query."""
        places = [self.by.index(name) for name in by]
        pooled: dict[Key, list[npt.NDArray[Any]]] = {}
        for (measure, group, *key), part in self.parts.items():
            mine = tuple(key[place] for place in places)
            for of in (group, RunGroup.TOGETHER.value):
                pooled.setdefault((measure, of, *mine), []).append(part)
        reckon = _percentiles_of_seconds if self.is_exact else _percentiles_of_histograms
        return Spread({key: reckon(parts, quantiles) for key, parts in pooled.items()}, self.is_exact)


def _percentiles_of_seconds(parts: list[npt.NDArray[Any]], quantiles: Sequence[float]) -> Percentiles:
    """As percentile_cont has them: between two runs in proportion."""
    seconds = np.concatenate(parts)
    return Percentiles(tuple(float(value) for value in np.quantile(seconds, quantiles)), len(seconds))


def _percentiles_of_histograms(parts: list[npt.NDArray[Any]], quantiles: Sequence[float]) -> Percentiles:
    """The middle of the bucket that holds the run at each quantile's rank."""
    upto = np.cumsum(np.sum(parts, axis=0))
    total = int(upto[-1])
    buckets = [int(np.searchsorted(upto, quantile * (total - 1), side="right")) - BELOW for quantile in quantiles]
    return Percentiles(tuple(0.0 if bucket == -BELOW else 2 * GAMMA**bucket / (GAMMA + 1) for bucket in buckets), total)


def _add_histograms(parts: dict[Key, npt.NDArray[Any]], statement: str, params: Sequence[Any]) -> None:
    """Rows of a key, buckets and counts, added up by the key: the arrays of a key one behind the other, counted in one go."""
    gathered: dict[Key, tuple[list[bytes], list[bytes]]] = {}
    with connection.cursor() as cursor:
        cursor.execute(statement, params)
        for *key, buckets, counts in cursor.fetchall():
            mine = gathered.setdefault(tuple(key), ([], []))
            mine[0].append(buckets[ARRAY_HEAD:])
            mine[1].append(counts[ARRAY_HEAD:])
    for key, (buckets, counts) in gathered.items():
        places = np.clip(_unpacked(b"".join(buckets), ">i2").astype(np.int64) + BELOW, 0, BELOW + ABOVE - 1)
        histogram = np.bincount(places, weights=_unpacked(b"".join(counts), ">i4"), minlength=BELOW + ABOVE)
        parts[key] = parts[key] + histogram if key in parts else histogram


def _histograms_of_days(facts: str, *, measures: Sequence[Measure], by: Sequence[str]) -> str:
    columns = "".join(f'"{name}", ' for name in by)
    values = ", ".join(f"('{measure.value}', {measure}_seconds)" for measure in measures)
    return f"""
        SELECT measure, "group", {columns}array_send(array_agg(bucket)), array_send(array_agg(held))
        FROM (
            SELECT measure, "group", {columns}analytics_bucket(seconds) AS bucket, count(*)::integer AS held
            FROM ({facts}) AS days CROSS JOIN LATERAL (VALUES {values}) AS measured (measure, seconds)
            WHERE seconds IS NOT NULL GROUP BY measure, "group", {columns}analytics_bucket(seconds)
        ) AS in_buckets
        GROUP BY {columns}measure, "group"
    """


def _unpacked(elements: bytes, of: str) -> npt.NDArray[Any]:
    """The elements of an array without nulls as PostgreSQL sends them behind its head: each after its length."""
    return np.frombuffer(elements, dtype=[("length", ">i4"), ("value", of)])["value"]


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
