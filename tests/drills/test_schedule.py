"""When drills are due. Pure."""

from __future__ import annotations

import datetime as dt
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest

from drills.domain import schedule
from drills.domain.schedule import Period, Placed, Quiet, Rhythm, WorkingHours, commitment, draw_one, draw_time, period_in_words, periods, place, slot_seed
from drills.enums import Cadence

BERLIN = ZoneInfo("Europe/Berlin")
KOLKATA = ZoneInfo("Asia/Kolkata")
SEED = 4711


def utc(text: str) -> dt.datetime:
    """`2026-12-01 10:00`."""
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


def rhythm(cadence: Cadence = Cadence.MONTHLY, *, cron: str = "", announced: bool = True, zone: ZoneInfo = BERLIN, late: int = 24, seed: int = SEED) -> Rhythm:
    """Working hours from 9 to 17."""
    return Rhythm(cadence=cadence, cron=cron, announced=announced, hours=WorkingHours(zone, dt.time(9), dt.time(17)), late=dt.timedelta(hours=late), seed=seed)


def placed_in(found: Rhythm, since: str, until: str, *quiets: Quiet) -> list[Placed]:
    return [place(found, period, quiets=quiets) for period in periods(found, since=utc(since), until=utc(until))]


def starts(found: Rhythm, since: str, until: str, *quiets: Quiet) -> list[str]:
    """In UTC."""
    return [f"{placed.starts_at:%Y-%m-%d %H:%M}" for placed in placed_in(found, since, until, *quiets)]


def test_monthly_drills_start_an_hour_after_work_on_the_first_working_day_in_the_teams_zone() -> None:
    # August and November begin on a weekend; Berlin is two hours ahead of UTC until the end of October.
    assert starts(rhythm(), "2026-07-15 00:00", "2026-12-15 00:00") == [
        *("2026-07-01 08:00", "2026-08-03 08:00", "2026-09-01 08:00", "2026-10-01 08:00", "2026-11-02 09:00", "2026-12-01 09:00")
    ]


def test_quarterly_drills_come_once_a_quarter() -> None:
    assert starts(rhythm(Cadence.QUARTERLY, zone=KOLKATA), "2026-12-15 00:00", "2027-08-01 00:00") == [
        *("2026-10-01 04:30", "2027-01-01 04:30", "2027-04-01 04:30", "2027-07-01 04:30")
    ]


def test_slot_names_the_month_whatever_the_zone() -> None:
    months = {"since": utc("2026-12-10 00:00"), "until": utc("2027-03-01 00:00")}
    by_zone = [[period.slot for period in periods(rhythm(zone=zone), **months)] for zone in (BERLIN, KOLKATA)]
    assert by_zone[0] == by_zone[1] == [utc("2026-12-01 00:00"), utc("2027-01-01 00:00"), utc("2027-02-01 00:00")]


def test_periods_follow_one_another_without_a_gap() -> None:
    for found in (rhythm(), rhythm(Cadence.QUARTERLY), rhythm(Cadence.CRON, cron="30 2 * * *")):
        row = list(periods(found, since=utc("2026-03-01 00:00"), until=utc("2027-03-01 00:00")))
        assert all(before.ends_at == after.starts_at for before, after in pairwise(row))
        assert row[0].starts_at <= utc("2026-03-01 00:00") < row[0].ends_at


@pytest.mark.parametrize(
    ("cron", "since", "expected"),
    [
        # Spring: on 29 March 2026 Berlin has no time from 2:00 to 3:00.
        ("30 2 * * *", "2026-03-28 00:00", ["2026-03-28 01:30", "2026-03-29 01:30", "2026-03-30 00:30"]),
        ("0 3 * * *", "2026-03-28 00:00", ["2026-03-28 02:00", "2026-03-29 01:00", "2026-03-30 01:00"]),
        # What is left out falls on what is there already: one drill.
        ("30 2,3 29 3 *", "2026-03-29 00:00", ["2026-03-29 01:30", "2027-03-29 00:30", "2027-03-29 01:30"]),
        # Autumn: on 25 October 2026 Berlin has 2:00 to 3:00 twice; the first counts.
        ("30 2 * * *", "2026-10-24 00:00", ["2026-10-24 00:30", "2026-10-25 00:30", "2026-10-26 01:30"]),
        ("0 */2 * * *", "2026-10-24 23:00", ["2026-10-25 00:00", "2026-10-25 03:00", "2026-10-25 05:00"]),
        # From within the doubled hour's second run on, its first time is over.
        ("30 2 * * *", "2026-10-25 01:15", ["2026-10-26 01:30", "2026-10-27 01:30", "2026-10-28 01:30"]),
    ],
)
def test_cron_times_across_changed_clocks_come_once_each(cron: str, since: str, expected: list[str]) -> None:
    found = schedule.cron_times(cron, BERLIN, since=utc(since))
    assert [f"{instant:%Y-%m-%d %H:%M}" for instant in islice(found, 3)] == expected


@pytest.mark.parametrize(
    ("cron", "part"),
    [
        ("", "five fields"),
        ("* * * * * *", "five fields"),
        ("@daily", "five fields"),
        ("61 * * * *", "bad minute"),
        ("0 9 * * mon-xyz", "bad day-of-week"),
        ("0 0 31 2 *", "no cron expression"),
        ("0,30 9 * * 1", "at most once an hour"),
        ("* 9 * * 1", "at most once an hour"),
        ("*/15 * * * *", "at most once an hour"),
    ],
)
def test_cron_problem_says_what_is_wrong(cron: str, part: str) -> None:
    assert part in schedule.cron_problem(cron)


@pytest.mark.parametrize("cron", ["0 10 * * 2", "0 * * * *", "30 9 1 * *", "0 9 L * *", "0 9 * * 1#1", "0 0 29 2 *"])
def test_cron_problem_of_a_usable_expression_is_none(cron: str) -> None:
    assert schedule.cron_problem(cron) == ""


def test_unannounced_drill_comes_within_working_hours_and_is_drawn_again_the_same() -> None:
    drawn = placed_in(rhythm(announced=False), "2026-01-01 00:00", "2030-01-01 00:00")
    assert len(drawn) == 48
    for placed in drawn:
        local = placed.starts_at.astimezone(BERLIN)
        assert local.weekday() < 5
        assert dt.time(9) <= local.time() < dt.time(17)
        assert placed.period.starts_at <= placed.starts_at < placed.period.ends_at
        assert draw_time(placed.draw, seed=slot_seed(SEED, placed.period.slot)) == placed.starts_at
    assert len({placed.starts_at.astimezone(BERLIN).hour for placed in drawn}) > 5
    assert len({placed.starts_at.astimezone(BERLIN).day for placed in drawn}) > 15
    others = placed_in(rhythm(announced=False, seed=SEED + 1), "2026-01-01 00:00", "2030-01-01 00:00")
    assert all(one.starts_at != other.starts_at for one, other in zip(drawn, others, strict=True))


def test_draw_is_fixed_for_all_time() -> None:
    """An auditor draws again by another version of Python: what stands here must never change."""
    period = next(iter(periods(rhythm(announced=False), since=utc("2026-12-01 12:00"), until=utc("2027-01-01 00:00"))))
    seed = slot_seed(SEED, period.slot)
    assert seed == "d8f3bdf4d57f8d33cabf2dd318432b734c163a222d106a41ea066b22669590a8"
    assert commitment(seed) == "87e681d7ea8a6be85ca5245460a9d4528b723beaa25a9c6dd67de9b3341e1b7f"
    assert place(rhythm(announced=False), period, quiets=[]).starts_at == dt.datetime(2026, 12, 1, 15, 33, 28, tzinfo=dt.UTC)
    assert draw_one(["b", "a", "c"], seed=seed) == draw_one(["c", "b", "a"], seed=seed) == "c"


def test_slot_seed_of_one_slot_is_not_that_of_another() -> None:
    assert slot_seed(SEED, utc("2026-12-01 00:00")) != slot_seed(SEED, utc("2027-01-01 00:00"))
    assert slot_seed(SEED, utc("2026-12-01 00:00")) != slot_seed(SEED + 1, utc("2026-12-01 00:00"))


FREEZE = Quiet(utc("2026-11-30 00:00"), utc("2026-12-03 12:00"), "Freeze")


def test_announced_drill_in_a_quiet_period_moves_to_the_next_working_morning_behind_it() -> None:
    assert starts(rhythm(), "2026-12-01 00:00", "2026-12-31 00:00", FREEZE) == ["2026-12-04 09:00"]


def test_cron_drill_in_a_quiet_period_moves_to_its_end_within_its_period() -> None:
    assert starts(rhythm(Cadence.CRON, cron="0 10 * * 2"), "2026-12-01 12:00", "2026-12-03 00:00", FREEZE) == ["2026-12-03 12:00"]


def test_unannounced_drill_is_drawn_from_what_quiet_periods_leave() -> None:
    most = Quiet(utc("2026-11-01 00:00"), utc("2026-12-31 12:00"), "Freeze")
    (placed,) = placed_in(rhythm(announced=False), "2026-12-01 00:00", "2026-12-31 00:00", most)
    assert utc("2026-12-31 12:00") <= placed.starts_at < utc("2026-12-31 16:00")
    assert draw_time(placed.draw, seed=slot_seed(SEED, placed.period.slot)) == placed.starts_at


@pytest.mark.parametrize("announced", [True, False])
def test_quiet_period_that_leaves_nothing_keeps_the_time_and_says_so(announced: bool) -> None:
    whole = Quiet(utc("2026-11-01 00:00"), utc("2027-01-02 00:00"), "Year-end freeze")
    (placed,) = placed_in(rhythm(announced=announced), "2026-12-01 00:00", "2026-12-31 00:00", whole)
    assert "Year-end freeze" in placed.why
    assert placed.period.starts_at <= placed.starts_at < placed.period.ends_at


def test_unannounced_drill_without_working_hours_in_its_period_cannot_start() -> None:
    saturday = Period(utc("2026-12-05 00:00"), utc("2026-12-05 00:00"), utc("2026-12-06 00:00"))
    placed = place(rhythm(Cadence.CRON, cron="0 1 * * *", announced=False), saturday, quiets=[])
    assert (placed.why, placed.latest_at) == (schedule.NO_HOURS, placed.starts_at)


def test_late_hours_of_a_cron_plan_end_with_its_period() -> None:
    hourly = placed_in(rhythm(Cadence.CRON, cron="0 * * * *"), "2026-12-01 00:30", "2026-12-01 03:00")
    assert [placed.latest_at - placed.starts_at for placed in hourly] == [dt.timedelta(hours=1)] * 3
    monthly = placed_in(rhythm(late=48), "2026-12-01 00:30", "2026-12-02 00:00")
    assert [placed.latest_at - placed.starts_at for placed in monthly] == [dt.timedelta(hours=48)]


@pytest.mark.parametrize(
    ("since", "until", "words"),
    [
        ("2026-11-30 23:00", "2026-12-31 23:00", "December 2026"),
        ("2026-09-30 22:00", "2026-12-31 23:00", "October to December 2026"),
        ("2026-12-07 09:00", "2026-12-14 09:00", "7 to 14 December 2026"),
        ("2026-12-06 23:00", "2026-12-13 23:00", "7 to 13 December 2026"),
        ("2026-12-07 09:00", "2026-12-07 10:00", "7 December 2026"),
        ("2026-12-29 09:00", "2027-01-02 09:00", "29 December 2026 to 2 January 2027"),
    ],
)
def test_period_in_words(since: str, until: str, words: str) -> None:
    assert period_in_words(utc(since), utc(until), zone=BERLIN) == words
