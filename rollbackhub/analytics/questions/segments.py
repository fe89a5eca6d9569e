"""Question 2: where the time goes. The median of each segment of the clock, drills beside production."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rollbackhub.analytics.answer import AnalyticsFilter, Answer, Cell, Column, NamedFigure, Table
from rollbackhub.analytics.domain.rollups import Percentiles, all_of, percentiles, totals
from rollbackhub.analytics.enums import SEGMENTS, Measure, RunGroup
from rollbackhub.analytics.questions.saying import FEW, FILLS, IMPORTED, NOTHING, SIDE_BY_SIDE, TENTHS, noun_of
from rollbackhub.analytics.questions.wording import listed
from rollbackhub.charts.segment_medians import SegmentMedian, segment_medians
from rollbackhub.common.durations import in_words
from rollbackhub.common.sentences import counted

COUNTED = (Measure.AUTHORISE, Measure.EXECUTE, Measure.PROPAGATE, Measure.DRAIN)
"""What the rollback time consists of: from the decision until restored. Detecting comes before it, verifying after."""

OF_WHAT = "Of the rollback time (decided to restored)"

MOST = 0.5
"""What was measured of the rollback time must make up so much of it before a part of it is blamed."""

BARE_SQL = f"""
    SELECT CASE WHEN kind IN ('drill', 'rehearsal') THEN 'drills' ELSE 'production' END AS grp, count(*),
        {", ".join(f"percentile_cont(ARRAY[0.5, 0.9]) WITHIN GROUP (ORDER BY {segment}_seconds), count({segment}_seconds)" for segment in Measure)}
        FROM analytics_runfact WHERE kind IN ('drill', 'rehearsal', 'rollback') GROUP BY GROUPING SETS ((1), ())
"""


def answer(wanted: AnalyticsFilter) -> Answer:
    """The median and the 90th percentile of each segment, for drills, production and both. Two or three queries."""
    counts = totals(wanted, by=("group",))
    everything = all_of(counts)
    spread = percentiles(wanted, measured=everything.measured, measures=list(Measure))
    if not any(measure in SEGMENTS for measure, *_ in spread.found):
        return Answer(headline=NOTHING, empty=FILLS)
    found: dict[tuple[RunGroup, Measure], Percentiles] = {
        (group, segment): at for segment in SEGMENTS for group in RunGroup if (at := spread.found.get((segment, group))) is not None
    }
    shown = [segment for segment in SEGMENTS if any((group, segment) in found for group in SIDE_BY_SIDE)]
    figure = NamedFigure(
        "segments",
        "Median time of each segment, drills beside production",
        "Median time of each segment of the clock, drills beside production. The table below has the same numbers.",
        segment_medians(
            medians=[
                SegmentMedian(group.label, segment.label, at.seconds[0], _ninth(at), at.measured)
                for (group, segment), at in found.items()
                if group != RunGroup.TOGETHER
            ],
            segments=[segment.label for segment in shown],
            groups=[group.label for group in SIDE_BY_SIDE],
        ),
    )
    rows: list[list[Cell]] = [
        [segment.label, group.label, at.measured, at.seconds[0], _ninth(at)]
        for segment in shown
        for group in RunGroup
        if (at := found.get((group, segment))) is not None and (group != RunGroup.TOGETHER or all((each, segment) in found for each in SIDE_BY_SIDE))
    ]
    columns = [
        Column("segment", "Segment"),
        Column("group", "What"),
        Column("measured", "Measured", "count"),
        Column("median_seconds", "Median", "seconds"),
        Column("p90_seconds", "90th percentile", "seconds"),
    ]
    whole = {group: at for group in SIDE_BY_SIDE if (at := spread.found.get((Measure.ROLLBACK, group))) is not None}
    missing = [segment.label.lower() for segment in SEGMENTS if segment not in shown]
    only_there = _never_measured(found, shown)
    notes = [
        "A segment counts where its two instants were recorded; a run that did not reach it is not counted there, so medians do not add up to a whole run's.",
        "Drills have nothing to detect, decide or authorise: their clock starts when they begin. Detect is from the detection to the decision; "
        "authorise, execute, propagate and drain make up the rollback time, and propagating overlaps with draining.",
        spread.note,
        *([f"Nothing was measured of: {', '.join(missing)}."] if missing else []),
        *only_there,
        *([f"{counted(everything.imported, 'imported run')} among them. {IMPORTED}"] if everything.imported else []),
    ]
    numbers = {f"{group}_{segment}_median": at.seconds[0] for (group, segment), at in found.items()}
    return Answer(headline=_headline(found, whole), figures=[figure], tables=[Table("Segments", columns, rows)], notes=notes, extra=numbers)


def _ninth(found: Percentiles) -> float | None:
    return found.seconds[1] if found.measured >= TENTHS else None


def _never_measured(found: Mapping[tuple[RunGroup, Measure], Percentiles], shown: Sequence[Measure]) -> list[str]:
    """A note for each group that was measured, of the parts of its rollback time that were measured in the other alone."""
    notes = []
    for group in SIDE_BY_SIDE:
        parts = [segment for segment in COUNTED if not (segment == Measure.AUTHORISE and group == RunGroup.DRILLS)]
        missing = [segment.label.lower() for segment in parts if segment in shown and (group, segment) not in found]
        if missing and any(of == group for of, _ in found):
            notes.append(f"Never measured in {_where(group)}: {listed(missing)}.")
    return notes


def _headline(found: Mapping[tuple[RunGroup, Measure], Percentiles], whole: Mapping[RunGroup, Percentiles]) -> str:
    """Which part of the rollback time costs most, in production and in drills, and whether that is the same one. `whole`: the rollback time itself."""
    measured: dict[RunGroup, list[tuple[Measure, Percentiles]]] = {}
    for group in SIDE_BY_SIDE:
        mine = [(segment, found[group, segment]) for segment in COUNTED if (group, segment) in found]
        if mine:
            measured[group] = mine
    if not measured:
        return "Nothing was measured between the decision and the restoration."
    costliest: dict[RunGroup, Measure] = {}
    said: dict[RunGroup, str] = {}
    for group, mine in measured.items():
        segment, at = max(mine, key=lambda entry: entry[1].seconds[0])
        if (time := whole.get(group)) is not None and not _is_most_known(mine, time):
            parts = listed([f"{part.label.lower()} ({in_words(each.seconds[0])})" for part, each in mine])
            known = f"little but {parts} was recorded" if len(mine) > 1 else f"only {parts} was recorded"
            said[group] = (
                f"it is not known what costs most: of {in_words(time.seconds[0])} in the median of {noun_of(group, time.measured)} {known}{_few(time)}"
            )
        else:
            costliest[group] = segment
            said[group] = f"{segment.label.lower()} costs most: {in_words(at.seconds[0])} in the median of {noun_of(group, at.measured)}{_few(at)}"
    if len(said) == 1:
        ((group, sentence),) = said.items()
        other = "drill" if group == RunGroup.PRODUCTION else "production rollback"
        return f"{OF_WHAT}, in {_where(group)} {sentence}. No {other} was measured to set beside it."
    same = len(costliest) == 2 and len(set(costliest.values())) == 1
    link = "as in drills, where" if same else "but in drills"
    return f"{OF_WHAT}, in production {said[RunGroup.PRODUCTION]}; {link} {said[RunGroup.DRILLS]}."


def _is_most_known(parts: Sequence[tuple[Measure, Percentiles]], whole: Percentiles) -> bool:
    """Whether what was recorded of the parts makes up at least half of the rollback time; a part that few runs recorded counts for as little."""
    return sum(at.seconds[0] * at.measured for _, at in parts) >= MOST * whole.seconds[0] * whole.measured


def _where(group: RunGroup) -> str:
    return "drills" if group == RunGroup.DRILLS else "production"


def _few(found: Percentiles) -> str:
    return " (few: take it as a hint)" if found.measured < FEW else ""
