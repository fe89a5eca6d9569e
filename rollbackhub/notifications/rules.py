"""When a message goes out, how often it is tried, and what may follow what. Pure."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from rollbackhub.notifications.enums import DeliveryState, Digest

TRANSITIONS: dict[DeliveryState, frozenset[DeliveryState]] = {
    DeliveryState.PENDING: frozenset({DeliveryState.SENDING, DeliveryState.DISCARDED}),
    # A sender that was killed leaves it as being sent: it is sent again.
    DeliveryState.SENDING: frozenset({DeliveryState.SENDING, DeliveryState.DELIVERED, DeliveryState.RETRYING, DeliveryState.DEAD, DeliveryState.DISCARDED}),
    DeliveryState.RETRYING: frozenset({DeliveryState.SENDING, DeliveryState.DISCARDED}),
    DeliveryState.DEAD: frozenset({DeliveryState.PENDING, DeliveryState.DISCARDED}),
    DeliveryState.DELIVERED: frozenset(),
    DeliveryState.DISCARDED: frozenset(),
}

WAITING = (DeliveryState.PENDING, DeliveryState.RETRYING)
"""It is sent when it is due."""

WAITS = tuple(dt.timedelta(seconds=seconds) for seconds in (15, 60, 300, 900, 3600))
"""Before the second attempt, the third, and so on."""
MOST_ATTEMPTS = len(WAITS) + 1
JITTER = 0.2
LONGEST_TRIED = dt.timedelta(hours=24)
"""A message that could not be delivered for so long since it was due is given up, however often it was tried."""
LONGEST_PAUSE = dt.timedelta(minutes=5)
"""A channel that fails is left alone for at most so long."""


@dataclass(frozen=True, slots=True)
class Quiet:
    """A team's quiet hours, by its clock. `ends` before `starts`: over midnight. Equal: only weekends, if those."""

    starts: dt.time
    ends: dt.time
    weekends: bool = False
    """Saturday and Sunday are quiet as a whole."""


def quiet_until(at: dt.datetime, quiet: Quiet, zone: ZoneInfo) -> dt.datetime | None:
    """When the quiet that holds at an instant ends (UTC); None when it is not quiet then."""
    found = at
    # A weekend meets a night, a night a weekend: each step ends one of them.
    for _ in range(6):
        end = _end_of_one(found.astimezone(zone), quiet)
        if end is None:
            break
        found = end.astimezone(dt.UTC)
    return found if found > at else None


def _end_of_one(local: dt.datetime, quiet: Quiet) -> dt.datetime | None:
    day, zone = local.date(), local.tzinfo
    if quiet.weekends and local.weekday() >= 5:
        return dt.datetime.combine(day + dt.timedelta(days=7 - local.weekday()), dt.time(), tzinfo=zone)
    clock = local.time()
    if quiet.starts < quiet.ends and quiet.starts <= clock < quiet.ends:
        return dt.datetime.combine(day, quiet.ends, tzinfo=zone)
    if quiet.starts > quiet.ends:
        if clock >= quiet.starts:
            return dt.datetime.combine(day + dt.timedelta(days=1), quiet.ends, tzinfo=zone)
        if clock < quiet.ends:
            return dt.datetime.combine(day, quiet.ends, tzinfo=zone)
    return None


@dataclass(frozen=True, slots=True)
class Departure:
    """When a message goes out, and whether with others of its channel in one."""

    at: dt.datetime
    is_bundled: bool


def departure(at: dt.datetime, *, digest: Digest, daily_at: dt.time | None, quiet: Quiet | None, zone: ZoneInfo) -> Departure:
    """When a message of an instant goes out. `quiet`: the hours that hold it back; None: nothing does (it passes, or there are none)."""
    due = _digest_time(at, digest, daily_at, zone)
    held = quiet_until(due, quiet, zone) if quiet is not None else None
    return Departure(at=held or due, is_bundled=digest != Digest.AT_ONCE or held is not None)


def _digest_time(at: dt.datetime, digest: Digest, daily_at: dt.time | None, zone: ZoneInfo) -> dt.datetime:
    if digest == Digest.AT_ONCE:
        return at
    local = at.astimezone(zone)
    if digest == Digest.DAILY:
        due = dt.datetime.combine(local.date(), daily_at or dt.time(9), tzinfo=zone)
        if due.astimezone(dt.UTC) <= at:
            due = dt.datetime.combine(local.date() + dt.timedelta(days=1), due.time(), tzinfo=zone)
        return due.astimezone(dt.UTC)
    # In UTC from here: an hour that the clock repeats or leaves out is an hour all the same.
    minutes = 15 if digest == Digest.QUARTER_HOUR else 60
    into = dt.timedelta(minutes=local.minute % minutes, seconds=local.second, microseconds=local.microsecond)
    return at - into + dt.timedelta(minutes=minutes)


def wait_before_next(attempts: int, *, chance: float) -> dt.timedelta | None:
    """How long to wait after so many failed attempts; None: no more of them. `chance` from 0 to 1 gives the jitter."""
    if attempts >= MOST_ATTEMPTS:
        return None
    return WAITS[attempts - 1] * (1 - JITTER + 2 * JITTER * chance)


def pause_after(failures: int) -> dt.timedelta:
    """How long a channel is left alone after so many failures in a row: others shall not wait for its time-outs."""
    return min(WAITS[min(failures, len(WAITS)) - 1], LONGEST_PAUSE)
