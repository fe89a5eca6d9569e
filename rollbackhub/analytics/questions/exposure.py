"""Question 10: how many requests did bad versions serve between detection and drain? Counted and estimated ones apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rollbackhub.analytics.answer import AnalyticsFilter, Answer, Cell, Column, NamedFigure, Table
from rollbackhub.analytics.domain.facts import URL, facts_matching
from rollbackhub.analytics.domain.production import ProductionTotals, production_percentiles, production_totals
from rollbackhub.analytics.domain.rollups import Percentiles
from rollbackhub.analytics.enums import ROLLED_BACK, ProductionMeasure, RunSource
from rollbackhub.analytics.questions.wording import address_of_run, months_between, source_in_words
from rollbackhub.charts.exposure_curve import exposure_curve
from rollbackhub.charts.stacked_months import stacked_months
from rollbackhub.charts.stacked_rows import stacked_rows
from rollbackhub.common.sentences import counted

ENOUGH = 5
WORST_ALIASES, NEWEST = 20, 50
QUANTILES = (0.5, 0.9, *(step / 25 for step in range(1, 25)), 0.99)
PARTS = ("Counted", "Estimated", "Told by an imported file")

BARE_SQL = f"""
    SELECT date_trunc('month', fact.at AT TIME ZONE 'UTC'), fact.source, count(*) FILTER (WHERE is_whole), count(fact.exposure), sum(fact.exposure),
        sum(fact.exposure_estimated) FROM analytics_runfact AS fact WHERE fact.kind = 'rollback' GROUP BY 1, 2;
    SELECT fact.alias, fact.source, count(fact.exposure), sum(fact.exposure), sum(fact.exposure_estimated)
        FROM analytics_runfact AS fact WHERE fact.kind = 'rollback' GROUP BY 1, 2;
    SELECT percentile_cont(ARRAY[{", ".join(str(quantile) for quantile in QUANTILES)}]) WITHIN GROUP (ORDER BY exposure), count(exposure)
        FROM analytics_runfact WHERE kind = 'rollback';
    SELECT at, alias, exposure, exposure_estimated, source FROM analytics_runfact
        WHERE kind = 'rollback' AND exposure IS NOT NULL ORDER BY at DESC LIMIT {NEWEST}
"""


def answer(wanted: AnalyticsFilter) -> Answer:
    """Requests by month and alias, and how they are distributed over rollbacks. Four to six queries."""
    by_month = production_totals(wanted, by=("month", "source"), kinds=ROLLED_BACK)
    whole = sum(by_month.values(), ProductionTotals())
    if not whole.exposure_n:
        missing = f" {counted(whole.wholes, 'rollback')} had none that is known." if whole.wholes else ""
        return Answer(
            headline="No exposure is known yet.",
            empty=f"Production rollbacks whose gateways count requests fill this, and imported ones that say how many there were.{missing}",
        )
    by_alias = production_totals(wanted, by=("alias", "source"), kinds=ROLLED_BACK)
    spread = production_percentiles(wanted, n=whole.n, measures=(ProductionMeasure.EXPOSURE,), quantiles=QUANTILES, kinds=ROLLED_BACK)
    each = spread.of(ProductionMeasure.EXPOSURE) or Percentiles((0.0,) * len(QUANTILES), 0)
    parts = _parts(by_month)
    unknown = whole.wholes - whole.exposure_n
    headline = (
        f"Bad versions served {counted(whole.exposure, 'request')} in {counted(whole.exposure_n, 'rollback')}: {parts[0]:,} counted, {parts[1]:,} estimated"
        + (f", {parts[2]:,} told by imported files" if parts[2] else "")
        + "."
        + (
            f" Half of the rollbacks had at most {each.seconds[0]:,.0f}."
            if each.measured >= ENOUGH
            else f" Too few rollbacks to say what is usual ({ENOUGH} are needed)."
        )
        + (f" Of {counted(unknown, 'more rollback')} it is not known." if unknown > 0 else "")
    )
    notes = [
        "Requests that the bad version served between detection and drain. Counted: growth of the gateways' counters, or of the"
        " callers' metrics where those show more. Estimated: before they were first read,"
        " by the rate that was seen and the weight that the version had.",
        "The exposure of a rollback of several aliases is the whole's and stands with its first alias. Drills have none: they harm nobody.",
        spread.note,
    ]
    figures = [_month_figure(by_month), _alias_figure(by_alias), _curve_figure(each)]
    extra = {
        "requests": float(whole.exposure),
        "estimated": float(parts[1]),
        "imported": float(parts[2]),
        "rollbacks": float(whole.exposure_n),
        "median": each.seconds[0],
    }
    tables = [_table("By month", "month", "Month", by_month), _table("By alias", "alias", "Alias", by_alias), _newest(wanted)]
    return Answer(headline=headline, figures=figures, tables=tables, notes=notes, extra=extra)


Found = Mapping[tuple[Any, ...], ProductionTotals]


def _parts(found: Found) -> tuple[int, int, int]:
    """Counted, estimated, and told by files."""
    hub = sum((total for key, total in found.items() if key[1] == RunSource.HUB), ProductionTotals())
    imported = sum(total.exposure for key, total in found.items() if key[1] == RunSource.IMPORTED)
    return hub.exposure - hub.exposure_estimated, hub.exposure_estimated, imported


def _grouped(found: Found) -> dict[Any, Found]:
    """By the first part of the key: month or alias."""
    groups: dict[Any, dict[tuple[Any, ...], ProductionTotals]] = {}
    for key, total in found.items():
        groups.setdefault(key[0], {})[key] = total
    return dict(groups)


def _month_figure(found: Found) -> NamedFigure:
    grouped = _grouped(found)
    months = months_between(grouped)
    parts = [_parts(grouped.get(month, {})) for month in months]
    series = [(name, [of[place] for of in parts]) for place, name in enumerate(PARTS) if any(of[place] for of in parts)]
    return NamedFigure(
        key="exposure-by-month",
        title="Requests served by bad versions, by month",
        label=f"{', '.join(name.lower() for name, _ in series)}: stacked month by month. The table below has the same numbers.",
        figure=stacked_months(months=months, series=series, axis="Requests", unit="requests"),
    )


def _alias_figure(found: Found) -> NamedFigure:
    grouped = _grouped(found)
    sums = {alias: sum(_parts(mine)) for alias, mine in grouped.items()}
    worst = sorted((alias for alias in sums if sums[alias]), key=lambda alias: (-sums[alias], alias))[:WORST_ALIASES]
    parts = [_parts(grouped[alias]) for alias in worst]
    series = [(name, [of[place] for of in parts]) for place, name in enumerate(PARTS) if any(of[place] for of in parts)]
    return NamedFigure(
        key="exposure-by-alias",
        title="Requests served by bad versions, by alias",
        label=f"The {len(worst)} aliases with most of it, the worst on top. The table below has all.",
        figure=stacked_rows(groups=worst, series=series, axis="Requests"),
    )


def _curve_figure(each: Percentiles) -> NamedFigure:
    steps = sorted((each.seconds[place], quantile) for place, quantile in enumerate(QUANTILES))
    return NamedFigure(
        key="exposure-per-rollback",
        title="Requests served by the bad version, rollback by rollback",
        label=f"Half of {counted(each.measured, 'rollback')} had at most {each.seconds[0]:,.0f} requests, nine of ten at most {each.seconds[1]:,.0f}.",
        figure=exposure_curve(steps=steps),
    )


def _table(title: str, key: str, heading: str, found: Found) -> Table:
    columns = [
        Column(key, heading, "month" if key == "month" else "text"),
        Column("rollbacks", "Rollbacks", "count"),
        Column("known", "with known exposure", "count"),
        Column("imported", "of them imported", "count"),
        Column("requests", "Requests", "count"),
        Column("counted", "Counted", "count"),
        Column("estimated", "Estimated", "count"),
        Column("told", "Told by a file", "count"),
    ]
    rows: list[list[Cell]] = []
    for name, mine in sorted(_grouped(found).items(), reverse=key == "month"):
        whole = sum(mine.values(), ProductionTotals())
        imported = sum(total.exposure_n for (_, source), total in mine.items() if source == RunSource.IMPORTED)
        rows.append([name, whole.wholes, whole.exposure_n, imported, whole.exposure, *_parts(mine)])
    if key == "alias":
        rows.sort(key=lambda row: -int(str(row[4])))
    return Table(f"Exposure {title.lower()}", columns, rows)


def _newest(wanted: AnalyticsFilter) -> Table:
    columns = [
        Column("decided_at", "Decided", "instant"),
        Column("alias", "Alias"),
        Column("requests", "Requests", "count"),
        Column("estimated", "of them estimated", "count"),
        Column("source", "Source"),
        Column("url", "Page"),
    ]
    facts = facts_matching(wanted, ROLLED_BACK).filter(exposure__isnull=False).annotate(url=URL).order_by("-at", "-id")
    rows: list[list[Cell]] = [
        [at, alias, exposure, estimated if source == RunSource.HUB else None, source_in_words(source), address_of_run(url, import_id)]
        for at, alias, exposure, estimated, source, url, import_id in facts.values_list(
            "at", "alias", "exposure", "exposure_estimated", "source", "url", "imported__history_import_id"
        )[:NEWEST]
    ]
    return Table(f"The newest {NEWEST} rollbacks with known exposure", columns, rows, url_column=len(columns) - 1)
