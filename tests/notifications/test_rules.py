"""When messages go out: digests, quiet hours over midnight, weekends and changes of the clock, waits between tries."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pytest

from rollbackhub.notifications.enums import DeliveryState, Digest
from rollbackhub.notifications.rules import (
    JITTER,
    MOST_ATTEMPTS,
    TRANSITIONS,
    WAITS,
    Departure,
    Quiet,
    departure,
    pause_after,
    quiet_until,
    wait_before_next,
)

KOLKATA, BERLIN, UTC = ZoneInfo("Asia/Kolkata"), ZoneInfo("Europe/Berlin"), ZoneInfo("UTC")
NIGHT = Quiet(dt.time(22), dt.time(7))


def utc(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("at", "quiet", "zone", "until"),
    [
        ("2026-11-30T12:00", NIGHT, UTC, None),
        ("2026-11-30T22:00", NIGHT, UTC, "2026-12-01T07:00"),
        ("2026-12-01T06:59", NIGHT, UTC, "2026-12-01T07:00"),
        ("2026-12-01T07:00", NIGHT, UTC, None),
        ("2026-11-30T12:30", Quiet(dt.time(12), dt.time(13)), UTC, "2026-11-30T13:00"),
        # By the team's clock: 16:30 UTC is 22:00 in Kolkata.
        ("2026-11-30T16:29", NIGHT, KOLKATA, None),
        ("2026-11-30T16:30", NIGHT, KOLKATA, "2026-12-01T01:30"),
        # Friday night, and the weekend is quiet as well: until Monday at seven.
        ("2026-12-04T23:00", Quiet(dt.time(22), dt.time(7), weekends=True), UTC, "2026-12-07T07:00"),
        ("2026-12-06T15:00", Quiet(dt.time(22), dt.time(7), weekends=True), UTC, "2026-12-07T07:00"),
        # Only weekends.
        ("2026-12-05T00:00", Quiet(dt.time(), dt.time(), weekends=True), UTC, "2026-12-07T00:00"),
        ("2026-12-04T23:59", Quiet(dt.time(), dt.time(), weekends=True), UTC, None),
        # The night in which the clock goes forward is an hour shorter.
        ("2026-03-28T22:00", NIGHT, BERLIN, "2026-03-29T05:00"),
        ("2026-03-27T22:00", NIGHT, BERLIN, "2026-03-28T06:00"),
    ],
)
def test_quiet_ends_when_the_teams_clock_says(at: str, quiet: Quiet, zone: ZoneInfo, until: str | None) -> None:
    assert quiet_until(utc(at), quiet, zone) == (utc(until) if until else None)


@pytest.mark.parametrize(
    ("digest", "daily_at", "at", "zone", "goes"),
    [
        (Digest.AT_ONCE, None, "2026-11-30T12:07:31", UTC, "2026-11-30T12:07:31"),
        (Digest.QUARTER_HOUR, None, "2026-11-30T12:07:31", UTC, "2026-11-30T12:15"),
        (Digest.QUARTER_HOUR, None, "2026-11-30T12:15:00", UTC, "2026-11-30T12:30"),
        # The full hour in Kolkata is half past in UTC.
        (Digest.HOURLY, None, "2026-11-30T12:07", KOLKATA, "2026-11-30T12:30"),
        (Digest.DAILY, dt.time(9), "2026-11-30T08:59", UTC, "2026-11-30T09:00"),
        (Digest.DAILY, dt.time(9), "2026-11-30T09:00", UTC, "2026-12-01T09:00"),
        # Nine in Berlin before and after the clock changes.
        (Digest.DAILY, dt.time(9), "2026-10-24T10:00", BERLIN, "2026-10-25T08:00"),
        (Digest.DAILY, dt.time(9), "2026-10-23T10:00", BERLIN, "2026-10-24T07:00"),
    ],
)
def test_digest_goes_out_at_the_next_time(digest: Digest, daily_at: dt.time | None, at: str, zone: ZoneInfo, goes: str) -> None:
    found = departure(utc(at), digest=digest, daily_at=daily_at, quiet=None, zone=zone)
    assert found == Departure(utc(goes), digest != Digest.AT_ONCE)


def test_what_quiet_hours_hold_back_goes_out_together_when_they_end() -> None:
    held = departure(utc("2026-11-30T23:00"), digest=Digest.AT_ONCE, daily_at=None, quiet=NIGHT, zone=UTC)
    assert held == Departure(utc("2026-12-01T07:00"), is_bundled=True)
    passed = departure(utc("2026-11-30T23:00"), digest=Digest.AT_ONCE, daily_at=None, quiet=None, zone=UTC)
    assert passed == Departure(utc("2026-11-30T23:00"), is_bundled=False)
    # A digest that would go out in the night waits for the morning, too.
    digest = departure(utc("2026-11-30T21:50"), digest=Digest.HOURLY, daily_at=None, quiet=NIGHT, zone=UTC)
    assert digest == Departure(utc("2026-12-01T07:00"), is_bundled=True)


def test_waits_between_tries_grow_are_jittered_and_end() -> None:
    middle = [wait_before_next(attempts, chance=0.5) for attempts in range(1, MOST_ATTEMPTS)]
    assert middle == list(WAITS)
    for chance, factor in ((0.0, 1 - JITTER), (1.0, 1 + JITTER)):
        assert wait_before_next(2, chance=chance) == WAITS[1] * factor
    assert wait_before_next(MOST_ATTEMPTS, chance=0.5) is None
    assert [pause_after(failures).total_seconds() for failures in (1, 2, 3, 4, 50)] == [15, 60, 300, 300, 300]


def test_every_state_is_in_the_table_and_ends_are_ends() -> None:
    assert set(TRANSITIONS) == set(DeliveryState)
    assert [state for state, following in TRANSITIONS.items() if not following] == [DeliveryState.DELIVERED, DeliveryState.DISCARDED]
