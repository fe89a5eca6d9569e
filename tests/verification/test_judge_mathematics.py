"""The numbers, against other ways to get them: enumeration, brute force, formulas by hand, and the other library."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binom
from statsmodels.stats.nonparametric import rank_compare_2indep

from rollbackhub.verification.judge import Counts
from rollbackhub.verification.judge import rate_tests as tests_of_rates
from rollbackhub.verification.judge.ranks import hodges_lehmann, p_above, p_below, probability_slower, shift_at_least, shift_at_most


def _sorted(random: np.random.Generator, size: int, shift: float = 0.0) -> np.ndarray:
    return np.sort(np.round(random.normal(shift, 0.5, size), 9))


def test_the_ratio_test_is_the_binomial_one_of_przyborowski_and_wilenski() -> None:
    """By hand: of 30 events, the 12 current ones are binomial with share r n / (r n + m)."""
    current, base = Counts(12, 1000), Counts(18, 2000)
    share = 1.25 * 1000 / (1.25 * 1000 + 2000)
    by_hand = sum(math.comb(30, k) * share**k * (1 - share) ** (30 - k) for k in range(13))
    assert tests_of_rates.p_ratio_below(current, base, ratio=1.25) == pytest.approx(by_hand)
    assert tests_of_rates.p_ratio_above(current, base, ratio=1.25) == pytest.approx(1 - by_hand + math.comb(30, 12) * share**12 * (1 - share) ** 18)


@pytest.mark.parametrize(("events", "base_events"), [(0, 5), (5, 0), (12, 18), (400, 900)])
def test_the_bounds_of_a_ratio_are_where_its_test_turns(events: int, base_events: int) -> None:
    current, base = Counts(events, 1000), Counts(base_events, 2000)
    low, high = tests_of_rates.ratio_bounds(current, base, below=0.01, above=0.005)
    if events:
        assert tests_of_rates.p_ratio_above(current, base, ratio=low) == pytest.approx(0.01)
    else:
        assert low == 0
    if base_events:
        assert tests_of_rates.p_ratio_below(current, base, ratio=high) == pytest.approx(0.005)
    else:
        assert high == math.inf


def test_the_bound_of_a_difference_is_where_its_test_turns() -> None:
    current, base = Counts(12, 1000), Counts(18, 2000)
    bound = tests_of_rates.difference_above(current, base, alpha=0.005)
    assert tests_of_rates.p_difference_below(current, base, points=bound) == pytest.approx(0.005, rel=1e-4)
    assert tests_of_rates.difference_above(Counts(99, 99), Counts(0, 99), alpha=0.005) == 1.0


def test_the_harmless_bound_is_where_its_test_turns() -> None:
    bound = tests_of_rates.rate_above(Counts(3, 1000), alpha=0.005)
    assert tests_of_rates.p_rate_below(Counts(3, 1000), rate=bound) == pytest.approx(0.005)
    assert tests_of_rates.rate_above(Counts(0, 1000), alpha=0.005) == pytest.approx(1 - 0.005 ** (1 / 1000))


@pytest.mark.parametrize(
    ("requests", "base_requests", "rate", "points"),
    [
        (5_000, 1_000, 0.005, 0.005),
        (3_000, 300, 0.01, 0.02),
        (1_000, 1_000, 0.1, 0.02),
        (300, 1_000, 0.05, 0.05),
        (600, 10_000, 0.005, 0.01),
        (100, 100, 0.33, 0.2),
        (300, 300, 0.2, 0.2),
    ],
)
@pytest.mark.parametrize("alpha", [0.004, 0.0004])
def test_the_difference_test_errs_no_more_often_than_stated(requests: int, base_requests: int, rate: float, points: float, alpha: float) -> None:
    """By enumeration of all pairs of counts, at the margin. Farrington–Manning alone would err up to 3.5 times as often in the first two."""
    size = 0.0
    for base_events in range(int(binom.ppf(1e-6, base_requests, rate)), int(binom.ppf(1 - 1e-6, base_requests, rate)) + 1):
        passes, fails = -1, requests
        while fails - passes > 1:
            middle = (passes + fails) // 2
            p = tests_of_rates.p_difference_below(Counts(middle, requests), Counts(base_events, base_requests), points=points)
            passes, fails = (middle, fails) if p <= alpha else (passes, middle)
        if passes >= 0:
            size += float(binom.pmf(base_events, base_requests, rate) * binom.cdf(passes, requests, rate + points))
    assert size <= alpha


def test_the_difference_test_shows_nothing_where_it_is_not_to_be_trusted() -> None:
    assert tests_of_rates.p_difference_below(Counts(0, 99), Counts(0, 1000), points=0.2) == 1.0
    assert tests_of_rates.p_difference_below(Counts(0, 1000), Counts(0, 99), points=0.2) == 1.0
    assert tests_of_rates.p_difference_below(Counts(0, 1000), Counts(501, 1000), points=0.2) == 1.0
    assert tests_of_rates.p_difference_below(Counts(0, 100), Counts(0, 1000), points=0.2) < 1e-6


def test_the_difference_test_takes_windows_of_any_size() -> None:
    for size in (10**6, 10**9, 10**12):
        current, base = Counts(size // 50, size), Counts(size // 50, size)
        assert tests_of_rates.p_difference_below(current, base, points=0.01) < 1e-9
        assert tests_of_rates.p_difference_below(Counts(size // 25, size), base, points=0.01) > 0.99


def test_the_rank_tests_agree_with_statsmodels() -> None:
    random = np.random.default_rng(6)
    current, base = _sorted(random, 300, 0.1), _sorted(random, 700)
    other = rank_compare_2indep(current, base)
    assert probability_slower(current, base) == pytest.approx(other.prob1)
    assert p_above(current, base) == pytest.approx(other.test_prob_superior(0.5, alternative="larger").pvalue, abs=0.002)


def test_hodges_lehmann_is_the_median_of_all_differences() -> None:
    random = np.random.default_rng(7)
    current, base = _sorted(random, 80, 0.3), _sorted(random, 120)
    differences = np.subtract.outer(current, base).ravel()
    assert hodges_lehmann(current, base) == pytest.approx(np.median(differences), abs=1e-4)


def test_the_bounds_of_a_shift_are_where_its_test_turns() -> None:
    random = np.random.default_rng(8)
    current, base = _sorted(random, 200, 0.3), _sorted(random, 500)
    high, low = shift_at_most(current, base, alpha=0.005), shift_at_least(current, base, alpha=0.01)
    assert low < hodges_lehmann(current, base) < high
    assert p_below(current, base, shift=high) <= 0.005 < p_below(current, base, shift=high - 0.001)
    assert p_above(current, base, shift=low) >= 0.01 > p_above(current, base, shift=low - 0.001)


def test_samples_that_are_too_small_have_no_bounds() -> None:
    current, base = np.array([0.1, 0.2]), np.array([0.0, 0.3])
    assert shift_at_most(current, base, alpha=0.001) == math.inf
    assert shift_at_least(current, base, alpha=0.001) == -math.inf
