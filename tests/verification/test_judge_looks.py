"""Which looks count, and what is said about those that do not."""

from __future__ import annotations

import random

from rollbackhub.common.verdict import Verdict
from rollbackhub.verification.judge import Counts, Look
from tests.verification.judging import at, counts, rate

PASSES = (200, 2000)
SEEN = "Negative feedback 10.00% of 2,000 requests; baseline 10.00% of 10,000 (the window before the release)."
PASSED = f"{SEEN} With 99.6% confidence at most 1.23 times the baseline's rate (allowed 1.25 times)."


def test_growth_between_looks_within_the_margin_passes() -> None:
    judgement = rate(counts((0, 0), PASSES))
    assert (judgement.verdict, judgement.sentence) == (Verdict.PASSED, PASSED)


def test_no_look_is_inconclusive() -> None:
    judgement = rate([])
    assert (judgement.verdict, judgement.sentence) == (Verdict.INCONCLUSIVE, "Negative feedback: nothing was read since the drain.")


def test_one_look_only_is_inconclusive_whatever_it_counted() -> None:
    judgement = rate(counts((0, 1_000_000)))
    assert (judgement.verdict, judgement.sentence) == (
        Verdict.INCONCLUSIVE,
        "Negative feedback: one look only; requests are counted from one look to the next.",
    )


def test_zero_traffic_is_inconclusive() -> None:
    judgement = rate(counts((7, 900), (7, 900), (7, 900)))
    assert (judgement.verdict, judgement.sentence) == (Verdict.INCONCLUSIVE, "Negative feedback: no requests in 3 looks since the drain.")


def test_fewer_requests_than_are_judged_are_inconclusive() -> None:
    judgement = rate(counts((0, 0), (9, 9)))
    assert (judgement.verdict, judgement.sentence) == (Verdict.INCONCLUSIVE, "Negative feedback: 9 requests since the drain; judged from 10 on.")
    assert judgement.paid == ()


def test_looks_out_of_order_say_the_same() -> None:
    looks = counts((0, 0), (5, 50), (40, 400), (100, 1000), PASSES)
    shuffled = random.Random(6).sample(looks, len(looks))
    assert shuffled != looks
    assert rate(shuffled) == rate(looks)


def test_a_reading_that_was_fetched_twice_counts_once() -> None:
    looks = counts((0, 0), PASSES)
    again = Look(looks[1].at_source, at(30), looks[1].evidence)
    judgement = rate([*looks, again])
    assert judgement.verdict == Verdict.PASSED
    assert judgement.sentence == f"{PASSED} 1 look repeated a reading and did not count again."
    assert judgement.paid == rate(looks).paid


def test_after_a_counter_reset_that_look_and_all_before_it_do_not_count() -> None:
    judgement = rate(counts((0, 0), PASSES, (3, 40)))
    assert judgement.verdict == Verdict.INCONCLUSIVE
    assert judgement.sentence == (
        "Negative feedback: one look only; requests are counted from one look to the next."
        " The counter started anew at 12:00:30 UTC: that look and the 2 before it do not count."
    )
    assert [paid.verdict for paid in judgement.paid] == [Verdict.PASSED]


def test_after_a_counter_reset_growth_begins_anew_and_what_was_paid_stays_paid() -> None:
    judgement = rate(counts((0, 0), (100, 1000), (3, 40), (203, 2040)))
    assert judgement.numbers["requests"] == 2000
    assert judgement.numbers["counter_resets"] == 1
    assert [(paid.run, paid.requests) for paid in judgement.paid] == [(0, 1000), (1, 2000)]
    assert judgement.numbers["looks_paid"] == 2


def test_a_counter_that_rose_by_more_events_than_requests_started_anew_too() -> None:
    judgement = rate(counts((1, 100), (60, 130)))
    assert judgement.numbers["counter_resets"] == 1


def test_a_series_that_is_born_after_the_flip_counts_from_its_first_look() -> None:
    judgement = rate(counts(None, None, (50, 500), (250, 2500)))
    assert judgement.verdict == Verdict.PASSED
    assert judgement.numbers["requests"] == 2000
    assert judgement.sentence == f"{PASSED} The series was absent at 2 looks; it counts from its first look on."


def test_a_series_that_is_absent_throughout_is_inconclusive() -> None:
    judgement = rate(counts(None, None))
    assert judgement.verdict == Verdict.INCONCLUSIVE
    assert judgement.sentence == "Negative feedback: nothing was read since the drain. The series was absent at 2 looks; it counts from its first look on."


def test_a_missing_baseline_is_inconclusive_in_words() -> None:
    advice = "so nothing can be shown to be back at it. State harmless_below to judge negative feedback without one."
    for base, missing in ((None, "There is no baseline"), ((0, 0), "The baseline saw no requests")):
        judgement = rate(counts((0, 0), PASSES), base)
        assert (judgement.verdict, judgement.sentence) == (Verdict.INCONCLUSIVE, f"{missing}, {advice}")


class TestClockSkew:
    """The drain was at noon by the hub's clock. Readings before it may be of the bad version's time."""

    def test_with_a_source_30_s_slow_looks_wait_until_its_clock_has_passed_the_drain(self) -> None:
        looks = [Look(at(seconds - 30), at(seconds), Counts(*pair)) for seconds, pair in ((1, (0, 0)), (16, (500, 1000)), (31, (600, 2000)), (46, (800, 4000)))]
        judgement = rate(looks)
        assert judgement.verdict == Verdict.PASSED
        assert judgement.numbers["requests"] == 2000
        assert judgement.numbers["clock_skew_seconds"] == -30
        assert judgement.sentence == f"{PASSED} 2 looks stamped before the drain, by the source's clock or by ours, did not count."

    def test_with_a_source_30_s_fast_readings_of_before_the_drain_stay_out(self) -> None:
        looks = [
            Look(at(seconds + 30), at(seconds), Counts(*pair)) for seconds, pair in ((-20, (0, 0)), (-5, (600, 1000)), (5, (700, 1500)), (20, (900, 3500)))
        ]
        judgement = rate(looks)
        assert judgement.verdict == Verdict.PASSED
        assert judgement.numbers["requests"] == 2000
        assert judgement.numbers["clock_skew_seconds"] == 30
        assert judgement.sentence == f"{PASSED} 2 looks stamped before the drain, by the source's clock or by ours, did not count."

    def test_a_reading_of_before_the_drain_that_is_fetched_again_after_it_stays_out(self) -> None:
        """A fast source's last reading is stamped 12:00:25, though it is from 11:59:55; it is fetched again at 12:00:05."""
        looks = [Look(at(25), at(-5), Counts(600, 1000)), Look(at(25), at(5), Counts(600, 1000))]
        judgement = rate([*looks, Look(at(40), at(10), Counts(700, 1500)), Look(at(55), at(25), Counts(900, 3500))])
        assert judgement.numbers["requests"] == 2000
        assert (judgement.numbers["looks_before_drain"], judgement.numbers["duplicate_looks"]) == (1, 1)

    def test_a_late_reading_of_a_fast_source_is_told_by_how_fast_it_was_seen_to_be(self) -> None:
        """Stamped 12:00:22 and first fetched at 12:00:02: with a clock that is 30 s ahead that is from 11:59:52."""
        looks = [Look(at(15), at(-15), Counts(0, 0)), Look(at(22), at(2), Counts(600, 1000))]
        judgement = rate([*looks, Look(at(35), at(5), Counts(700, 1500)), Look(at(50), at(20), Counts(900, 3500))])
        assert judgement.numbers["requests"] == 2000
        assert judgement.numbers["looks_before_drain"] == 2

    def test_a_look_at_the_very_instant_counts(self) -> None:
        assert rate([Look(at(0), at(0), Counts(0, 0)), Look(at(9), at(9), Counts(*PASSES))]).verdict == Verdict.PASSED
