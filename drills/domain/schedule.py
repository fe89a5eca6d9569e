"""When drills are due: periods, times within them, quiet periods, and what was drawn by chance. Pure: it knows no row and no clock.

A plan's cadence gives periods: months, quarters, or from one time of a cron expression to the next. Each period gets one drill: announced at a
fixed time, unannounced at a random time within working hours. Wall-clock times are the team's; instants are UTC.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from drills.enums import Cadence
from rollbackhub.registry.enums import Stakes

AFTER_WORK_STARTS = dt.timedelta(hours=1)
"""An announced drill starts this long after work does: people are there, and have read their notices."""

MONTHS = {Cadence.MONTHLY: 1, Cadence.QUARTERLY: 3}
CADENCE_BY_STAKES = {Stakes.HIGH: Cadence.MONTHLY, Stakes.STANDARD: Cadence.QUARTERLY}

NO_HOURS = "There are no working hours left in its period."

Window = tuple[dt.datetime, dt.datetime]
"""From the first instant until before the second."""


@dataclass(frozen=True, slots=True)
class WorkingHours:
    """Monday to Friday, in a zone."""

    zone: ZoneInfo
    starts: dt.time
    ends: dt.time


@dataclass(frozen=True, slots=True)
class Rhythm:
    """What a plan's drills are written down by. `cadence` is monthly, quarterly or cron: what the stakes ask for is settled."""

    cadence: Cadence
    cron: str
    announced: bool
    hours: WorkingHours
    late: dt.timedelta
    """For how long a drill that could not start is caught up."""
    seed: int

    @property
    def in_short(self) -> str:
        """Another text is another rhythm; the seed does not change."""
        hours = self.hours
        late = int(self.late.total_seconds() // 3600)
        return f"{self.cadence} {self.cron} {'announced' if self.announced else 'unannounced'} {hours.zone.key} {hours.starts}-{hours.ends} {late}"


@dataclass(frozen=True, slots=True)
class Quiet:
    """A time in which no drill starts."""

    starts_at: dt.datetime
    ends_at: dt.datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Period:
    """What one drill stands for. `slot` names it, whatever becomes of the team's zone: a month's is its first day as of UTC."""

    slot: dt.datetime
    starts_at: dt.datetime
    ends_at: dt.datetime


@dataclass(frozen=True, slots=True)
class Placed:
    """A period with the time of its drill."""

    period: Period
    starts_at: dt.datetime
    latest_at: dt.datetime
    """Not started by then, it is missed."""
    why: str
    """Why it cannot start at that time; empty when it can."""
    draw: dict[str, Any]
    """What the time was drawn from; empty when nothing was drawn."""


def instant_of(zone: ZoneInfo, day: dt.date, time: dt.time) -> dt.datetime:
    """The instant of a wall-clock time. In the hour that spring leaves out it is as much later; in the hour that autumn has twice it is the first."""
    return dt.datetime.combine(day, time, tzinfo=zone).astimezone(dt.UTC)


# Periods


def settled_cadence(cadence: str, *, stakes: str) -> Cadence:
    """Monthly, quarterly or cron: by stakes, high ones monthly and standard ones quarterly."""
    return CADENCE_BY_STAKES[Stakes(stakes)] if cadence == Cadence.BY_STAKES else Cadence(cadence)


def periods(rhythm: Rhythm, *, since: dt.datetime, until: dt.datetime) -> Iterator[Period]:
    """The periods that end after `since` and have their slot before `until`, the oldest first."""
    if rhythm.cadence == Cadence.CRON:
        yield from _cron_periods(rhythm.cron, rhythm.hours.zone, since=since, until=until)
        return
    months = MONTHS[rhythm.cadence]
    zone = rhythm.hours.zone
    # A period earlier than the zone's own date: what ends too early is left out below.
    first = (since - dt.timedelta(days=1)).date().replace(day=1)
    number = (first.year * 12 + first.month - 1) // months * months
    while True:
        day, end = _first_day(number), _first_day(number + months)
        slot = dt.datetime.combine(day, dt.time(), tzinfo=dt.UTC)
        if slot >= until:
            return
        period = Period(slot, instant_of(zone, day, dt.time()), instant_of(zone, end, dt.time()))
        if period.ends_at > since:
            yield period
        number += months


def _first_day(number: int) -> dt.date:
    """Of the month with this number, counted from the year 0."""
    return dt.date(number // 12, number % 12 + 1, 1)


def cron_problem(expression: str) -> str:
    """Why this is no cron expression that drills can be planned by, in words; empty when it is."""
    if len(expression.split()) != 5:
        return "Write five fields: minute, hour, day of month, month, day of week. For example 0 10 * * 2 is every Tuesday at 10:00."
    try:
        found = CronSim(expression, dt.datetime(2026, 1, 1))  # noqa: DTZ001 (wall-clock)
        next(found)
    except CronSimError as error:
        return f"That is no cron expression ({str(error).lower()}). For example 0 10 * * 2 is every Tuesday at 10:00."
    except StopIteration:
        return "That time never comes. For example 0 10 * * 2 is every Tuesday at 10:00."
    if len(found.minutes) > 1:
        return "A plan drills at most once an hour: write one number of minutes, for example 0 10 * * 2."
    return ""


def cron_times(expression: str, zone: ZoneInfo, *, since: dt.datetime) -> Iterator[dt.datetime]:
    """The instants of an expression from `since` on, each once: in the hour that autumn has twice the first; what spring leaves out, as much later."""
    # As wall-clock times, so that one time of the expression is one slot whatever the clocks do. A day earlier: changes shift by hours.
    wall = (since.astimezone(zone) - dt.timedelta(days=1)).replace(tzinfo=None)
    newest = since - dt.timedelta(microseconds=1)
    for time in CronSim(expression, wall):
        instant = time.replace(tzinfo=zone).astimezone(dt.UTC)
        if instant > newest:
            newest = instant
            yield instant


def _cron_periods(expression: str, zone: ZoneInfo, *, since: dt.datetime, until: dt.datetime) -> Iterator[Period]:
    # The period that `since` falls into began with the time before it.
    before = next((time.replace(tzinfo=zone).astimezone(dt.UTC) for time in _cron_backwards(expression, zone, since)), None)
    times = cron_times(expression, zone, since=since)
    slot = before if before is not None else next(times, None)
    while slot is not None and slot < until:
        following = next(times, None)
        if following is None:
            return
        if following > since:
            yield Period(slot, slot, following)
        slot = following


def _cron_backwards(expression: str, zone: ZoneInfo, since: dt.datetime) -> Iterator[dt.datetime]:
    wall = (since.astimezone(zone) + dt.timedelta(days=1)).replace(tzinfo=None)
    for time in CronSim(expression, wall, reverse=True):
        if time.replace(tzinfo=zone).astimezone(dt.UTC) < since:
            yield time


# Times within a period


def place(rhythm: Rhythm, period: Period, *, quiets: Sequence[Quiet], after: dt.datetime | None = None) -> Placed:
    """When the drill of a period starts, and until when. A time in a quiet period is moved to the first possible moment behind it, within the
    period; when there is none it stays, and says why, and without working hours it cannot start at all.

    `after`: not before this instant (what has to be moved later on).
    """
    starts_at, why, draw = _time_in(rhythm, period, quiets=quiets, after=after)
    latest_at = starts_at + rhythm.late
    if why == NO_HOURS:
        latest_at = starts_at
    elif rhythm.cadence == Cadence.CRON:
        # The next one is the newer proof of the same: an hourly plan does not catch up with a whole day.
        latest_at = max(starts_at, min(latest_at, period.ends_at))
    return Placed(period, starts_at, latest_at, why, draw)


def _time_in(rhythm: Rhythm, period: Period, *, quiets: Sequence[Quiet], after: dt.datetime | None) -> tuple[dt.datetime, str, dict[str, Any]]:
    hours = rhythm.hours
    if not rhythm.announced:
        return _drawn_time(rhythm, period, quiets=quiets, after=after)
    if rhythm.cadence == Cadence.CRON:
        fixed = [period.slot if after is None else max(period.slot, after)]
        fixed += sorted(quiet.ends_at for quiet in quiets if fixed[0] < quiet.ends_at < period.ends_at)
    else:
        fixed = [instant for day in _working_days(hours, period.starts_at, period.ends_at) if (instant := _announced_time(hours, day)) < period.ends_at]
    possible = [instant for instant in fixed if (after is None or instant >= after) and quiet_at(quiets, instant) is None]
    if possible:
        return possible[0], "", {}
    first = fixed[0] if fixed else period.starts_at
    return first, _nothing_left(quiets, first) if fixed else NO_HOURS, {}


def _announced_time(hours: WorkingHours, day: dt.date) -> dt.datetime:
    starts, ends = instant_of(hours.zone, day, hours.starts), instant_of(hours.zone, day, hours.ends)
    return starts + AFTER_WORK_STARTS if starts + AFTER_WORK_STARTS < ends else starts


def _drawn_time(rhythm: Rhythm, period: Period, *, quiets: Sequence[Quiet], after: dt.datetime | None) -> tuple[dt.datetime, str, dict[str, Any]]:
    since = period.starts_at if after is None else max(period.starts_at, after)
    within = [quiet for quiet in quiets if quiet.starts_at < period.ends_at and quiet.ends_at > since]
    why = ""
    if not working_windows(rhythm.hours, since, period.ends_at, quiets=within):
        why, within = _nothing_left(within, since), []
    hours = rhythm.hours
    draw = {
        "since": since.isoformat(),
        "until": period.ends_at.isoformat(),
        "zone": hours.zone.key,
        "work_starts": hours.starts.isoformat(),
        "work_ends": hours.ends.isoformat(),
        "quiet": [[quiet.starts_at.isoformat(), quiet.ends_at.isoformat()] for quiet in within],
    }
    drawn = draw_time(draw, seed=slot_seed(rhythm.seed, period.slot))
    return (drawn, why, draw) if drawn is not None else (since, NO_HOURS, draw)


def _nothing_left(quiets: Sequence[Quiet], at: dt.datetime) -> str:
    quiet = quiet_at(quiets, at) or next(iter(quiets), None)
    if quiet is None:
        return NO_HOURS
    return f"The quiet period “{quiet.reason}” leaves no time for it in its period."


def quiet_at(quiets: Sequence[Quiet], instant: dt.datetime) -> Quiet | None:
    """The quiet period that this instant falls into; of several the one that ends last."""
    found = [quiet for quiet in quiets if quiet.starts_at <= instant < quiet.ends_at]
    return max(found, key=lambda quiet: quiet.ends_at, default=None)


def _working_days(hours: WorkingHours, since: dt.datetime, until: dt.datetime) -> Iterator[dt.date]:
    day = since.astimezone(hours.zone).date()
    last = until.astimezone(hours.zone).date()
    while day <= last:
        if day.weekday() < 5:
            yield day
        day += dt.timedelta(days=1)


def working_windows(hours: WorkingHours, since: dt.datetime, until: dt.datetime, *, quiets: Sequence[Quiet] = ()) -> list[Window]:
    """The working hours between two instants without the quiet periods, in their order."""
    found: list[Window] = []
    for day in _working_days(hours, since, until):
        parts = [(max(since, instant_of(hours.zone, day, hours.starts)), min(until, instant_of(hours.zone, day, hours.ends)))]
        for quiet in quiets:
            parts = [part for start, end in parts for part in ((start, min(end, quiet.starts_at)), (max(start, quiet.ends_at), end)) if part[0] < part[1]]
        found += [(start, end) for start, end in parts if start < end]
    return found


# Chance that can be repeated


def slot_seed(seed: int, slot: dt.datetime) -> str:
    """What a slot's time and alias are drawn from. It tells nothing about the plan's seed or about other slots, so it may be shown afterwards."""
    return hmac.new(str(seed).encode(), slot.astimezone(dt.UTC).isoformat().encode(), hashlib.sha256).hexdigest()


def commitment(seed: str) -> str:
    """What is put on record beforehand: it fits one seed only, and does not tell which."""
    return hashlib.sha256(seed.encode()).hexdigest()


def draw_time(draw: dict[str, Any], *, seed: str) -> dt.datetime | None:
    """The time that this seed draws from these working hours, to the second; None when there are none. The same for everybody who draws again."""
    hours = WorkingHours(ZoneInfo(draw["zone"]), dt.time.fromisoformat(draw["work_starts"]), dt.time.fromisoformat(draw["work_ends"]))
    quiets = [Quiet(dt.datetime.fromisoformat(start), dt.datetime.fromisoformat(end), "") for start, end in draw["quiet"]]
    windows = working_windows(hours, dt.datetime.fromisoformat(draw["since"]), dt.datetime.fromisoformat(draw["until"]), quiets=quiets)
    total = sum((end - start for start, end in windows), dt.timedelta())
    if not total:
        return None
    # Only random() of a seeded Random is the same in every version of Python.
    left = dt.timedelta(seconds=int(random.Random(f"{seed}:time").random() * total.total_seconds()))
    for start, end in windows:
        if left < end - start:
            return (start + left).astimezone(dt.UTC)
        left -= end - start
    raise AssertionError("a draw ended behind the last window")


def draw_one(names: Sequence[str], *, seed: str) -> str:
    """One of these, in alphabetical order, by this seed."""
    ordered = sorted(names)
    return ordered[int(random.Random(f"{seed}:alias").random() * len(ordered))]


# In words


def less_than_a_day(period_starts_at: dt.datetime, period_ends_at: dt.datetime) -> bool:
    """Whether a day has more than one of such periods; the day that spring makes shorter is a day."""
    return period_ends_at - period_starts_at < dt.timedelta(hours=23)


def period_in_words(period_starts_at: dt.datetime, period_ends_at: dt.datetime, *, zone: ZoneInfo) -> str:
    """`December 2026`, `October to December 2026`, `7 to 13 December 2026`, in the team's zone."""
    first = period_starts_at.astimezone(zone).date()
    last = (period_ends_at.astimezone(zone) - dt.timedelta(microseconds=1)).date()
    whole_months = first.day == 1 and (last + dt.timedelta(days=1)).day == 1
    if first == last:
        return f"{first.day} {first:%B %Y}"
    if whole_months:
        if (first.year, first.month) == (last.year, last.month):
            return f"{first:%B %Y}"
        return f"{first:%B} to {last:%B %Y}" if first.year == last.year else f"{first:%B %Y} to {last:%B %Y}"
    if (first.year, first.month) == (last.year, last.month):
        return f"{first.day} to {last.day} {last:%B %Y}"
    return f"{first.day} {first:%B %Y} to {last.day} {last:%B %Y}"
