"""Question 6: are drills done as planned? By team and month: planned, done, on time, missed, excused."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from operator import add, attrgetter
from typing import Any

from django.db.models import Count, F, Q
from django.db.models.functions import Coalesce, TruncMonth

from drills.domain.programme import GRACE
from drills.domain.programme_selectors import has_come
from drills.enums import PlannedState
from drills.models import PlannedDrill
from rollbackhub.analytics.answer import AnalyticsFilter, Answer, Cell, Column, NamedFigure, Table
from rollbackhub.analytics.domain.facts import start_of
from rollbackhub.analytics.domain.statistics import wilson
from rollbackhub.analytics.questions.wording import TOO_FEW, bounds_in_words, interval_in_words, months_between
from rollbackhub.charts.stacked_months import stacked_months
from rollbackhub.charts.stacked_rows import stacked_rows
from rollbackhub.common import clock
from rollbackhub.common.sentences import counted

ENOUGH = 5
"""Planned drills below which no share is concluded from."""

COUNTED = [state for state in PlannedState if state != PlannedState.DUE]
"""What is due has not come yet: the time of an unannounced drill is nobody's to know before."""

BARE_SQL = """
    SELECT team.name, date_trunc('month', planned.starts_at AT TIME ZONE 'UTC'), count(*), count(planned.started_at),
        count(*) FILTER (WHERE planned.started_at <= planned.starts_at + interval '5 minutes'), count(*) FILTER (WHERE planned.state = 'passed'),
        count(*) FILTER (WHERE planned.state = 'failed'), count(*) FILTER (WHERE planned.state = 'overdue'),
        count(*) FILTER (WHERE planned.state = 'missed'), count(*) FILTER (WHERE planned.state = 'excused')
    FROM drills_planneddrill AS planned JOIN drills_drillplan AS plan ON plan.id = planned.plan_id JOIN accounts_team AS team ON team.id = plan.team_id
    WHERE planned.state <> 'due' AND (planned.starts_at <= now() OR planned.started_at IS NOT NULL) GROUP BY 1, 2
"""


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of planned drills. `done`: started; of those so many on time, passed, failed."""

    planned: int = 0
    done: int = 0
    on_time: int = 0
    passed: int = 0
    failed: int = 0
    overdue: int = 0
    missed: int = 0
    excused: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(*map(add, _COUNTED(self), _COUNTED(other)))

    @property
    def late(self) -> int:
        """Started, but overdue by then."""
        return self.done - self.on_time


_COUNTED = attrgetter(*(field.name for field in fields(Counts)))

PARTS = (("On time", "on_time"), ("Late", "late"), ("Overdue, not started", "overdue"), ("Missed", "missed"), ("Excused", "excused"))


def answer(wanted: AnalyticsFilter) -> Answer:
    """Planned drills whose time has come, and what became of them. One query."""
    found = _counts(wanted)
    if not found:
        return Answer(
            headline="No planned drill's time has come yet.",
            empty="Drill plans fill this: each says how often an alias is drilled, and each planned drill that was started, missed or excused is counted here.",
        )
    whole = sum(found.values(), Counts())
    if whole.planned < ENOUGH:
        headline = f"{whole.on_time} of {counted(whole.planned, 'planned drill')} started on time: too few to say more ({ENOUGH} are needed)."
    else:
        share = wilson(whole.on_time, whole.planned)
        headline = (
            f"{whole.on_time:,} of {counted(whole.planned, 'planned drill')} started on time: {interval_in_words(share)}."
            f" {whole.late:,} started late, {whole.missed:,} were missed, {whole.excused:,} excused, {whole.overdue:,} overdue and not started."
        )
    by_month, by_team = _by(found, 1), _by(found, 0)
    months = months_between(by_month)
    figures = [
        NamedFigure(
            key="compliance-by-month",
            title="Planned drills by month and what became of them",
            label=f"{headline} The table below has the numbers month by month.",
            figure=stacked_months(
                months=months,
                series=[(name, [getattr(by_month.get(month, Counts()), part) for month in months]) for name, part in PARTS],
                axis="Planned drills",
                unit="drills",
            ),
        ),
        NamedFigure(
            key="compliance-by-team",
            title="Planned drills by team and what became of them",
            label="For each team the share of its planned drills that started on time, late, were missed or excused. The table below has the same numbers.",
            figure=stacked_rows(
                groups=list(by_team),
                series=[(name, [getattr(counts, part) for counts in by_team.values()]) for name, part in PARTS],
                axis="Planned drills",
                as_shares=True,
            ),
        ),
    ]
    notes = [
        f"On time: started within {GRACE.seconds // 60} minutes of its time, before it was overdue. Done: started at all, whatever its result.",
        "Excused is not done: a drill that a lead excused proves nothing, and counts among the planned ones once its time has come.",
        "Drills that nobody planned, and imported history, have no plan and are not counted here.",
    ]
    tables = [_table("By team", "team", "Team", by_team), _table("By month", "month", "Month", dict(sorted(by_month.items(), reverse=True))), _each(found)]
    extra = {name: float(getattr(whole, name)) for name in ("planned", "done", "on_time", "passed", "failed", "missed", "excused", "overdue")}
    return Answer(headline=headline, figures=figures, tables=tables, notes=notes, extra=extra)


def _counts(wanted: AnalyticsFilter) -> dict[tuple[str, dt.date], Counts]:
    planned = PlannedDrill.objects.filter(has_come(clock.now()), state__in=COUNTED)
    if wanted.since is not None:
        planned = planned.filter(starts_at__gte=start_of(wanted.since))
    if wanted.until is not None:
        planned = planned.filter(starts_at__lt=start_of(wanted.until))
    if wanted.team:
        planned = planned.filter(plan__team__slug=wanted.team)
    if wanted.environment:
        planned = planned.filter(plan__environment__slug=wanted.environment)
    if not wanted.with_lab:
        planned = planned.filter(plan__environment__is_lab=False)
    if wanted.change_type:
        planned = planned.filter(Q(plan__artefact__change_type=wanted.change_type) | Q(plan__policy__artefact__change_type=wanted.change_type))
    if wanted.alias:
        planned = planned.alias(of=Coalesce("policy__alias", "plan__policy__alias")).filter(of=wanted.alias)
    counts: dict[str, Any] = {
        "planned_n": Count("pk"),
        "done_n": Count("started_at"),
        "on_time_n": Count("pk", filter=Q(started_at__lte=F("starts_at") + GRACE)),
        **{f"{state}_n": Count("pk", filter=Q(state=state)) for state in ("passed", "failed", "overdue", "missed", "excused")},
    }
    rows = planned.order_by().annotate(month=TruncMonth("starts_at", tzinfo=dt.UTC), team=F("plan__team__name")).values_list("team", "month").annotate(**counts)
    return {(team, month.date()): Counts(*counts) for team, month, *counts in rows}


def _by(found: Mapping[tuple[str, dt.date], Counts], place: int) -> dict[Any, Counts]:
    summed: dict[Any, Counts] = {}
    for key, counts in sorted(found.items()):
        summed[key[place]] = summed.get(key[place], Counts()) + counts
    return summed


NUMBERS = (
    Column("planned", "Planned", "count"),
    Column("done", "Done", "count"),
    Column("on_time", "On time", "count"),
    Column("late", "Late", "count"),
    Column("passed", "Passed", "count"),
    Column("failed", "Failed", "count"),
    Column("overdue", "Overdue", "count"),
    Column("missed", "Missed", "count"),
    Column("excused", "Excused", "count"),
)


def _numbers(counts: Counts) -> list[Cell]:
    return [getattr(counts, column.key) for column in NUMBERS]


def _table(title: str, key: str, heading: str, found: Mapping[Any, Counts]) -> Table:
    columns = [
        Column(key, heading, "month" if key == "month" else "text"),
        *NUMBERS,
        Column("on_time_share", "On time", "share"),
        Column("on_time_interval", "95 % interval"),
    ]
    rows: list[Sequence[Cell]] = []
    for name, counts in found.items():
        share = wilson(counts.on_time, counts.planned)
        interval = bounds_in_words(share) if counts.planned >= ENOUGH else TOO_FEW
        rows.append([name, *_numbers(counts), share.value, interval])
    return Table(f"Planned drills {title.lower()}", columns, rows)


def _each(found: Mapping[tuple[str, dt.date], Counts]) -> Table:
    columns = [Column("team", "Team"), Column("month", "Month", "month"), *NUMBERS]
    return Table("Planned drills by team and month", columns, [[team, month, *_numbers(counts)] for (team, month), counts in sorted(found.items())])
