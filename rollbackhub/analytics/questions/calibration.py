"""Question 4: does a drill of 4 minutes predict a rollback of 4 minutes?

Each measured production rollback is compared with the newest passed drill of the same path (artefact and alias) before it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from django.db import connection
from django.db.models import F

from rollbackhub.analytics.answer import AnalyticsFilter, Answer, Cell, Column, NamedFigure, Table
from rollbackhub.analytics.domain.facts import URL, facts_matching
from rollbackhub.analytics.domain.rollups import all_of, totals
from rollbackhub.analytics.domain.statistics import geometric_mean, wilson
from rollbackhub.analytics.enums import ROLLED_BACK
from rollbackhub.analytics.questions.wording import address_of_run, bounds_in_words, interval_in_words, source_in_words
from rollbackhub.charts.calibration_scatter import CalibrationPoint, calibration_scatter
from rollbackhub.common.sentences import counted
from rollbackhub.registry.enums import ChangeType

NEWEST = 2000
"""So many rollbacks are looked at, the newest: what drills predicted years ago says little about today's."""
DRAWN = 400
"""Of those pairs the newest are drawn: more would cover each other."""
ENOUGH = 10
"""Pairs below which nothing is concluded."""
FACTOR = 2.0
LABELS = {change_type.value: str(change_type.label) for change_type in ChangeType}

_PAIRS = """
    SELECT r.alias, r.change_type, r.at, r.rollback_seconds, r.source, r.url, r.imported__history_import_id, d.at, d.rollback_seconds, d.source
    FROM ({rollbacks}) AS r
    LEFT JOIN LATERAL (
        SELECT fact.at, fact.rollback_seconds, fact.source FROM analytics_runfact AS fact
        WHERE fact.alias = r.alias AND fact.artefact_id = r.artefact_id AND fact.kind IN ('drill', 'rehearsal') AND fact.verdict = 'passed'
            AND fact.rollback_seconds > 0 AND fact.at < r.at AND (%s OR NOT fact.is_lab)
        ORDER BY fact.at DESC, fact.id DESC LIMIT 1
    ) AS d ON true
    ORDER BY r.at DESC
"""

BARE_SQL = f"""
    SELECT r.alias, r.change_type, r.at, r.rollback_seconds, d.at, d.rollback_seconds
    FROM (
        SELECT alias, artefact_id, change_type, at, rollback_seconds FROM analytics_runfact WHERE kind = 'rollback' AND rollback_seconds > 0
        ORDER BY at DESC, id DESC LIMIT {NEWEST}
    ) AS r
    LEFT JOIN LATERAL (
        SELECT fact.at, fact.rollback_seconds FROM analytics_runfact AS fact
        WHERE fact.alias = r.alias AND fact.artefact_id = r.artefact_id AND fact.kind IN ('drill', 'rehearsal') AND fact.verdict = 'passed'
            AND fact.rollback_seconds > 0 AND fact.at < r.at
        ORDER BY fact.at DESC, fact.id DESC LIMIT 1
    ) AS d ON true
"""


@dataclass(frozen=True, slots=True)
class Pair:
    """A production rollback and the drill before it."""

    alias: str
    change_type: str
    at: dt.datetime
    seconds: float
    source: str
    url: str
    drilled_at: dt.datetime
    drill_seconds: float
    drill_source: str

    @property
    def ratio(self) -> float:
        """How many times as long production took."""
        return self.seconds / self.drill_seconds


def answer(wanted: AnalyticsFilter) -> Answer:
    """Production against the drill before it: the ratio's geometric mean, and how often they are within twice of each other. Two or three queries."""
    pairs, alone = _pairs(wanted)
    if not pairs:
        filled = "A pair appears when a path has a passed, measured drill and after it a production rollback that was restored."
        waiting = f" So far {counted(alone, 'rollback')} had no passed drill of its path before it." if alone else ""
        return Answer(headline="No production rollback can be compared with a drill yet.", empty=f"{filled}{waiting}")
    measured = all_of(totals(wanted, kinds=ROLLED_BACK)).measured
    near = sum(1 for pair in pairs if 1 / FACTOR <= pair.ratio <= FACTOR)
    share = wilson(near, len(pairs))
    extra = {"pairs": float(len(pairs)), "within_twice": share.value, "without_drill": float(alone)}
    if len(pairs) < ENOUGH:
        headline = f"{counted(len(pairs), 'pair')} so far: too few to say whether drills predict production ({ENOUGH} are needed)."
    else:
        ratio = geometric_mean([pair.ratio for pair in pairs])
        extra |= {"ratio": ratio.value, "ratio_low": ratio.low, "ratio_high": ratio.high}
        headline = (
            f"Production took {ratio.value:.2f} times as long as the drill before it (geometric mean of {counted(len(pairs), 'pair')},"
            f" 95 % interval {ratio.low:.2f} to {ratio.high:.2f}); {interval_in_words(share)} came within twice or half of it."
        )
    notes = [
        "A pair is a production rollback that was restored and the newest passed drill or rehearsal of the same artefact and alias before it.",
        "The interval is Student's t on the logarithms of the ratios. Pairs of one alias resemble each other: with few of them it is too narrow.",
        "Rollbacks that were not restored have no time and are not among them: they would make production look slower.",
    ]
    if alone:
        notes.append(f"{counted(alone, 'rollback')} had no passed drill before {'it' if alone == 1 else 'them'} and {'is' if alone == 1 else 'are'} left out.")
    if measured > NEWEST:
        notes.append(f"The newest {NEWEST:,} of {measured:,} measured rollbacks are looked at.")
    if len(pairs) > DRAWN:
        notes.append(f"The newest {DRAWN} pairs are drawn; the numbers are of all, and the table has them.")
    return Answer(headline=headline, figures=[_figure(pairs)], tables=[_by_type(pairs), _table(pairs)], notes=notes, extra=extra)


def _pairs(wanted: AnalyticsFilter) -> tuple[list[Pair], int]:
    """The pairs, the newest first, and how many rollbacks have no drill. One query."""
    rollbacks = facts_matching(wanted, ROLLED_BACK).filter(rollback_seconds__gt=0).annotate(url=URL).order_by("-at", "-id")
    names = ("alias", "artefact_id", "change_type", "at", "rollback_seconds", "source", "url", "imported__history_import_id")
    rows, params = rollbacks.values(*names, imported__history_import_id=F("imported__history_import_id"))[:NEWEST].query.sql_with_params()
    with connection.cursor() as cursor:
        cursor.execute(_PAIRS.format(rollbacks=rows), [*params, wanted.with_lab])
        found = cursor.fetchall()
    pairs = [
        Pair(alias, change_type, at, seconds, source, address_of_run(url, import_id), drilled_at, drill_seconds, drill_source)
        for alias, change_type, at, seconds, source, url, import_id, drilled_at, drill_seconds, drill_source in found
        if drilled_at is not None
    ]
    return pairs, len(found) - len(pairs)


def _figure(pairs: Sequence[Pair]) -> NamedFigure:
    points = [
        CalibrationPoint(pair.drill_seconds, pair.seconds, LABELS[pair.change_type], pair.alias, pair.url, pair.source == "imported") for pair in pairs[:DRAWN]
    ]
    slower = sum(1 for pair in pairs if pair.ratio > 1)
    return NamedFigure(
        key="calibration",
        title="Production rollback time against the drill before it",
        label=f"{counted(len(pairs), 'pair')}: in {slower:,} of them production took longer than its drill. The tables below have the same numbers.",
        figure=calibration_scatter(points=points, change_types=[str(label) for label in ChangeType.labels]),
        table=1,
    )


def _by_type(pairs: Sequence[Pair]) -> Table:
    rows: list[list[Cell]] = []
    for change_type in ChangeType:
        ratios = [pair.ratio for pair in pairs if pair.change_type == change_type]
        if ratios:
            near = wilson(sum(1 for ratio in ratios if 1 / FACTOR <= ratio <= FACTOR), len(ratios))
            mean = geometric_mean(ratios) if len(ratios) >= ENOUGH else None
            said = f"{mean.value:.2f} ({mean.low:.2f} to {mean.high:.2f})" if mean else "too few to say"
            rows.append([str(change_type.label), len(ratios), said, near.value, bounds_in_words(near)])
    columns = [
        Column("change_type", "Change type"),
        Column("pairs", "Pairs", "count"),
        Column("ratio", "Production to drill (95 % interval)"),
        Column("within_twice", "Within twice or half", "share"),
        Column("within_twice_interval", "95 % interval"),
    ]
    return Table("How well drills predict, by change type", columns, rows)


def _table(pairs: Sequence[Pair]) -> Table:
    columns = [
        Column("alias", "Alias"),
        Column("change_type", "Change type"),
        Column("decided_at", "Decided", "instant"),
        Column("production_seconds", "Production", "seconds"),
        Column("source", "Source"),
        Column("drilled_at", "Drill before it", "instant"),
        Column("drill_seconds", "Drill took", "seconds"),
        Column("drill_source", "Source of the drill"),
        Column("ratio", "Production to drill"),
        Column("gap_seconds", "Time between", "seconds"),
        Column("url", "Page"),
    ]
    rows: list[list[Cell]] = [
        [
            pair.alias,
            LABELS[pair.change_type],
            pair.at,
            pair.seconds,
            source_in_words(pair.source),
            pair.drilled_at,
            pair.drill_seconds,
            source_in_words(pair.drill_source),
            f"{pair.ratio:.2f}",
            (pair.at - pair.drilled_at).total_seconds(),
            pair.url,
        ]
        for pair in pairs
    ]
    return Table("Every pair, the newest first", columns, rows, url_column=len(columns) - 1)
