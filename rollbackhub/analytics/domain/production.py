"""Counts and percentiles of what production alone has, over any number of runs: whole months from its rollups, the days around them from the facts.

Percentiles are exact or from buckets by the same rule as those of rollups.py.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import astuple, dataclass
from typing import Any

from django.db import connection
from django.db.models import Count, Exists, F, FloatField, OuterRef, Q, QuerySet, Sum
from django.db.models.expressions import Case, When
from django.db.models.functions import Cast, Coalesce

from rollbackhub.analytics.answer import AnalyticsFilter
from rollbackhub.analytics.domain.facts import dimensions_of, facts_matching
from rollbackhub.analytics.domain.rollups import EXACT_UP_TO, Percentiles, Spread, parts_of
from rollbackhub.analytics.enums import IN_PRODUCTION, ProductionMeasure, RunKind, Span
from rollbackhub.analytics.models import ProductionBucket, ProductionCell, RunFact

Key = tuple[Any, ...]
DECISIONS = (ProductionMeasure.DETECT, ProductionMeasure.AUTHORISE)
EXPRESSIONS: dict[ProductionMeasure, Any] = {
    ProductionMeasure.DETECT: F("detect_seconds"),
    ProductionMeasure.AUTHORISE: F("authorise_seconds"),
    ProductionMeasure.RECOVERY: F("detect_seconds") + F("rollback_seconds"),
    ProductionMeasure.RECOVERY_FROM_DECISION: Case(When(detect_seconds=None, then=F("rollback_seconds")), default=None, output_field=FloatField()),
    ProductionMeasure.EXPOSURE: Cast("exposure", FloatField()),
}
"""Each measure of a fact, as the buckets count it (migrations/0005_production_rollups.py)."""


@dataclass(frozen=True, slots=True)
class ProductionTotals:
    """`n` runs (one an alias) of `wholes` rollbacks; the exposure of the `exposure_n` of which it is known, and what of it was estimated."""

    n: int = 0
    wholes: int = 0
    exposure_n: int = 0
    exposure: int = 0
    exposure_estimated: int = 0

    def __add__(self, other: ProductionTotals) -> ProductionTotals:
        return ProductionTotals(*(mine + theirs for mine, theirs in zip(astuple(self), astuple(other), strict=True)))


@dataclass(frozen=True, slots=True)
class ProductionSpread:
    """Percentiles by (columns, measure, *values of those columns). What nothing was measured in is missing."""

    found: dict[Key, Percentiles]
    is_exact: bool

    def of(self, measure: ProductionMeasure, **values: str) -> Percentiles | None:
        """Of one group: the values by the columns of its set, in their order."""
        return self.found.get((tuple(values), measure, *values.values()))

    @property
    def note(self) -> str:
        """How they were reckoned, in a sentence."""
        return Spread({}, self.is_exact).note


def production_totals(wanted: AnalyticsFilter, *, by: Sequence[str], kinds: Collection[RunKind] = IN_PRODUCTION) -> dict[Key, ProductionTotals]:
    """How many runs and how much exposure, by these columns (`month`, `alias`, `kind`, `outcome`, `authority` …). One or two queries."""
    cells, days = parts_of(wanted)
    found: dict[Key, ProductionTotals] = {}
    if cells is not None:
        rows: QuerySet[Any] = ProductionCell.objects.filter(dimensions_of(wanted, kinds), cells)
        _add_up(found, rows, by, {name: Sum(name) for name in ("n", "wholes", "exposure_n", "exposure", "exposure_estimated")})
    if days is not None:
        counts = {
            "n": Count("pk"),
            "wholes": Count("pk", filter=Q(is_whole=True)),
            "exposure_n": Count("exposure"),
            "exposure": Coalesce(Sum("exposure"), 0),
            "exposure_estimated": Coalesce(Sum("exposure_estimated"), 0),
        }
        _add_up(found, RunFact.objects.filter(dimensions_of(wanted, kinds), days), by, counts)
    return found


def _add_up(found: dict[Key, ProductionTotals], rows: QuerySet[Any], by: Sequence[str], counts: dict[str, Any]) -> None:
    for row in rows.order_by().values(*by).annotate(**{f"total_{name}": count for name, count in counts.items()}):
        key = tuple(row[name] for name in by)
        found[key] = found.get(key, ProductionTotals()) + ProductionTotals(**{name: int(row[f"total_{name}"]) for name in counts})


def production_percentiles(
    wanted: AnalyticsFilter,
    *,
    n: int,
    measures: Sequence[ProductionMeasure],
    quantiles: Sequence[float] = (0.5, 0.9),
    by: Sequence[Sequence[str]] = ((),),
    kinds: Collection[RunKind] = IN_PRODUCTION,
) -> ProductionSpread:
    """Percentiles of these measures, for each set of columns in `by` (`authority`, `authorised_how`, `kind`; the empty set: all together). One query.

    `n`: how many runs there are, by `production_totals`: it decides how they are reckoned. The measures are all decisions, or none is.
    """
    narrow = wanted.team or wanted.alias or wanted.change_type
    if n <= EXACT_UP_TO or narrow:
        return ProductionSpread(_exact(wanted, measures=measures, quantiles=quantiles, by=by, kinds=kinds), is_exact=True)
    return ProductionSpread(_from_buckets(wanted, measures=measures, quantiles=quantiles, by=by, kinds=kinds), is_exact=False)


def decided_facts(wanted: AnalyticsFilter, kinds: Collection[RunKind] = IN_PRODUCTION) -> QuerySet[RunFact]:
    """One fact for each decision: of a rollback of several aliases the first one that the filter wants."""
    facts = facts_matching(wanted, kinds)
    if not (wanted.team or wanted.alias or wanted.change_type):
        return facts.filter(is_whole=True)
    earlier = facts.filter(rollback_id=OuterRef("rollback_id"), kind=OuterRef("kind"), pk__lt=OuterRef("pk"))
    wholes = facts.filter(rollback_id=OuterRef("rollback_id"), kind=OuterRef("kind"), is_whole=True)
    return facts.filter(Q(is_whole=True) | (~Exists(earlier) & ~Exists(wholes)))


def _facts(wanted: AnalyticsFilter, measures: Sequence[ProductionMeasure], kinds: Collection[RunKind]) -> QuerySet[RunFact]:
    return decided_facts(wanted, kinds) if measures[0] in DECISIONS else facts_matching(wanted, kinds)


def _columns_of(by: Sequence[Sequence[str]]) -> list[str]:
    return list(dict.fromkeys(column for columns in by for column in columns))


def _set_of(names: Sequence[str], row: Sequence[Any]) -> Key:
    """The columns that a row of GROUPING SETS is grouped by (their flags come behind the columns), and their values."""
    grouped = [(name, value) for name, value, is_all in zip(names, row, row[len(names) :], strict=False) if not is_all]
    return tuple(name for name, _ in grouped), *(value for _, value in grouped)


def _exact(
    wanted: AnalyticsFilter,
    *,
    measures: Sequence[ProductionMeasure],
    quantiles: Sequence[float],
    by: Sequence[Sequence[str]],
    kinds: Collection[RunKind],
) -> dict[Key, Percentiles]:
    names = _columns_of(by)
    facts = _facts(wanted, measures, kinds).order_by()
    rows, params = facts.values(*names, **{f"of_{measure}": EXPRESSIONS[measure] for measure in measures}).query.sql_with_params()
    columns = "".join(f"{name}, " for name in names) + "".join(f"grouping({name}), " for name in names)
    spreads = ", ".join(f"percentile_cont(%s::float8[]) WITHIN GROUP (ORDER BY of_{measure}), count(of_{measure})" for measure in measures)
    sets = ", ".join(f"({', '.join(of_set)})" for of_set in by)
    found: dict[Key, Percentiles] = {}
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {columns}{spreads} FROM ({rows}) AS facts GROUP BY GROUPING SETS ({sets})", [*([list(quantiles)] * len(measures)), *params])
        for row in cursor.fetchall():
            (of_set, *values), numbers = _set_of(names, row), row[2 * len(names) :]
            for measure, these, count in zip(measures, numbers[::2], numbers[1::2], strict=True):
                if count:
                    found[(of_set, measure, *values)] = Percentiles(tuple(these), count)
    return found


def _spans(cells: Q) -> Q:
    """The same months, whole years of them as years. `cells`: the condition on `month` that parts_of gives."""
    bounds: dict[str, dt.date] = dict(condition for condition in cells.children if isinstance(condition, tuple))
    first, last = bounds.get("month__gte"), bounds.get("month__lt")
    year_from = None if first is None else dt.date(first.year + (first.month > 1), 1, 1)
    year_to = None if last is None else dt.date(last.year, 1, 1)
    if year_from is not None and year_to is not None and year_from >= year_to:
        return Q(span=Span.MONTH, begins__gte=first, begins__lt=last)
    years, months = Q(span=Span.YEAR), []
    if first is not None and year_from is not None:
        years &= Q(begins__gte=year_from)
        months.append(Q(begins__gte=first, begins__lt=year_from))
    if last is not None and year_to is not None:
        years &= Q(begins__lt=year_to)
        months.append(Q(begins__gte=year_to, begins__lt=last))
    for condition in months:
        years |= Q(span=Span.MONTH) & condition
    return years


def _from_buckets(
    wanted: AnalyticsFilter,
    *,
    measures: Sequence[ProductionMeasure],
    quantiles: Sequence[float],
    by: Sequence[Sequence[str]],
    kinds: Collection[RunKind],
) -> dict[Key, Percentiles]:
    cells, days = parts_of(wanted)
    names = _columns_of(by)
    listed = "".join(f"{name}, " for name in names)
    parts: list[str] = []
    params: list[Any] = []
    if cells is not None:
        buckets = ProductionBucket.objects.filter(dimensions_of(wanted, kinds), _spans(cells), measure__in=list(measures)).order_by()
        rows, found_params = buckets.values(*names, "measure", "bucket", "n").query.sql_with_params()
        parts.append(f"SELECT {listed}measure, bucket, n FROM ({rows}) AS spans")
        params += found_params
    if days is not None:
        facts = _facts(wanted, measures, kinds).filter(days).order_by()
        rows, found_params = facts.values(*names, **{f"of_{measure}": EXPRESSIONS[measure] for measure in measures}).query.sql_with_params()
        listing = "".join(f"days.{name}, " for name in names)
        measured = ", ".join(f"('{measure.value}', days.of_{measure})" for measure in measures)
        parts.append(
            f"SELECT {listing}of.measure, analytics_bucket(of.seconds), 1"
            f" FROM ({rows}) AS days CROSS JOIN LATERAL (VALUES {measured}) AS of (measure, seconds) WHERE of.seconds IS NOT NULL"
        )
        params += found_params
    if not parts:
        return {}
    flags = "".join(f"grouping({name}) AS all_{name}, " for name in names)
    grouped = listed + "".join(f"all_{name}, " for name in names)
    sets = ", ".join(f"({''.join(f'{name}, ' for name in of_set)}measure, bucket)" for of_set in by)
    places = ", ".join("analytics_bucket_seconds(min(bucket) FILTER (WHERE upto > %s * (total - 1)))" for _ in quantiles)
    statement = f"""
        WITH pooled AS (
            SELECT {listed}{flags}measure, bucket, sum(n) AS n FROM ({" UNION ALL ".join(parts)}) AS parts GROUP BY GROUPING SETS ({sets})
        ),
        ranked AS (
            SELECT *, sum(n) OVER (PARTITION BY {grouped}measure ORDER BY bucket) AS upto, sum(n) OVER (PARTITION BY {grouped}measure) AS total FROM pooled
        )
        SELECT {grouped}measure, total, {places} FROM ranked GROUP BY {grouped}measure, total
    """
    found: dict[Key, Percentiles] = {}
    with connection.cursor() as cursor:
        cursor.execute(statement, [*params, *quantiles])
        for row in cursor.fetchall():
            (of_set, *values), (measure, total, *these) = _set_of(names, row), row[2 * len(names) :]
            found[(of_set, measure, *values)] = Percentiles(tuple(these), int(total))
    return found
