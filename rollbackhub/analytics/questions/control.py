"""Question 12: does a path's drill take as long as it usually does? A control chart for each path, with drift signalled."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import OuterRef, QuerySet
from django.utils import timezone

from rollbackhub.analytics.answer import AnalyticsFilter, Answer, Cell, Column, NamedFigure, Table
from rollbackhub.analytics.domain.facts import URL, dimensions_of, facts_matching
from rollbackhub.analytics.enums import REHEARSED, RunSource
from rollbackhub.analytics.models import RunCell, RunFact
from rollbackhub.analytics.questions.saying import FILLS, IMPORTED, address
from rollbackhub.analytics.rules import LEAST_DRILLS, RUN_LENGTH, Limits, Signal, control_limits, signals_in
from rollbackhub.charts.control_chart import ControlPoint, control_chart
from rollbackhub.common.durations import in_words
from rollbackhub.common.sentences import counted
from rollbackhub.routing.models import RoutingPolicy

NEWEST = 50
"""Drills of a path that its chart is made of: what is usual now, not what was years ago."""

PATHS = 50
"""Paths in the table: those that signal first."""

CHARTS = 4
"""Charts that are drawn when an alias is named: one for each environment that it is drilled in."""

BARE_SQL = f"""
    WITH newest AS (
        SELECT p.id, p.alias, d.at, ln(d.rollback_seconds) AS log,
            ln(d.rollback_seconds) - lag(ln(d.rollback_seconds)) OVER (PARTITION BY p.id ORDER BY d.at) AS moved
        FROM routing_routingpolicy p CROSS JOIN LATERAL (
            SELECT at, rollback_seconds FROM analytics_runfact
            WHERE policy_id = p.id AND kind IN ('drill', 'rehearsal') AND rollback_seconds > 0 ORDER BY at DESC, id DESC LIMIT {NEWEST}
        ) AS d
    ),
    limits AS (
        SELECT id, alias, count(*) AS drills, percentile_cont(0.5) WITHIN GROUP (ORDER BY log) AS centre, 3 * avg(abs(moved)) / 1.128 AS reach
        FROM newest GROUP BY id, alias HAVING count(*) >= {LEAST_DRILLS}
    ),
    sides AS (
        SELECT l.*, n.at, abs(n.log - centre) > reach AS beyond, sign(n.log - centre) AS side,
            row_number() OVER (PARTITION BY l.id ORDER BY n.at) - row_number() OVER (PARTITION BY l.id, sign(n.log - centre) ORDER BY n.at) AS island
        FROM limits l JOIN newest n USING (id)
    ),
    runs AS (SELECT id, max(at) AS at, count(*) AS length FROM sides GROUP BY id, side, island)
    SELECT alias, drills, exp(centre), exp(centre - reach), exp(centre + reach), max(s.at) FILTER (WHERE beyond),
        (SELECT max(at) FROM runs WHERE runs.id = s.id AND length >= {RUN_LENGTH})
        FROM sides s GROUP BY s.id, alias, drills, centre, reach
"""


@dataclass(frozen=True, slots=True)
class _Path:
    """The newest drills of an alias in an environment, oldest first, what is usual in them, and what signals."""

    policy: RoutingPolicy
    seconds: Sequence[float]
    limits: Limits
    signals: Sequence[Signal]

    @property
    def newest(self) -> Signal | None:
        return self.signals[-1] if self.signals else None

    @property
    def lasts(self) -> bool:
        """Whether the newest drill is part of a signal."""
        return any(signal.last == len(self.seconds) - 1 for signal in self.signals)

    @property
    def urgency(self) -> tuple[bool, bool, int, int, str]:
        """What comes first: what signals still, what became slower, what signalled last, and most."""
        newest = self.newest
        slower = newest is not None and newest.side == "slower"
        since = len(self.seconds) - 1 - newest.last if newest else NEWEST
        return not self.lasts, not slower, since, -len(self.signals), self.policy.alias


def answer(wanted: AnalyticsFilter) -> Answer:
    """Paths that signal first, and the chart of the worst (of each path of the alias, when one is named). Two queries and one a chart."""
    # The filter's dimensions choose paths; a path's chart then has all its drills of the period.
    drilled = RunCell.objects.filter(dimensions_of(wanted, REHEARSED), policy__isnull=False)
    policies = RoutingPolicy.objects.filter(pk__in=drilled.values("policy"))
    drills = _drills(wanted).filter(policy=OuterRef("pk"), rollback_seconds__gt=0).order_by("-at", "-pk").values("rollback_seconds")[:NEWEST]
    found = policies.annotate(newest=ArraySubquery(drills)).select_related("environment").order_by("alias", "environment__slug")
    paths, short = [], 0
    for policy in found:
        seconds = list(reversed(policy.newest))
        if len(seconds) < LEAST_DRILLS:
            short += bool(seconds)
            continue
        limits = control_limits(seconds)
        paths.append(_Path(policy, seconds, limits, signals_in(seconds, limits)))
    if not paths:
        few = f" {counted(short, 'path')} {'has' if short == 1 else 'have'} fewer." if short else ""
        return Answer(headline=f"No path has the {LEAST_DRILLS} measured drills that a control chart takes.{few}", empty=FILLS)
    paths.sort(key=lambda path: path.urgency)
    charted = paths[:CHARTS] if wanted.alias else paths[:1]
    shown = paths[:PATHS]
    signalling = [path for path in paths if path.lasts]
    notes = [
        f"Each chart is an individuals chart of the newest {NEWEST} measured drills and rehearsals of a path (an alias in an environment), on the logarithm of "
        "their seconds, since durations are skewed. The centre is their median; the limits are three sigma around it, sigma being the mean moving range "
        "divided by 1.128.",
        f"Two signals: a drill beyond a limit (rule 1), and {RUN_LENGTH} or more in a row on one side of the centre (rule 2). L. S. Nelson, Journal of Quality "
        "Technology 16 (1984); the Western Electric handbook (1956) has the first and a second with eight in a row.",
        "A signal says that something has changed, not that it is bad: a path that became faster signals, too.",
        *([f"{counted(short, 'path')} with fewer than {LEAST_DRILLS} measured drills {'is' if short == 1 else 'are'} left out."] if short else []),
        *([f"The table has the {len(shown)} of {len(paths):,} paths that signal first; a filter shows the others."] if len(paths) > len(shown) else []),
        IMPORTED,
    ]
    charts = [_chart(path, wanted, table=number) for number, path in enumerate(charted, start=1)]
    return Answer(
        headline=_headline(paths, signalling),
        figures=[figure for figure, _ in charts],
        tables=[
            Table("Paths, those that signal first", _COLUMNS, [_row(path, wanted) for path in shown], url_column=len(_COLUMNS) - 1),
            *(table for _, table in charts),
        ],
        notes=notes,
        extra={"paths": float(len(paths)), "signalling": float(len(signalling)), "too_few": float(short)},
    )


_COLUMNS = (
    Column("alias", "Alias"),
    Column("environment", "Environment"),
    Column("drills", "Drills", "count"),
    Column("centre_seconds", "Centre", "seconds"),
    Column("low_seconds", "Lower limit", "seconds"),
    Column("high_seconds", "Upper limit", "seconds"),
    Column("newest_seconds", "Newest", "seconds"),
    Column("signals", "Signals", "count"),
    Column("says", "What it says"),
    Column("url", "Page"),
)


_DRILL_COLUMNS = (
    Column("at", "Requested", "instant"),
    Column("seconds", "Rollback time", "seconds"),
    Column("signal", "What it signals"),
    Column("source", "Source"),
    Column("url", "Page"),
)


def _row(path: _Path, wanted: AnalyticsFilter) -> list[Cell]:
    limits, environment = path.limits, path.policy.environment
    url = address("control", wanted, alias=path.policy.alias, environment=environment.slug)
    counts = [len(path.seconds), limits.centre, limits.low, limits.high, path.seconds[-1], len(path.signals)]
    return [path.policy.alias, environment.name, *counts, _standing(path), url]


def _standing(path: _Path) -> str:
    """What its newest signal says, in words; and whether that is over."""
    newest = path.newest
    if newest is None:
        return "As usual"
    said = _in_words(newest)
    ago = "" if path.lasts else f", {counted(len(path.seconds) - 1 - newest.last, 'drill')} ago"
    return f"{said[0].upper()}{said[1:]}{ago}"


def _in_words(signal: Signal) -> str:
    if signal.rule == 1:
        return f"{signal.side}: one drill beyond the {'upper' if signal.side == 'slower' else 'lower'} limit"
    return f"{signal.side}: {signal.last - signal.first + 1} in a row {'above' if signal.side == 'slower' else 'below'} the centre"


def _chart(path: _Path, wanted: AnalyticsFilter, *, table: int) -> tuple[NamedFigure, Table]:
    """The chart of a path, and its drills as the table at this index. One query."""
    name = f"{path.policy.alias} in {path.policy.environment.name}"
    zone = timezone.get_current_timezone()
    why = {place: _in_words(signal) for signal in path.signals for place in range(signal.first, signal.last + 1)}
    drills = _drills_of(path, wanted)
    figure = NamedFigure(
        f"control-{path.policy.pk}",
        f"Drill durations of {name}: {_standing(path).lower()}",
        f"Control chart of the newest {len(path.seconds)} drills of {name}, with centre and limits. The tables below have the same numbers.",
        control_chart(
            points=[
                ControlPoint(_local(drill.at, zone), drill.rollback_seconds, why.get(place, ""), drill.source == RunSource.IMPORTED, drill.url)
                for place, drill in enumerate(drills)
            ],
            low=path.limits.low,
            centre=path.limits.centre,
            high=path.limits.high,
            zone=timezone.localtime().strftime("%Z"),
        ),
        table=table,
    )
    rows: list[list[Cell]] = [
        [drill.at, drill.rollback_seconds, why.get(place, ""), RunSource(drill.source).label, drill.url] for place, drill in enumerate(drills)
    ]
    return figure, Table(f"Drills of {name}, the newest first", _DRILL_COLUMNS, rows[::-1], url_column=len(_DRILL_COLUMNS) - 1)


def _drills(wanted: AnalyticsFilter) -> QuerySet[RunFact]:
    """Of the period, with or without the lab's: all else that is filtered by belongs to the path, or did when another team had it."""
    return facts_matching(AnalyticsFilter(since=wanted.since, until=wanted.until, with_lab=wanted.with_lab), REHEARSED)


def _drills_of(path: _Path, wanted: AnalyticsFilter) -> list[Any]:
    """Those of the chart, oldest first."""
    newest = _drills(wanted).filter(policy=path.policy, rollback_seconds__gt=0).annotate(url=URL).order_by("-at", "-pk")
    return list(reversed(newest[: len(path.seconds)]))


def _local(at: dt.datetime, zone: dt.tzinfo) -> dt.datetime:
    return at.astimezone(zone).replace(tzinfo=None)


def _headline(paths: Sequence[_Path], signalling: Sequence[_Path]) -> str:
    if not signalling:
        past = sum(bool(path.signals) for path in paths)
        before = f"; {counted(past, 'path')} did before" if past else ""
        return f"No drift: the newest drills of all {counted(len(paths), 'path')} took as long as usual{before}." if len(paths) > 1 else _alone(paths[0])
    if len(paths) == 1:
        return _alone(paths[0])
    slower = sum(path.newest is not None and path.newest.side == "slower" for path in signalling)
    worst = signalling[0]
    first = f"{worst.policy.alias} in {worst.policy.environment.name} first ({_standing(worst).lower()}; usual is {in_words(worst.limits.centre)})"
    return f"Drift at {len(signalling):,} of {counted(len(paths), 'path')}, {slower:,} of them slower than usual: {first}."


def _alone(path: _Path) -> str:
    name = f"{path.policy.alias} in {path.policy.environment.name}"
    usual = f"between {in_words(path.limits.low)} and {in_words(path.limits.high)} is usual, over {counted(len(path.seconds), 'drill')}"
    if path.lasts:
        return f"Drift at {name}: {_standing(path).lower()}; {usual}."
    return f"No drift at {name}: {usual}."
