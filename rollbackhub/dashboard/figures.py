"""From rows of the database to figures on a page."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from django.urls import reverse
from django.utils import timezone
from plotly.graph_objects import Figure

from rollbackhub.charts.content import as_content
from rollbackhub.charts.drill_durations import drill_durations
from rollbackhub.charts.rows import DrillPoint, Mark, SegmentBar, TrafficPoint
from rollbackhub.charts.segments_waterfall import segments_waterfall
from rollbackhub.charts.theme import THEMES, template
from rollbackhub.charts.traffic_shares import traffic_shares
from rollbackhub.common import clock
from rollbackhub.common.verdict import Verdict
from rollbackhub.executions.domain.selectors import SegmentTime
from rollbackhub.executions.enums import ExecutionState, Segment
from rollbackhub.executions.models import Execution, Sample
from rollbackhub.registry.enums import ChangeType
from rollbackhub.registry.models import Artefact, SpeedTarget

ROLLBACK_SEGMENTS = (Segment.EXECUTE, Segment.PROPAGATE, Segment.DRAIN, Segment.VERIFY)
FORMERLY = "formerly "
"""Before whose a target was, until somebody changed it."""
CHART_POINTS = 400
"""A line of the traffic figure has at most this many points; longer series are thinned evenly."""


@dataclass(frozen=True, slots=True)
class PageFigure:
    """A figure on a page: the id of its JSON, its content, and its sentence for those who cannot see it."""

    id: str
    content: dict[str, Any]
    label: str


@cache
def chart_templates() -> dict[str, Any]:
    """The looks of both themes, for charts.js."""
    return {theme: json.loads(Figure(layout={"template": template(theme)}).to_json() or "{}")["layout"]["template"] for theme in THEMES}


def measured_until(executions: Iterable[Execution]) -> dt.datetime | None:
    """When the last attempt of a step that does not put back ended: so far a segment that stopped in the middle was measured. Attempts must be fetched."""
    ended = (attempt.ended_at for execution in executions for attempt in execution.attempts.all() if attempt.segment != Segment.CLEAN_UP)
    return max((at for at in ended if at is not None), default=None)


def segment_bars(segments: Iterable[SegmentTime], *, zero: dt.datetime | None, until: dt.datetime | None) -> list[SegmentBar]:
    """The segments on a clock that begins at `zero`; one that did not end is drawn until it was measured last, and marked (`until` None: left out)."""
    bars = []
    for segment in segments:
        seconds = segment.seconds if segment.seconds is not None else clock.seconds_between(segment.start, until)
        if zero is None or segment.start is None or seconds is None or (segment.end is None and seconds <= 0):
            continue
        bars.append(SegmentBar(segment.segment.label, (segment.start - zero).total_seconds(), seconds, ended=segment.end is not None))
    return bars


def segments_figure(*, execution: Execution, segments: Sequence[SegmentTime]) -> PageFigure | None:
    """The clock of a rollback; None while nothing of it was measured."""
    start = execution.decided_at
    until = None if execution.is_active and execution.state != ExecutionState.NEEDS_HUMAN else measured_until([execution])
    bars = segment_bars([segment for segment in segments if segment.segment in ROLLBACK_SEGMENTS], zero=start, until=until)
    if not bars:
        return None
    restored = clock.seconds_between(start, execution.restored_at)
    figure = segments_waterfall(segments=bars, target_seconds=execution.target_seconds, restored_seconds=restored)
    return PageFigure("figure-segments", as_content(figure), "Segments of the rollback in seconds since the decision. The table below has the same numbers.")


@dataclass(frozen=True, slots=True)
class TrafficRow:
    """One traffic sample for the figure and its table: seconds since the flip, share and requests by version."""

    at: dt.datetime
    seconds: float
    shares: dict[str, float]
    requests: dict[str, int]
    complete: bool


def traffic_rows(*, execution: Execution, samples: Sequence[Sample]) -> list[TrafficRow]:
    """Traffic samples on the clock of the flip (of the start, while nothing is flipped)."""
    zero = execution.executed_at or execution.decided_at or execution.started_at
    if zero is None:
        return []
    return [
        TrafficRow(
            sample.taken_at,
            (sample.taken_at - zero).total_seconds(),
            sample.value.get("shares", {}),
            sample.value.get("requests", {}),
            sample.value.get("complete", True),
        )
        for sample in samples
        if sample.kind == "traffic"
    ]


def traffic_figure(*, execution: Execution, rows: Sequence[TrafficRow]) -> PageFigure | None:
    """Who answered around the flip; None without samples that saw traffic."""
    seen = [row for row in rows if row.shares]
    if not seen:
        return None
    step = max(1, -(-len(seen) // CHART_POINTS))
    zero = execution.executed_at
    named = [("flip", zero), ("propagated", execution.propagated_at), ("drained", execution.drained_at)]
    marks = [Mark(name, seconds) for name, at in named if (seconds := clock.seconds_between(zero, at)) is not None]
    versions = versions_in_order(execution, seen)
    figure = traffic_shares(points=[TrafficPoint(round(row.seconds, 3), row.shares) for row in seen[::step]], marks=marks, versions=versions)
    return PageFigure("figure-traffic", as_content(figure), "Share of the traffic by version around the flip. The table below has the same numbers.")


def versions_in_order(execution: Execution, rows: Sequence[TrafficRow]) -> list[str]:
    """The bad version first, then the others as they appear."""
    found = dict.fromkeys([str(execution.plan["bad_version"]), *execution.plan["good_versions"]])
    found.update(dict.fromkeys(version for row in rows for version in row.shares))
    return list(found)


def target_owners(executions: Sequence[Execution]) -> dict[str, list[tuple[str, float]]]:
    """Whose targets stand against these runs: by each run's id as text the names and seconds of the target that it ran under, and of the present one.

    A target is the artefact's own (then named by the artefact) or its change type's. One that has been changed since is named `formerly …`. Two queries.
    """
    of_types = {target.change_type: target.seconds for target in SpeedTarget.objects.all()}
    slugs = {execution.plan["artefact"] for execution in executions}
    artefacts = {artefact.slug: artefact for artefact in Artefact.objects.filter(slug__in=slugs)}
    found: dict[str, list[tuple[str, float]]] = {}
    for execution in executions:
        artefact = artefacts.get(execution.plan["artefact"])
        own = artefact.target_seconds if artefact else None
        name = artefact.name if artefact is not None and own is not None else ChangeType(execution.change_type).label.lower()
        present = own if own is not None else of_types.get(execution.change_type)
        mine = [] if present is None else [(name, float(present))]
        if execution.target_seconds is not None and execution.target_seconds != present:
            mine.insert(0, (f"{FORMERLY}{name}", float(execution.target_seconds)))
        found[str(execution.pk)] = mine
    return found


def _by_seconds(target: tuple[str, float]) -> tuple[float, bool, str]:
    """The shortest first; of the same, present ones before former ones."""
    name, seconds = target
    return seconds, name.startswith(FORMERLY), name.lower()


def durations_figure(*, executions: Sequence[Execution], owners: Mapping[str, list[tuple[str, float]]], with_targets: bool) -> PageFigure | None:
    """Drills against their targets, with `owners` from `target_owners`; None without a measured one. No query."""
    if not executions:
        return None
    points = [
        DrillPoint(
            at=timezone.localtime(execution.created_at).replace(tzinfo=None),
            seconds=execution.rollback_seconds or 0.0,
            target_seconds=execution.target_seconds,
            change_type=ChangeType(execution.change_type).label,
            name=f"{execution.plan['alias']} in {execution.plan['environment']}",
            verdict=Verdict(execution.verdict).label,
            passed=execution.verdict == Verdict.PASSED,
            url=reverse("drills:detail", args=[execution.pk]),
        )
        for execution in executions
    ]
    targets = sorted({target for mine in owners.values() for target in mine}, key=_by_seconds) if with_targets else []
    figure = drill_durations(points=points, targets=targets, change_types=ChangeType.labels, zone=timezone.localtime().strftime("%Z"))
    return PageFigure("figure-durations", as_content(figure), "Rollback time of each drill against its target. The table below has the same numbers.")
