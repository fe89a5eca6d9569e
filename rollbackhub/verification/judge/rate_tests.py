"""Exact and score tests of one and two rates, one-sided. The mathematics is statsmodels' and SciPy's; here it gets its hypotheses and its limits."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy.optimize import brentq
from scipy.stats import beta
from statsmodels.stats.proportion import binom_test, proportion_confint, test_proportions_2indep
from statsmodels.stats.rates import test_poisson_2indep

from rollbackhub.verification.judge.evidence import Counts

LARGEST = 1_000_000
"""The score test's cubic loses its digits beyond: larger windows are reduced to this in proportion, which costs no power worth naming."""

EXCESS = 1.25
LEAST_WINDOW = 100
"""See `p_difference_below`."""


def p_ratio_below(current: Counts, baseline: Counts, *, ratio: float) -> float:
    """p value of "the current rate is at least `ratio` times the baseline's" against "it is less".

    Exact conditional test of two Poisson rates: given their sum, the current events are binomial (Przyborowski, Wilenski 1940, Biometrika 31:313;
    Gu, Ng, Tang, Schucany 2008, Biom. J. 50:283). Requests with one event at most vary less than a Poisson count, so it errs on the safe side.
    """
    return _poisson(current, baseline, ratio, "smaller")


def p_ratio_above(current: Counts, baseline: Counts, *, ratio: float) -> float:
    """p value of "the current rate is at most `ratio` times the baseline's" against "it is more". The same test."""
    return _poisson(current, baseline, ratio, "larger")


def ratio_bounds(current: Counts, baseline: Counts, *, below: float, above: float) -> tuple[float, float]:
    """Lower and upper bound of the ratio of the rates; the truth lies below with at most `below`, above with at most `above` (shares of 1).

    The same exact test turned round: Clopper–Pearson bounds of the share of events that are current. The upper one may be infinite.
    """
    events, exposures = current.events + baseline.events, baseline.requests / current.requests
    low = float(beta.ppf(below, current.events, baseline.events + 1)) if current.events else 0.0
    high = float(beta.isf(above, current.events + 1, baseline.events)) if baseline.events else 1.0
    assert events or (low, high) == (0.0, 1.0)
    return low / (1 - low) * exposures, high / (1 - high) * exposures if high < 1 else math.inf


def p_difference_below(current: Counts, baseline: Counts, *, points: float) -> float:
    """p value of "the current rate is at least `points` above the baseline's" against "it is less".

    Farrington–Manning score test (1990, Stat. Med. 9:1447), with Miettinen and Nurminen's correction (1985, Stat. Med. 4:213). It is an approximation;
    enumeration of all counts showed where it may be used: from 100 requests in either window, with a baseline's rate up to 50 % and a margin up to 20
    points (elsewhere nothing is shown: 1). There it rejects up to 1.24 times as often as stated, which `EXCESS` pays for, but up to
    four times as often when the current window is larger than the baseline: a larger one is reduced in proportion to the baseline's size.
    """
    if min(current.requests, baseline.requests) < LEAST_WINDOW or baseline.rate > 0.5:
        return 1.0
    events, requests = _reduced(current, min(baseline.requests, LARGEST), math.ceil)
    base_events, base_requests = _reduced(baseline, LARGEST, math.floor)
    with np.errstate(divide="ignore", invalid="ignore"):  # it also computes ratios of rates, which may be 0/0 and are not used
        result = test_proportions_2indep(events, requests, base_events, base_requests, value=points, compare="diff", method="score", alternative="smaller")
    return 1.0 if math.isnan(result.pvalue) else min(1.0, EXCESS * float(result.pvalue))  # NaN: both rates at their limit, nothing is shown


def difference_above(current: Counts, baseline: Counts, *, alpha: float) -> float:
    """Upper bound of the difference of the rates, with error `alpha`: the same test turned round."""

    def excess(points: float) -> float:
        return p_difference_below(current, baseline, points=points) - alpha

    nearly_one = 1 - 1e-9
    begin = max(current.rate - baseline.rate, 0.0) + 1e-9
    if begin >= nearly_one or excess(nearly_one) > 0:
        return 1.0
    return begin if excess(begin) <= 0 else float(brentq(excess, begin, nearly_one, xtol=1e-9))


def p_rate_below(current: Counts, *, rate: float) -> float:
    """p value of "the rate is at least `rate`" against "it is less": the exact binomial test (Clopper, Pearson 1934, Biometrika 26:404)."""
    return float(binom_test(current.events, current.requests, rate, alternative="smaller"))


def p_rate_above(current: Counts, *, rate: float) -> float:
    """p value of "the rate is at most `rate`" against "it is more". The same test."""
    return float(binom_test(current.events, current.requests, rate, alternative="larger"))


def rate_above(current: Counts, *, alpha: float) -> float:
    """Clopper–Pearson upper bound of a rate, with error `alpha`."""
    return float(proportion_confint(current.events, current.requests, alpha=2 * alpha, method="beta")[1])


def _poisson(current: Counts, baseline: Counts, ratio: float, alternative: str) -> float:
    if not current.events + baseline.events:
        return 1.0  # nothing on either side says nothing about a ratio
    with np.errstate(divide="ignore", invalid="ignore"):  # it also computes the ratio itself, which may be n/0 and is not used
        result = test_poisson_2indep(
            current.events,
            current.requests,
            baseline.events,
            baseline.requests,
            value=ratio,
            method="exact-cond",
            compare="ratio",
            alternative=alternative,
        )
    return float(result.pvalue)


def _reduced(counts: Counts, largest: int, rounding: Callable[[float], int]) -> tuple[float, float]:
    if counts.requests <= largest:
        return float(counts.events), float(counts.requests)
    return float(rounding(counts.events * largest / counts.requests)), float(largest)
