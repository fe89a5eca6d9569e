"""The one clock. Every instant that RollbackHub records comes from here (UTC)."""

from __future__ import annotations

import datetime as dt
import time


def now() -> dt.datetime:
    """The present instant, aware, in UTC."""
    return dt.datetime.now(dt.UTC)


def monotonic() -> float:
    """Seconds of a clock that never goes back; for waiting, never for records."""
    return time.monotonic()


def sleep(seconds: float) -> None:
    """Wait this many seconds (nothing when not above 0)."""
    if seconds > 0:
        time.sleep(seconds)


def seconds_between(start: dt.datetime | None, end: dt.datetime | None) -> float | None:
    """Seconds from start to end; None while one of them has not happened."""
    if start is None or end is None:
        return None
    return (end - start).total_seconds()
