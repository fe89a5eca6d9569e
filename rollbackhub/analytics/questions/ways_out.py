"""Question 11: going back or going forward? How often each way out was taken, how it ended, and how long it took."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from rollbackhub.analytics.answer import AnalyticsFilter, Answer, Cell, Column, NamedFigure, Table
from rollbackhub.analytics.domain.production import ProductionTotals, production_totals
from rollbackhub.analytics.domain.rollups import Percentiles, percentiles
from rollbackhub.analytics.domain.statistics import wilson
from rollbackhub.analytics.enums import IN_PRODUCTION, Measure, RunGroup, RunKind, RunSource
from rollbackhub.analytics.questions.wording import TOO_FEW, bounds_in_words, interval_in_words, months_between
from rollbackhub.charts.spread_rows import SpreadRow, spread_rows
from rollbackhub.charts.stacked_months import stacked_months
from rollbackhub.charts.stacked_rows import stacked_rows
from rollbackhub.common.durations import in_words
from rollbackhub.common.sentences import counted
from rollbackhub.common.verdict import Verdict
from rollbackhub.rollbacks.enums import RollbackState, RollForwardState

ENOUGH = 5
"""Runs of a way below which nothing is concluded."""
WAYS = {RunKind.ROLLBACK: "Roll-back", RunKind.ROLL_FORWARD: "Roll-forward"}

BARE_SQL = """
    SELECT date_trunc('month', at AT TIME ZONE 'UTC'), kind, outcome, verdict, source, count(*) FROM analytics_runfact
        WHERE kind IN ('rollback', 'roll_forward') GROUP BY 1, 2, 3, 4, 5;
    SELECT kind, percentile_cont(ARRAY[0.5, 0.9]) WITHIN GROUP (ORDER BY rollback_seconds), count(rollback_seconds) FROM analytics_runfact
        WHERE kind IN ('rollback', 'roll_forward') GROUP BY kind
"""


def answer(wanted: AnalyticsFilter) -> Answer:
    """Counts, outcomes and times of both ways. Two to four queries."""
    found = production_totals(wanted, by=("month", "kind", "outcome", "verdict", "source"))
    if not found:
        return Answer(
            headline="Neither way out was taken in this period.",
            empty="Production rollbacks, and roll-forwards that ship a fix instead, fill this once they have ended.",
        )
    ways = {kind: _of(found, kind) for kind in IN_PRODUCTION}
    times = {kind: spread for kind in IN_PRODUCTION if ways[kind] and (spread := _times(wanted, kind, n=sum(ways[kind].values()))) is not None}
    by_month = _by_month(ways)
    figures = [_outcome_figure(ways), *([_time_figure(times)] if times else []), _month_figure(by_month)]
    tables = [_table(ways, times), _outcome_table(ways), _month_table(by_month)]
    notes = [
        "One run an alias. It passed when traffic was restored, and verified; for a roll-forward: the fix holds. Time: decided to restored.",
        "A roll-forward is chosen where the fix is small and sure: the two ways met different failures. That one did better does not show that it is better.",
        "Drills are not among them.",
    ]
    return Answer(headline=_headline(ways, times), figures=figures, tables=tables, notes=notes, extra=_extra(ways, times))


Rows = Mapping[tuple[Any, ...], ProductionTotals]


def _of(found: Rows, kind: RunKind) -> dict[tuple[Any, ...], int]:
    """Runs of a way by month, outcome, verdict and source."""
    return {(month, outcome, verdict, source): total.n for (month, of, outcome, verdict, source), total in found.items() if of == kind}


def _times(wanted: AnalyticsFilter, kind: RunKind, *, n: int) -> Percentiles | None:
    return percentiles(wanted, measured=n, kinds=(kind,)).found.get((Measure.ROLLBACK, RunGroup.TOGETHER.value))


def _passed(way: Mapping[tuple[Any, ...], int]) -> int:
    return sum(n for (_, _, verdict, _), n in way.items() if verdict == Verdict.PASSED)


def _headline(ways: Mapping[RunKind, Mapping[tuple[Any, ...], int]], times: Mapping[RunKind, Percentiles]) -> str:
    parts = []
    for kind, way in ways.items():
        n = sum(way.values())
        if not n:
            parts.append(f"no {WAYS[kind].lower()}")
            continue
        said = counted(n, WAYS[kind].lower())
        if n < ENOUGH:
            parts.append(f"{said}, {_passed(way):,} of them passed ({TOO_FEW} more)")
            continue
        spread = times.get(kind)
        took = f", half of them within {in_words(spread.seconds[0])}" if spread is not None and spread.measured >= ENOUGH else ""
        parts.append(f"{said}, of which {interval_in_words(wilson(_passed(way), n))} passed{took}")
    sentence = "; ".join(parts)
    return f"{sentence[0].upper()}{sentence[1:]}."


def _outcome(kind: RunKind, outcome: str) -> str:
    states = RollForwardState if kind == RunKind.ROLL_FORWARD else RollbackState
    return str(states(outcome).label) if outcome in states.values else outcome


def _outcomes(ways: Mapping[RunKind, Mapping[tuple[Any, ...], int]]) -> dict[tuple[RunKind, str], int]:
    summed: dict[tuple[RunKind, str], int] = {}
    for kind, way in ways.items():
        for (_, outcome, _, _), n in way.items():
            summed[kind, outcome] = summed.get((kind, outcome), 0) + n
    return summed


def _outcome_figure(ways: Mapping[RunKind, Mapping[tuple[Any, ...], int]]) -> NamedFigure:
    kinds = [kind for kind, way in ways.items() if way]
    verdicts = [verdict for verdict in Verdict if any(of == verdict for way in ways.values() for (_, _, of, _) in way)]
    series = [(str(verdict.label), [sum(n for (_, _, of, _), n in ways[kind].items() if of == verdict) for kind in kinds]) for verdict in verdicts]
    label = "; ".join(f"{WAYS[kind]}: {_passed(ways[kind]):,} of {sum(ways[kind].values()):,} passed" for kind in kinds)
    return NamedFigure(
        key="ways-out-outcomes",
        title="How roll-backs and roll-forwards ended",
        label=f"{label}. The table below has the same numbers.",
        figure=stacked_rows(groups=[WAYS[kind] for kind in kinds], series=series, axis="Share of its runs", as_shares=True),
        table=1,
    )


def _time_figure(times: Mapping[RunKind, Percentiles]) -> NamedFigure:
    rows = [SpreadRow(WAYS[kind], "Decided to restored", spread.seconds[0], spread.seconds[1], spread.measured) for kind, spread in times.items()]
    return NamedFigure(
        key="ways-out-times",
        title="How long roll-backs and roll-forwards took",
        label="; ".join(f"{row.group}: median {in_words(row.median)}, nine of ten within {in_words(row.p90)}, {row.n:,} measured" for row in rows) + ".",
        figure=spread_rows(rows=rows, axis="Decided to restored"),
        table=0,
    )


def _by_month(ways: Mapping[RunKind, Mapping[tuple[Any, ...], int]]) -> dict[tuple[RunKind, dt.date], int]:
    by_month: dict[tuple[RunKind, dt.date], int] = {}
    for kind, way in ways.items():
        for (month, _, _, _), n in way.items():
            by_month[kind, month] = by_month.get((kind, month), 0) + n
    return by_month


def _month_figure(by_month: Mapping[tuple[RunKind, dt.date], int]) -> NamedFigure:
    months = months_between({month for _, month in by_month})
    return NamedFigure(
        key="ways-out-by-month",
        title="Roll-backs and roll-forwards by month",
        label="How often each way out was taken, month by month. The table below has the same numbers.",
        figure=stacked_months(
            months=months, series=[(WAYS[kind], [by_month.get((kind, month), 0) for month in months]) for kind in WAYS], axis="Runs", unit="runs"
        ),
        table=2,
    )


def _month_table(by_month: Mapping[tuple[RunKind, dt.date], int]) -> Table:
    columns = [Column("month", "Month", "month"), *(Column(kind.value, words, "count") for kind, words in WAYS.items())]
    months = months_between({month for _, month in by_month})
    return Table("By month", columns, [[month, *(by_month.get((kind, month), 0) for kind in WAYS)] for month in reversed(months)])


def _table(ways: Mapping[RunKind, Mapping[tuple[Any, ...], int]], times: Mapping[RunKind, Percentiles]) -> Table:
    columns = [
        Column("way", "Way out"),
        Column("runs", "Runs", "count"),
        Column("imported", "of them imported", "count"),
        Column("passed", "Passed", "count"),
        Column("passed_share", "Passed", "share"),
        Column("interval", "95 % interval"),
        Column("measured", "Measured", "count"),
        Column("median", "Median", "seconds"),
        Column("p90", "90th percentile", "seconds"),
    ]
    rows: list[list[Cell]] = []
    for kind, way in ways.items():
        n, passed, spread = sum(way.values()), _passed(way), times.get(kind)
        share = wilson(passed, n) if n else None
        interval = bounds_in_words(share) if share and n >= ENOUGH else TOO_FEW
        imported = sum(count for (_, _, _, source), count in way.items() if source == RunSource.IMPORTED)
        seconds = spread.seconds if spread is not None and spread.measured >= ENOUGH else (None, None)
        rows.append([WAYS[kind], n, imported, passed, share.value if share else None, interval, spread.measured if spread else 0, *seconds])
    return Table("Roll-back against roll-forward", columns, rows)


def _outcome_table(ways: Mapping[RunKind, Mapping[tuple[Any, ...], int]]) -> Table:
    columns = [Column("way", "Way out"), Column("outcome", "How it ended"), Column("runs", "Runs", "count"), Column("share", "of this way", "share")]
    whole = {kind: sum(way.values()) for kind, way in ways.items()}
    summed = sorted(_outcomes(ways).items(), key=lambda entry: (list(WAYS).index(entry[0][0]), -entry[1]))
    return Table("How they ended", columns, [[WAYS[kind], _outcome(kind, outcome), n, n / whole[kind]] for (kind, outcome), n in summed])


def _extra(ways: Mapping[RunKind, Mapping[tuple[Any, ...], int]], times: Mapping[RunKind, Percentiles]) -> dict[str, float]:
    extra: dict[str, float] = {}
    for kind, way in ways.items():
        extra |= {f"{kind.value}_n": float(sum(way.values())), f"{kind.value}_passed": float(_passed(way))}
        if kind in times:
            extra[f"{kind.value}_median"] = times[kind].seconds[0]
    return extra
