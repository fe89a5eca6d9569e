"""Question 1: how long rollbacks take against their target, by change type, month and alias; drills and production apart and together."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from django.utils import timezone

from rollbackhub.analytics.answer import AnalyticsFilter, Answer, Cell, Column, NamedFigure, Table
from rollbackhub.analytics.domain.facts import GROUP, URL, facts_matching
from rollbackhub.analytics.domain.rollups import Percentiles, Samples, Spread, Totals, all_of, exact_percentiles, regrouped, totals
from rollbackhub.analytics.enums import Measure, RunGroup, RunSource
from rollbackhub.analytics.questions.saying import FEW, FILLS, IMPORTED, NOTHING, SIDE_BY_SIDE, TENTHS, address, noun_of, per_cent
from rollbackhub.charts.run_durations import Middle, RunPoint, durations_by_month, durations_by_type
from rollbackhub.common.durations import in_words
from rollbackhub.common.sentences import counted
from rollbackhub.common.verdict import Verdict
from rollbackhub.registry.enums import ChangeType
from rollbackhub.registry.models import SpeedTarget

POINTS = 1_000
"""Runs that the figure shows one by one: the newest."""

ALIASES = 50
"""Aliases in the table: those that missed their target most often. The others by a filter."""

ALIAS_RUNS = 100_000
"""The aliases of the table have so many runs together at most, since their percentiles are exact; the first few are shown however many they have."""

FIRST_ALIASES = 10

BARE_SQL = f"""
    SELECT change_type, CASE WHEN kind IN ('drill', 'rehearsal') THEN 'drills' ELSE 'production' END AS grp, count(*), count(rollback_seconds),
        percentile_cont(ARRAY[0.5, 0.9]) WITHIN GROUP (ORDER BY rollback_seconds), count(hit), count(*) FILTER (WHERE hit)
        FROM analytics_runfact WHERE kind IN ('drill', 'rehearsal', 'rollback') GROUP BY GROUPING SETS ((1, 2), (1), (2), ());
    SELECT month, CASE WHEN kind IN ('drill', 'rehearsal') THEN 'drills' ELSE 'production' END AS grp, count(*), count(rollback_seconds),
        percentile_cont(ARRAY[0.5, 0.9]) WITHIN GROUP (ORDER BY rollback_seconds), count(hit), count(*) FILTER (WHERE hit)
        FROM analytics_runfact WHERE kind IN ('drill', 'rehearsal', 'rollback') GROUP BY GROUPING SETS ((1, 2), (1));
    SELECT alias, CASE WHEN kind IN ('drill', 'rehearsal') THEN 'drills' ELSE 'production' END AS grp, count(*), count(rollback_seconds),
        percentile_cont(ARRAY[0.5, 0.9]) WITHIN GROUP (ORDER BY rollback_seconds), count(hit), count(*) FILTER (WHERE hit)
        FROM analytics_runfact WHERE kind IN ('drill', 'rehearsal', 'rollback') GROUP BY GROUPING SETS ((1, 2), (1));
    SELECT at, rollback_seconds, target_seconds, hit, change_type, alias, kind, verdict, source, execution_id, rollback_id
        FROM analytics_runfact WHERE kind IN ('drill', 'rehearsal', 'rollback') AND rollback_seconds IS NOT NULL ORDER BY at DESC, id DESC LIMIT {POINTS}
"""

COUNTS = (
    Column("runs", "Runs", "count"),
    Column("measured", "Measured", "count"),
    Column("median_seconds", "Median", "seconds"),
    Column("p90_seconds", "90th percentile", "seconds"),
    Column("within_target", "Within target", "share"),
)

RUN_COLUMNS = (
    Column("at", "When", "instant"),
    Column("group", "What"),
    Column("alias", "Alias"),
    Column("change_type", "Change type"),
    Column("rollback_seconds", "Rollback time", "seconds"),
    Column("target_seconds", "Target", "seconds"),
    Column("hit", "Within target"),
    Column("verdict", "Verdict"),
    Column("source", "Source"),
    Column("url", "Page"),
)


def answer(wanted: AnalyticsFilter) -> Answer:
    """Median, 90th percentile and target by change type, month and alias, and the newest runs one by one. A fixed number of queries."""
    counts = totals(wanted, by=("change_type", "month", "group"))
    by_type, by_month = regrouped(counts, 0, 2), regrouped(counts, 1, 2)
    everything = all_of(by_type)
    if not everything.measured:
        return Answer(headline=NOTHING, empty=FILLS)
    measured = everything.measured
    samples = Samples.of(wanted, measured=measured, by=("change_type", "month"))
    whole, of_types, of_months = samples.spread(), samples.spread(by=("change_type",)), samples.spread(by=("month",))
    newest = _newest(wanted)
    points = _points(newest)
    targets = {ChangeType(kind).label: float(seconds) for kind, seconds in SpeedTarget.objects.values_list("change_type", "seconds") if seconds is not None}
    labels = [group.label for group in SIDE_BY_SIDE]
    types = [kind for kind in ChangeType if any(key[0] == kind for key in by_type)]
    months = sorted({key[0] for key in by_month})
    figures = [
        NamedFigure(
            "durations-by-type",
            "Rollback times against their target, by change type",
            "Rollback times by change type, drills beside production, with median, 90th percentile and target. The table below has the same numbers.",
            durations_by_type(
                points=points,
                middles=[middle for kind in types for middle in _middles(of_types, kind, kind.label)],
                targets=targets,
                groups=labels,
                zone=timezone.localtime().strftime("%Z"),
            ),
        ),
        NamedFigure(
            "durations-by-month",
            "Rollback times by month",
            "Median and 90th percentile of rollback times by month, drills and production. The table below has the same numbers.",
            durations_by_month(middles=[middle for month in months for middle in _middles(of_months, month, month)], groups=labels),
        ),
    ]
    shown = f"The figure shows each of the {counted(len(points), 'measured run')}."
    if measured > len(points):
        shown = f"The figure shows the newest {len(points):,} of {measured:,} measured runs one by one; medians and percentiles are over all of them."
    notes = [
        "Drills are drills and rehearsals in staging; production is rollbacks, without roll-forwards. Rollback time is from the decision until restored.",
        shown,
        whole.note,
        f"A 90th percentile of fewer than {TENTHS} runs is left out. Within target: of the measured runs that had one, by the target of their day.",
        *([f"{counted(everything.imported, 'imported run')} among them. {IMPORTED}"] if everything.imported else []),
    ]
    tables = [
        _table("By change type", Column("change_type", "Change type"), [(kind.label, kind) for kind in types], by_type, of_types),
        _table("By month", Column("month", "Month", "month"), [(month, month) for month in reversed(months)], by_month, of_months),
        _alias_table(wanted, notes),
        _runs_table(newest),
    ]
    numbers = {
        f"{group}_{name}": value
        for group in RunGroup
        if (found := whole.found.get((Measure.ROLLBACK, group))) is not None
        for name, value in (("median", found.seconds[0]), ("p90", found.seconds[1]), ("measured", float(found.measured)))
    }
    return Answer(headline=_headline(by_type, whole), figures=figures, tables=tables, notes=notes, extra=numbers)


def _newest(wanted: AnalyticsFilter) -> list[dict[str, Any]]:
    """The newest measured runs. One query."""
    names = ("at", "rollback_seconds", "target_seconds", "hit", "change_type", "alias", "verdict", "source", "group", "url")
    return list(facts_matching(wanted).filter(rollback_seconds__isnull=False).annotate(group=GROUP, url=URL).order_by("-at", "-pk").values(*names)[:POINTS])


def _points(newest: Sequence[dict[str, Any]]) -> list[RunPoint]:
    """The same, for the figure."""
    zone = timezone.get_current_timezone()
    return [
        RunPoint(
            group=RunGroup(run["group"]).label,
            change_type=ChangeType(run["change_type"]).label,
            alias=run["alias"],
            at=run["at"].astimezone(zone).replace(tzinfo=None),
            seconds=run["rollback_seconds"],
            target_seconds=run["target_seconds"],
            hit=run["hit"],
            verdict=Verdict(run["verdict"]).label,
            imported=run["source"] == RunSource.IMPORTED,
            url=run["url"],
        )
        for run in newest
    ]


def _runs_table(newest: Sequence[dict[str, Any]]) -> Table:
    """The points of the figure, one a row."""
    rows: list[list[Cell]] = [
        [
            run["at"],
            RunGroup(run["group"]).label,
            run["alias"],
            ChangeType(run["change_type"]).label,
            run["rollback_seconds"],
            run["target_seconds"],
            run["hit"],
            Verdict(run["verdict"]).label,
            RunSource(run["source"]).label,
            run["url"],
        ]
        for run in newest
    ]
    return Table(title="The runs of the figure, the newest first", columns=RUN_COLUMNS, rows=rows, url_column=len(RUN_COLUMNS) - 1)


def _middles(spread: Spread, key: object, name: str | dt.date) -> list[Middle]:
    found = [(group, spread.found.get((Measure.ROLLBACK, group, key))) for group in SIDE_BY_SIDE]
    return [Middle(group.label, name, of.seconds[0], _ninth(of), of.measured) for group, of in found if of is not None]


def _ninth(found: Percentiles) -> float | None:
    return found.seconds[1] if found.measured >= TENTHS else None


def _table(title: str, first: Column, names: list[tuple[Cell, Any]], counts: dict[tuple[Any, ...], Totals], spread: Spread) -> Table:
    """Rows for drills, production and both together (where there are both)."""
    rows: list[list[Cell]] = []
    for name, key in names:
        mine = {group: found for group in SIDE_BY_SIDE if (found := counts.get((key, group))) is not None}
        for group in (*mine, *([RunGroup.TOGETHER] if len(mine) == 2 else [])):
            rows.append(
                [name, group.label, *_numbers(all_of(mine) if group == RunGroup.TOGETHER else mine[group], spread.found.get((Measure.ROLLBACK, group, key)))]
            )
    return Table(title=title, columns=[first, Column("group", "What"), *COUNTS], rows=rows)


def _numbers(counts: Totals, found: Percentiles | None) -> list[Cell]:
    median, ninth = (found.seconds[0], _ninth(found)) if found else (None, None)
    return [counts.n, counts.measured, median, ninth, counts.hits / counts.with_target if counts.with_target else None]


def _alias_table(wanted: AnalyticsFilter, notes: list[str]) -> Table:
    """The aliases that missed most often, each with a link to its own answer; percentiles run by run. Two queries."""
    counts = totals(wanted, by=("alias", "group"))
    aliases = {alias: found for (alias,), found in regrouped(counts, 0).items()}
    in_order = sorted(aliases, key=lambda alias: (aliases[alias].hits - aliases[alias].with_target, -aliases[alias].n, alias))
    upto = accumulate(aliases[alias].n for alias in in_order)
    shown = [alias for place, (alias, runs) in enumerate(zip(in_order, upto, strict=True)) if place < FIRST_ALIASES or (place < ALIASES and runs <= ALIAS_RUNS)]
    if len(in_order) > len(shown):
        notes.append(f"The table by alias has the {len(shown)} of {len(in_order):,} aliases that missed their target most often; a filter shows the others.")
    spread = exact_percentiles(facts_matching(wanted).filter(alias__in=shown), by=("alias",))
    table = _table("By alias", Column("alias", "Alias"), [(alias, alias) for alias in shown], counts, spread)
    rows = [[*row, address("durations", wanted, alias=str(row[0]))] for row in table.rows]
    return Table(title=table.title, columns=[*table.columns, Column("url", "Page")], rows=rows, url_column=len(table.columns))


def _headline(by_type: dict[tuple[Any, ...], Totals], whole: Spread) -> str:
    said = []
    for group in reversed(SIDE_BY_SIDE):
        counts = all_of({key: found for key, found in by_type.items() if key[1] == group})
        found = whole.found.get((Measure.ROLLBACK, group))
        if found is None:
            said.append(f"none of {noun_of(group, counts.n)} was measured" if counts.n else f"there was no {noun_of(group, 1).removeprefix('1 ')}")
            continue
        middle = f"half of {noun_of(group, found.measured)} took {in_words(found.seconds[0])} or less"
        if found.measured == 1:
            middle = f"the one {noun_of(group, 1).removeprefix('1 ')} took {in_words(found.seconds[0])}"
        ninth = f", nine in ten {in_words(found.seconds[1])} or less" if found.measured >= TENTHS else ""
        share = f", and {per_cent(counts.hits / counts.with_target)} were within target" if counts.with_target >= TENTHS else ""
        few = " (few: take it as a hint)" if found.measured < FEW else ""
        said.append(f"{middle}{ninth}{share}{few}")
    sentence = "; ".join(said)
    return f"{sentence[0].upper()}{sentence[1:]}."
