"""How a review moves, and what quarters are. Pure."""

from __future__ import annotations

import datetime as dt

from rollbackhub.accounts.enums import Role
from rollbackhub.reviews.enums import ReviewState

TRANSITIONS: dict[ReviewState, frozenset[ReviewState]] = {
    ReviewState.PREPARING: frozenset({ReviewState.PREPARED}),
    ReviewState.PREPARED: frozenset({ReviewState.PREPARING, ReviewState.HELD}),
    ReviewState.HELD: frozenset({ReviewState.SIGNED}),
    ReviewState.SIGNED: frozenset(),
}
"""From → to. A prepared review is prepared again when a person says so; what is held is not."""

WRITABLE = (ReviewState.PREPARING, ReviewState.PREPARED)
"""When and by whom it is may still change, and decisions may be asked for."""

IN_MEETING = (ReviewState.PREPARED, ReviewState.HELD)
"""There is an agenda to write minutes, decisions and actions to, until somebody has signed."""

DEFAULT_ROLES = (Role.PLATFORM_LEAD, Role.LEADERSHIP)

PREPARE_BEFORE = dt.timedelta(days=1)
"""How long before the meeting the figures are frozen, when nobody says otherwise."""

MEETS_WITHIN = dt.timedelta(days=366)
"""A meeting is at most so far ahead: what is further away is a slip of the pen."""

MAX_MINUTES = 20_000
MAX_TEXT = 2_000
MAX_TITLE = 200
MAX_NOTE = 300
MAX_REASON = 1_000
MIN_REASON = 10
"""Characters."""

FIRST_YEAR = 2020


def quarter_of(day: dt.date) -> dt.date:
    """The first day of the quarter that a day lies in."""
    return dt.date(day.year, day.month - (day.month - 1) % 3, 1)


def quarter_after(quarter: dt.date) -> dt.date:
    """The first day of the next quarter: the first that a quarter does not hold."""
    return quarter_of(quarter + dt.timedelta(days=93))


def quarter_before(quarter: dt.date) -> dt.date:
    """The first day of the quarter before."""
    return quarter_of(quarter - dt.timedelta(days=1))


def quarter_name(quarter: dt.date) -> str:
    """`2026 Q3`."""
    return f"{quarter.year} Q{(quarter.month + 2) // 3}"


def quarter_from(name: str) -> dt.date | None:
    """The first day of the quarter of this name (`2026 Q3`, `2026-Q3`); None when it is none."""
    year, _, number = name.strip().upper().replace("-", " ").partition(" Q")
    if not (year.isascii() and year.isdecimal() and len(year) == 4 and int(year) >= FIRST_YEAR and number in ("1", "2", "3", "4")):
        return None
    return dt.date(int(year), 3 * int(number) - 2, 1)


def instant_of(day: dt.date) -> dt.datetime:
    """The first instant of a day. Quarters, like months in analytics, are UTC's."""
    return dt.datetime.combine(day, dt.time(), dt.UTC)


def prepare_at(*, meets_at: dt.datetime | None, now: dt.datetime) -> dt.datetime:
    """When the figures are due to be frozen: a day before the meeting; at once when that is over or no meeting is named."""
    return now if meets_at is None else max(now, meets_at - PREPARE_BEFORE)
