"""Rates: back at the baseline, worse, or not known, with the exact words."""

from __future__ import annotations

import json

import pytest

from rollbackhub.common.verdict import Verdict
from rollbackhub.verification.evidence import CheckOutcome
from rollbackhub.verification.judge import Baseline, BaselineKind, Counts, Judgement, RateMargin, judge_rate
from tests.verification.judging import NOON, counts, looks_at, rate

POINTS = RateMargin(margin_ratio=None, margin_points=0.01)
HARMLESS = RateMargin(harmless_below=0.01)
NO_EVENTS = "baseline 0.00% of 10,000 (the window before the release)."


def test_worse_than_the_baseline_fails() -> None:
    judgement = rate(counts((0, 0), (60, 1000)), (200, 10_000))
    assert judgement.verdict == Verdict.FAILED
    assert judgement.sentence == (
        "Negative feedback 6.00% of 1,000 requests; baseline 2.00% of 10,000 (the window before the release)."
        " With 99.1% confidence at least 2.08 times the baseline's rate, and not shown to be within the margin (allowed up to 2.50%)."
    )


def test_worse_than_a_concurrent_baseline_says_which_it_was() -> None:
    concurrent = Baseline(BaselineKind.CONCURRENT, Counts(200, 10_000))
    judgement = judge_rate(what="errors", baseline=concurrent, looks=counts((0, 0), (60, 1000)), drained_at=NOON)
    assert judgement.sentence.startswith("Errors 6.00% of 1,000 requests; baseline 2.00% of 10,000 (the stable version at the same time).")
    assert judgement.numbers["baseline_kind"] == "concurrent"


def test_too_few_requests_say_how_many_more_and_then_it_passes() -> None:
    judgement = rate(counts((0, 0), (160, 1600)))
    assert judgement.verdict == Verdict.INCONCLUSIVE
    assert judgement.sentence == (
        "Negative feedback 10.00% of 1,600 requests; baseline 10.00% of 10,000 (the window before the release)."
        " Between 0.81 and 1.25 times the baseline's rate, allowed up to 12.50%. At these rates it passes with about 77 more requests."
    )
    then = 1600 + judgement.numbers["more_requests_to_pass"]
    assert rate(counts((0, 0), (160, 1600), (round(0.1 * then), then))).verdict == Verdict.PASSED


def test_too_few_requests_to_fail_say_how_many_more_and_then_it_fails() -> None:
    judgement = rate(counts((0, 0), (26, 200)))
    assert judgement.verdict == Verdict.INCONCLUSIVE
    more = judgement.numbers["more_requests_to_fail"]
    assert judgement.sentence.endswith(f"At these rates it fails with about {more:,} more requests.")
    then = 200 + more
    assert rate(counts((0, 0), (26, 200), (round(0.13 * then), then))).verdict == Verdict.FAILED
    assert rate(counts((0, 0), (26, 200), (round(0.13 * (then // 2)), then // 2))).verdict == Verdict.INCONCLUSIVE


def test_a_baseline_that_is_too_small_says_how_large_it_has_to_be() -> None:
    judgement = rate(counts((0, 0), (20, 1000)), (200, 10_000))
    assert judgement.verdict == Verdict.INCONCLUSIVE
    assert judgement.sentence.endswith("The baseline is too small to show it: it takes about 20,000 requests at its rate.")
    onwards = counts((0, 0), *((20 << doubling, 1000 << doubling) for doubling in range(12)))
    assert rate(onwards, (200, 10_000)).verdict == Verdict.INCONCLUSIVE
    assert rate(onwards, (400, 20_000)).verdict == Verdict.PASSED


def test_all_zero_feedback_is_inconclusive_and_says_what_would_do() -> None:
    judgement = rate(counts((0, 0), (0, 1000)), (0, 10_000))
    assert judgement.verdict == Verdict.INCONCLUSIVE
    more = judgement.numbers["more_requests_for_harmless_below_0_001"]
    assert judgement.sentence == (
        f"Negative feedback 0.00% of 1,000 requests; {NO_EVENTS} None in either window: a ratio to nothing cannot be shown, however many requests follow."
        f" State harmless_below: 0.10%, for example, takes about {more:,} more requests without any."
    )
    then = counts((0, 0), (0, 1000), (0, 1000 + more))
    assert rate(then, (0, 10_000), margin=RateMargin(harmless_below=0.001)).verdict == Verdict.PASSED


def test_all_zero_feedback_under_a_harmless_rate_passes() -> None:
    judgement = rate(counts((0, 0), (0, 1000)), (0, 10_000), margin=HARMLESS)
    assert judgement.verdict == Verdict.PASSED
    assert (
        judgement.sentence == f"Negative feedback 0.00% of 1,000 requests; {NO_EVENTS} With 99.8% confidence at most 0.63% of requests:"
        " it passes as harmless, below 1.00%, whatever the baseline was."
    )


def test_a_harmless_rate_needs_enough_requests_and_says_how_many() -> None:
    judgement = rate(counts((0, 0), (0, 500)), None, margin=HARMLESS)
    assert judgement.verdict == Verdict.INCONCLUSIVE
    more = judgement.numbers["more_requests_to_pass"]
    assert judgement.sentence == (f"Negative feedback 0.00% of 500 requests; there is no baseline. At these rates it passes with about {more} more requests.")
    passed = rate(counts((0, 0), (0, 500), (0, 500 + more)), None, margin=HARMLESS)
    assert passed.verdict == Verdict.PASSED
    assert rate(counts((0, 0), (0, 500), (0, 499 + more)), None, margin=HARMLESS).verdict == Verdict.INCONCLUSIVE


def test_what_is_harmless_does_not_fail_though_it_is_worse() -> None:
    looks = counts((0, 0), (4, 1000))
    assert rate(looks, (0, 100_000)).verdict == Verdict.FAILED
    assert rate(looks, (0, 100_000), margin=HARMLESS).verdict == Verdict.INCONCLUSIVE


def test_events_where_the_baseline_had_none_fail() -> None:
    judgement = rate(counts((0, 0), (30, 1000)), (0, 10_000))
    assert judgement.verdict == Verdict.FAILED
    assert judgement.sentence.startswith(f"Negative feedback 3.00% of 1,000 requests; {NO_EVENTS} With 99.1% confidence at least ")


def test_no_events_where_the_baseline_had_some_pass() -> None:
    judgement = rate(counts((0, 0), (0, 3000)), (200, 10_000))
    assert judgement.verdict == Verdict.PASSED
    assert judgement.sentence.endswith("With 99.6% confidence at most 0.09 times the baseline's rate (allowed 1.25 times).")


def test_a_margin_in_points_counts_where_it_allows_more() -> None:
    looks = counts((0, 0), (50, 5000))
    assert rate(looks, (100, 10_000)).verdict == Verdict.INCONCLUSIVE
    judgement = rate(looks, (100, 10_000), margin=RateMargin(margin_points=0.01))
    assert judgement.verdict == Verdict.PASSED
    assert judgement.sentence.endswith("percentage points above the baseline's rate (allowed 1.00).")
    assert judgement.numbers["points_at_most"] < 0.01
    assert judgement.numbers["allowed_rate"] == pytest.approx(0.02)
    looks = counts((0, 0), (1000, 10_000))
    assert rate(looks, (1000, 10_000), margin=POINTS).verdict == Verdict.INCONCLUSIVE
    assert rate(looks, (1000, 10_000), margin=RateMargin(margin_points=0.01)).verdict == Verdict.PASSED


def test_a_rate_at_its_limit_is_judged() -> None:
    assert rate(counts((0, 0), (10_000, 10_000)), (10_000, 10_000), margin=RateMargin(margin_points=0.01)).verdict == Verdict.PASSED
    assert rate(counts((0, 0), (10_000, 10_000)), (5_000, 10_000)).verdict == Verdict.FAILED


@pytest.mark.parametrize("margin", [RateMargin(), POINTS, HARMLESS, RateMargin(0.25, 0.01, 0.001)])
def test_a_thousand_million_requests_are_judged_like_any(margin: RateMargin) -> None:
    billion = 10**9
    same, worse = (20_000_000, billion), (40_000_000, billion)
    assert rate(counts((0, 0), same), same, margin=margin).verdict == Verdict.PASSED if margin != HARMLESS else Verdict.INCONCLUSIVE
    assert rate(counts((0, 0), worse), same, margin=margin).verdict == Verdict.FAILED


def test_the_judgement_says_how_it_was_made_and_can_be_stored() -> None:
    judgement = rate(looks_at(Counts(0, 0), Counts(20, 1000)), (200, 10_000))
    outcome = judgement.as_outcome("negative_feedback")
    assert isinstance(outcome, CheckOutcome)
    assert (outcome.verdict, outcome.sentence) == (judgement.verdict, judgement.sentence)
    assert "exact conditional test" in outcome.numbers["method"]
    assert "Przyborowski" in outcome.numbers["source"]
    json.dumps(outcome.numbers, allow_nan=False)
    expected = {"rate": 0.02, "baseline_rate": 0.02, "allowed_rate": 0.025, "looks_paid": 1, "baseline_requests_needed": 20_000, "more_requests_to_pass": None}
    assert expected.items() <= outcome.numbers.items()


def test_a_fixed_limit_alone_can_pass_and_fail_without_a_baseline() -> None:
    limit = RateMargin(margin_ratio=None, harmless_below=0.01)

    def judged(events: int, requests: int) -> Judgement:
        return judge_rate(what="errors", baseline=None, looks=counts((0, 0), (events, requests)), drained_at=NOON, margin=limit)

    worse, fine = judged(60, 1000), judged(0, 1000)
    assert (worse.verdict, fine.verdict) == (Verdict.FAILED, Verdict.PASSED)
    assert worse.sentence == "Errors 6.00% of 1,000 requests. With 99.1% confidence it is above 1.00% of requests."
    assert judged(10, 1000).verdict == Verdict.INCONCLUSIVE
    beside_a_ratio = judge_rate(
        what="errors", baseline=None, looks=counts((0, 0), (60, 1000)), drained_at=NOON, margin=RateMargin(margin_ratio=0.25, harmless_below=0.01)
    )
    assert beside_a_ratio.verdict == Verdict.INCONCLUSIVE, "the baseline that is missing may have been as high"


def test_pass_says_by_which_of_two_margins() -> None:
    both = RateMargin(margin_ratio=None, margin_points=0.05, harmless_below=0.1)
    by_points = rate(counts((0, 0), (400, 4000)), (4000, 40_000), margin=both)
    assert (by_points.verdict, by_points.numbers["passed_by"]) == (Verdict.PASSED, "points")
    assert "percentage points above the baseline's rate (allowed 5.00)" in by_points.sentence
    assert "harmless" not in by_points.sentence
    harmless = rate(counts((0, 0), (4, 240)), (2, 100), margin=both)
    assert (harmless.verdict, harmless.numbers["passed_by"]) == (Verdict.PASSED, "harmless")
    assert "it passes as harmless, below 10.00%, whatever the baseline was" in harmless.sentence
    threshold = rate(counts((0, 0), (0, 1000)), None, margin=RateMargin(margin_ratio=None, harmless_below=0.01))
    assert "(harmless below 1.00%)" in threshold.sentence, "a fixed limit has no baseline to be told from"
