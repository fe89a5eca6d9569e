"""A month of the drill programme in weeks of days, by the viewer's clock."""

from __future__ import annotations

import calendar
import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field

from django.utils import timezone

from drills.domain.programme_selectors import PlannedRow
from drills.enums import PlannedState
from drills.models import QuietPeriod

SHOWN = 4
"""A day shows at most this many drills; the rest is on the day's list."""

_FIRST = (
    PlannedState.OVERDUE, PlannedState.FAILED, PlannedState.MISSED, PlannedState.RUNNING, PlannedState.DUE, PlannedState.PASSED, PlannedState.EXCUSED,
)  # fmt: skip
"""What needs somebody comes first on a day."""

OLDEST, NEWEST = dt.date(2000, 1, 1), dt.date(2099, 12, 1)


@dataclass(slots=True)
class Day:
    """A day of the month, or of the weeks around it (then without anything)."""

    date: dt.date
    within: bool
    is_today: bool
    rows: list[PlannedRow] = field(default_factory=list)
    quiets: list[QuietPeriod] = field(default_factory=list)

    @property
    def shown(self) -> list[PlannedRow]:
        """What needs somebody first, then by time."""
        return self.rows[:SHOWN]

    @property
    def more(self) -> int:
        """How many are not shown."""
        return len(self.rows) - len(self.shown)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to say of it."""
        return not (self.rows or self.quiets)


@dataclass(frozen=True, slots=True)
class Month:
    """A month with its neighbours. `hidden`: what comes some time, nobody is told when."""

    first: dt.date
    weeks: list[list[Day]]
    hidden: list[PlannedRow]

    @property
    def previous(self) -> dt.date | None:
        """The first day of the month before; None where there is none."""
        return (self.first - dt.timedelta(days=1)).replace(day=1) if self.first > OLDEST else None

    @property
    def next(self) -> dt.date | None:
        """The first day of the month after; None where there is none."""
        return _after(self.first) if self.first < NEWEST else None

    @property
    def is_empty(self) -> bool:
        """Whether nothing is planned in it."""
        return not self.hidden and all(day.is_empty for week in self.weeks for day in week)

    def day(self, date: dt.date) -> Day | None:
        """This day of it; None for a day of another month."""
        return next((day for week in self.weeks for day in week if day.date == date and day.within), None)


def read_month(text: str) -> dt.date | None:
    """The first day of the month that an address names; None for what is none."""
    try:
        first = dt.datetime.strptime(text, "%Y-%m").replace(tzinfo=dt.UTC).date()
    except ValueError:
        return None
    return first if OLDEST <= first <= NEWEST and text == f"{first:%Y-%m}" else None


def span_of(first: dt.date) -> tuple[dt.datetime, dt.datetime]:
    """The first instant of a month and the first one after, by the viewer's clock."""
    return _midnight(first), _midnight(_after(first))


def month_of(first: dt.date, *, rows: Sequence[PlannedRow], quiets: Sequence[QuietPeriod], today: dt.date) -> Month:
    """The month in weeks, with each drill on its day and each quiet period on all of its days."""
    weeks = [
        [Day(date=date, within=date.month == first.month, is_today=date == today) for date in week]
        for week in calendar.Calendar().monthdatescalendar(first.year, first.month)
    ]
    days = {day.date: day for week in weeks for day in week if day.within}
    for row in sorted((row for row in rows if row.starts_at), key=lambda row: (_FIRST.index(row.state), row.starts_at, row.id)):
        if row.starts_at and (day := days.get(timezone.localtime(row.starts_at).date())):
            day.rows.append(row)
    for quiet in quiets:
        for date, day in days.items():
            if quiet.starts_at < _midnight(date + dt.timedelta(days=1)) and quiet.ends_at > _midnight(date):
                day.quiets.append(quiet)
    return Month(first, weeks, [row for row in rows if row.starts_at is None])


def _midnight(date: dt.date) -> dt.datetime:
    return timezone.make_aware(dt.datetime.combine(date, dt.time()))


def _after(first: dt.date) -> dt.date:
    return (first + dt.timedelta(days=31)).replace(day=1)
