"""Latencies: whole distributions, samples and buckets, only slower is bad."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from scipy.special import ndtri

from rollbackhub.common.verdict import Verdict
from rollbackhub.verification.judge import Histogram, LatencyMargin, Samples
from rollbackhub.verification.judge.spread import LARGEST, edges, reduced, spread
from tests.verification.judging import BOUNDS, buckets, latency

PROMETHEUS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, math.inf)


def usual(size: int, *, slower: float = 1.0, sigma: float = 0.5) -> Samples:
    """The quantiles of a log-normal with a median of 0.8 s: a sample without chance."""
    return Samples(tuple((0.8 * slower * np.exp(sigma * ndtri((np.arange(size) + 0.5) / size))).tolist()))


def in_buckets(samples: Samples, bounds: tuple[float, ...] = PROMETHEUS) -> Histogram:
    return Histogram(bounds, tuple(np.bincount(np.searchsorted(bounds, samples.seconds), minlength=len(bounds)).tolist()))


NOTHING = Samples(())
EMPTY = in_buckets(NOTHING)


def test_as_fast_as_before_passes() -> None:
    judgement = latency(usual(10_000), NOTHING, usual(500))
    assert judgement.verdict == Verdict.PASSED
    assert judgement.sentence == (
        "Median latency 801 ms over 500 requests; baseline 800 ms over 10,000 (the window before the release)."
        " With 99.6% confidence at most 1.06 times as slow (allowed 1.25 times)."
    )
    assert judgement.numbers["ratio"] == pytest.approx(1.0, abs=0.002)
    assert judgement.numbers["probability_slower"] == pytest.approx(0.5, abs=0.001)


def test_slower_by_half_fails() -> None:
    judgement = latency(usual(10_000), NOTHING, usual(500, slower=1.5))
    assert judgement.verdict == Verdict.FAILED
    assert judgement.sentence == (
        "Median latency 1,202 ms over 500 requests; baseline 800 ms over 10,000 (the window before the release)."
        " With 99.1% confidence slower: 1.50 times as slow, a request is slower than one of the baseline in 72% of pairs. Not shown to be within 1.25 times."
    )
    assert judgement.numbers["ratio_at_least"] < 1.5 < judgement.numbers["ratio_at_most"]


def test_faster_never_fails() -> None:
    assert latency(usual(10_000), NOTHING, usual(500, slower=0.2)).verdict == Verdict.PASSED


def test_a_few_requests_are_inconclusive_say_how_many_more_and_then_pass() -> None:
    base, now = usual(10_000, sigma=1), usual(100, sigma=1)
    judgement = latency(base, NOTHING, now)
    assert judgement.verdict == Verdict.INCONCLUSIVE
    more = judgement.numbers["more_requests_to_pass"]
    assert judgement.sentence.endswith(f"allowed 1.25 times. At these latencies it passes with about {more} more requests.")
    assert latency(base, NOTHING, usual(100 + more, sigma=1)).verdict == Verdict.PASSED
    assert latency(base, NOTHING, usual(100 + more // 4, sigma=1)).verdict == Verdict.INCONCLUSIVE


def test_a_slowness_below_the_effect_that_counts_does_not_fail() -> None:
    now = usual(10_000, slower=1.09)
    tight = LatencyMargin(margin_ratio=0.05)
    judgement = latency(usual(10_000), NOTHING, now, margin=tight)
    assert judgement.verdict == Verdict.INCONCLUSIVE
    assert judgement.sentence.endswith("Slower by less than counts as worse (55% slower, from 56%), and not within the margin.")
    assert latency(usual(10_000), NOTHING, now, margin=LatencyMargin(margin_ratio=0.05, effect_threshold=0.5)).verdict == Verdict.FAILED


def test_a_heavy_tail_alone_is_not_a_shift_of_all() -> None:
    """The mean doubles, the ranks hardly move: said by ranks it is back; a mean would say otherwise."""
    now = Samples((*usual(990).seconds, *([80.0] * 10)))
    assert latency(usual(10_000), NOTHING, now).verdict == Verdict.PASSED


class TestZeroVariance:
    def test_all_equal_and_as_before_passes(self) -> None:
        judgement = latency(Samples((0.8,) * 100), NOTHING, Samples((0.8,) * 100))
        assert judgement.verdict == Verdict.PASSED
        assert judgement.sentence == (
            "Median latency 800 ms over 100 requests; baseline 800 ms over 100 (the window before the release)."
            " With 99.6% confidence at most 1.00 times as slow (allowed 1.25 times)."
        )

    def test_all_equal_at_the_margin_fails(self) -> None:
        judgement = latency(Samples((0.8,) * 100), NOTHING, Samples((1.0,) * 100))
        assert judgement.verdict == Verdict.FAILED
        assert judgement.sentence == (
            "Median latency 1,000 ms over 100 requests; baseline 800 ms over 100 (the window before the release)."
            " With 99.1% confidence slower: 1.25 times as slow, a request is slower than one of the baseline in 100% of pairs."
            " Not shown to be within 1.25 times."
        )

    def test_all_in_one_wide_bucket_is_inconclusive(self) -> None:
        judgement = latency(buckets(0, 0, 100, 0, 0, 0), buckets(0, 0, 0, 0, 0, 0), buckets(0, 0, 100, 0, 0, 0))
        assert judgement.verdict == Verdict.INCONCLUSIVE
        assert judgement.sentence == (
            "Median latency 708 ms over 100 requests; baseline 708 ms over 100 (the window before the release)."
            " The histogram's buckets are too wide to show it: most of the baseline lies in one. Take finer ones, or a wider margin."
        )

    def test_all_in_one_narrow_bucket_passes(self) -> None:
        narrow = (0.7, 0.8, math.inf)
        base, nothing = Histogram(narrow, (0, 100, 0)), Histogram(narrow, (0, 0, 0))
        assert latency(base, nothing, base).verdict == Verdict.PASSED


class TestBuckets:
    @pytest.mark.parametrize(("slower", "verdict"), [(1.0, Verdict.PASSED), (1.25, Verdict.FAILED), (1.5, Verdict.FAILED), (0.5, Verdict.PASSED)])
    def test_buckets_say_what_their_samples_say(self, slower: float, verdict: Verdict) -> None:
        now = usual(1000, slower=slower)
        assert latency(usual(10_000), NOTHING, now).verdict == verdict
        assert latency(in_buckets(usual(10_000)), EMPTY, in_buckets(now)).verdict == verdict

    @pytest.mark.parametrize("median", [0.3, 0.55, 0.8, 1.4, 2.0])
    @pytest.mark.parametrize("sigma", [0.3, 0.5, 1.0])
    def test_buckets_never_pass_what_is_slower_by_the_margin(self, median: float, sigma: float) -> None:
        base = in_buckets(usual(10_000, slower=median / 0.8, sigma=sigma))
        now = in_buckets(usual(10_000, slower=1.25 * median / 0.8, sigma=sigma))
        assert latency(base, EMPTY, now).verdict != Verdict.PASSED

    def test_beyond_the_last_bucket_fails_in_words(self) -> None:
        judgement = latency(in_buckets(usual(10_000)), EMPTY, Histogram(PROMETHEUS, (*([0] * 11), 100)))
        assert judgement.verdict == Verdict.FAILED
        assert judgement.sentence.startswith("Median latency beyond the last bucket over 100 requests; baseline ")
        assert judgement.numbers["median_seconds"] is None
        json.dumps(judgement.numbers, allow_nan=False)

    def test_a_spread_histogram_lies_in_its_buckets(self) -> None:
        histogram = Histogram(BOUNDS, (3, 40, 100, 30, 2, 5))
        for curved in (True, False):
            seconds = np.exp(spread(histogram, curved=curved, current=True))
            assert np.all(np.diff(seconds) >= 0)
            assert np.bincount(np.searchsorted(BOUNDS, seconds - 1e-9), minlength=6).tolist() == [3, 40, 100, 30, 2, 5]
        assert edges((0.25, 0.5, math.inf)) == [(0.125, 0.25), (0.25, 0.5), (0.5, math.inf)]

    def test_a_thousand_million_are_reduced_in_proportion(self) -> None:
        numbers = [10**9, 3 * 10**9, 1, 0]
        assert reduced(numbers) == [LARGEST // 4, 3 * LARGEST // 4, 0, 0]
        assert sum(reduced([1] * 15_001)) == LARGEST
        assert reduced([1, 2, 3]) == [1, 2, 3]
        factor = 10**7
        base = in_buckets(usual(10_000))
        many = Histogram(PROMETHEUS, tuple(count * factor for count in base.counts))
        assert latency(many, EMPTY, many).verdict == Verdict.PASSED


class TestNoData:
    def test_zero_traffic(self) -> None:
        judgement = latency(usual(100), NOTHING, NOTHING)
        assert (judgement.verdict, judgement.sentence) == (Verdict.INCONCLUSIVE, "Latency: no requests in 2 looks since the drain.")

    def test_no_baseline(self) -> None:
        judgement = latency(None, NOTHING, usual(100))
        assert (judgement.verdict, judgement.sentence) == (Verdict.INCONCLUSIVE, "There is no baseline, so latency cannot be shown to be back at it.")

    def test_a_baseline_of_a_few(self) -> None:
        judgement = latency(usual(29), NOTHING, usual(100))
        assert judgement.verdict == Verdict.INCONCLUSIVE
        assert judgement.sentence == "The baseline has 29 timed requests, 30 are needed, so latency cannot be shown to be back at it."

    def test_a_reset_is_never_passed_over(self) -> None:
        full = in_buckets(usual(500))
        judgement = latency(in_buckets(usual(10_000)), EMPTY, full, in_buckets(usual(20)))
        assert judgement.verdict == Verdict.INCONCLUSIVE
        assert judgement.sentence == (
            "Latency: one look only; requests are counted from one look to the next."
            " The counter started anew at 12:00:30 UTC: that look and the 2 before it do not count."
        )

    def test_samples_that_do_not_go_on_from_those_before_start_anew(self) -> None:
        assert latency(usual(100), usual(50), usual(60)).numbers["counter_resets"] == 1

    def test_what_was_there_at_the_first_look_does_not_count(self) -> None:
        slow, good = usual(200, slower=3), usual(500)
        judgement = latency(usual(10_000), slow, Samples((*slow.seconds, *good.seconds)))
        assert (judgement.verdict, judgement.numbers["requests"]) == (Verdict.PASSED, 500)
