"""Question 3: how often the target is met, with the interval that says how sure that is."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from rollbackhub.analytics.answer import AnalyticsFilter, Answer, Cell, Column, NamedFigure, Table
from rollbackhub.analytics.domain import statistics
from rollbackhub.analytics.domain.rollups import Totals, all_of, regrouped, totals
from rollbackhub.analytics.enums import RunGroup
from rollbackhub.analytics.questions.saying import FEW, FILLS, IMPORTED, NOTHING, SIDE_BY_SIDE, noun_of, per_cent
from rollbackhub.charts.hit_rates import Share, hit_rates_by_month, hit_rates_by_type
from rollbackhub.common.sentences import counted
from rollbackhub.registry.enums import ChangeType

_COUNTS = "count(*), count(rollback_seconds), count(hit), count(*) FILTER (WHERE hit)"
_GROUP = "CASE WHEN kind IN ('drill', 'rehearsal') THEN 'drills' ELSE 'production' END"
BARE_SQL = f"""
    SELECT change_type, month, {_GROUP} AS grp, {_COUNTS}
        FROM analytics_runfact WHERE kind IN ('drill', 'rehearsal', 'rollback') GROUP BY GROUPING SETS ((1, 3), (2, 3), (3), (1), (2), ())
"""
"""Without the intervals, which PostgreSQL has no function for: they take a few microseconds each."""


def answer(wanted: AnalyticsFilter) -> Answer:
    """The share of measured runs within their target, by change type and month, with Wilson's 95 % interval. One or two queries."""
    cells = totals(wanted, by=("change_type", "month", "group"))
    by_type, by_month = regrouped(cells, 0, 2), regrouped(cells, 1, 2)
    everything = all_of(by_type)
    if not everything.with_target:
        return Answer(headline=NOTHING, empty=f"{FILLS} Only runs of what has a target count here.")
    groups = [group.label for group in SIDE_BY_SIDE]
    types = [kind for kind in ChangeType if any(key[0] == kind for key in by_type)]
    months = sorted({key[0] for key in by_month})
    type_rows = _rows([(kind.label, kind) for kind in types], by_type)
    month_rows = _rows([(month, month) for month in months], by_month)
    figures = [
        NamedFigure(
            "hit-rate-by-type",
            "Share of runs within their target, by change type",
            "Share of drills and of production rollbacks within their target by change type, with 95 % intervals. The table below has the same numbers.",
            hit_rates_by_type(shares=_side_by_side(type_rows), groups=groups),
        ),
        NamedFigure(
            "hit-rate-by-month",
            "Share of runs within their target, by month",
            "Share of drills and of production rollbacks within their target by month, with 95 % intervals. The table below has the same numbers.",
            hit_rates_by_month(shares=_side_by_side(month_rows), groups=groups),
        ),
    ]
    whole = {group: all_of({key: found for key, found in by_type.items() if key[1] == group}) for group in SIDE_BY_SIDE}
    notes = [
        "Of the measured runs that had a target, those restored within it, by the target of their day. Drills are drills and rehearsals in staging.",
        "The interval is Wilson's (1927), 95 %: with few runs it is wide, and says how little is known.",
        *(_unrestored(group, counts) for group, counts in whole.items() if counts.n > counts.measured),
        *([f"{counted(everything.imported, 'imported run')} among them. {IMPORTED}"] if everything.imported else []),
    ]
    tables = [
        Table("By change type", [Column("change_type", "Change type"), *_COLUMNS], [_cells(share) for share in type_rows]),
        Table("By month", [Column("month", "Month", "month"), *_COLUMNS], [_cells(share) for share in reversed(month_rows)]),
    ]
    numbers: dict[str, float] = {}
    for group, counts in {**whole, RunGroup.TOGETHER: everything}.items():
        if counts.with_target:
            (share,) = _shares([(group.label, group.label, counts)])
            numbers |= {
                f"{group}_share": share.hits / share.runs,
                f"{group}_low": share.low,
                f"{group}_high": share.high,
                f"{group}_runs": float(share.runs),
            }
    return Answer(headline=_headline(whole), figures=figures, tables=tables, notes=notes, extra=numbers)


_COLUMNS = (
    Column("group", "What"),
    Column("hits", "Within target", "count"),
    Column("runs", "Measured, with a target", "count"),
    Column("share", "Share", "share"),
    Column("low", "At least (95 %)", "share"),
    Column("high", "At most (95 %)", "share"),
)


def wilson(hits: Sequence[int], runs: Sequence[int]) -> list[tuple[float, float]]:
    """The intervals that hold the true share with 95 % confidence (E. B. Wilson, JASA 22, 1927). Each number of runs is above 0."""
    found = [statistics.wilson(met, n) for met, n in zip(hits, runs, strict=True)]
    return [(share.low, share.high) for share in found]


def _shares(counts: Sequence[tuple[str, str | dt.date, Totals]]) -> list[Share]:
    """Of those that had a run with a target."""
    known = [entry for entry in counts if entry[2].with_target]
    bounds = wilson([found.hits for _, _, found in known], [found.with_target for _, _, found in known])
    return [Share(group, of, found.hits, found.with_target, low, high) for (group, of, found), (low, high) in zip(known, bounds, strict=True)]


def _rows(names: Sequence[tuple[str | dt.date, Any]], counts: Mapping[tuple[Any, ...], Totals]) -> list[Share]:
    """Drills, production, and both together where there are both."""
    found: list[tuple[str, str | dt.date, Totals]] = []
    for name, key in names:
        mine = {group: counts[key, group] for group in SIDE_BY_SIDE if (key, group) in counts}
        found += [(group.label, name, total) for group, total in mine.items()]
        if len(mine) == 2:
            found.append((RunGroup.TOGETHER.label, name, all_of(mine)))
    return _shares(found)


def _side_by_side(shares: Sequence[Share]) -> list[Share]:
    return [share for share in shares if share.group != RunGroup.TOGETHER.label]


def _cells(share: Share) -> list[Cell]:
    return [share.of, share.group, share.hits, share.runs, share.hits / share.runs, share.low, share.high]


def _unrestored(group: RunGroup, counts: Totals) -> str:
    """What the share would be if runs that were never restored counted as misses."""
    without = counts.n - counts.measured
    missed = counts.hits / (counts.with_target + without)
    is_not = "is" if without == 1 else "are"
    return (
        f"{noun_of(group, without)} ended without being seen restored and {is_not} not counted: "
        f"as misses they would bring the share of {group.label.lower()} to {per_cent(missed)}."
    )


def _headline(whole: Mapping[RunGroup, Totals]) -> str:
    said = []
    for group in reversed(SIDE_BY_SIDE):
        counts = whole[group]
        if not counts.with_target:
            said.append(f"no {noun_of(group, 1).removeprefix('1 ')} with a target was measured")
            continue
        ((low, high),) = wilson([counts.hits], [counts.with_target])
        share = f"{counts.hits:,} of {noun_of(group, counts.with_target)} met their target: {per_cent(counts.hits / counts.with_target)}"
        few = "; so few say little" if counts.with_target < FEW else ""
        said.append(f"{share} (95 % interval {per_cent(low)} to {per_cent(high)}{few})")
    sentence = "; ".join(said)
    return f"{sentence[0].upper()}{sentence[1:]}."
