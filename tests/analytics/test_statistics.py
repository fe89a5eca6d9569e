"""Intervals and medians, against published and independently computed values."""

from __future__ import annotations

import math
import random

import pytest
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from rollbackhub.analytics.domain.statistics import geometric_mean, kaplan_meier, wilson


@pytest.mark.parametrize(("hits", "n"), [(0, 1), (1, 1), (0, 20), (3, 20), (20, 20), (214, 1000)])
def test_wilson_is_that_of_statsmodels(hits: int, n: int) -> None:
    found = wilson(hits, n)
    assert (found.low, found.high) == pytest.approx(proportion_confint(hits, n, method="wilson"), abs=1e-9)
    assert found.value == hits / n


@pytest.mark.parametrize(("hits", "n"), [(0, 0), (2, 1), (-1, 4)])
def test_wilson_of_what_is_no_share_is_an_error(hits: int, n: int) -> None:
    with pytest.raises(ValueError, match="is no share"):
        wilson(hits, n)


def test_geometric_mean_has_students_interval_on_the_logarithms() -> None:
    chance = random.Random(3)
    ratios = [math.exp(chance.gauss(0.3, 0.5)) for _ in range(17)]
    logs = [math.log(ratio) for ratio in ratios]
    low, high = stats.t.interval(0.95, 16, loc=sum(logs) / 17, scale=stats.sem(logs))
    found = geometric_mean(ratios)
    assert (found.low, found.high) == pytest.approx((math.exp(low), math.exp(high)))
    assert found.value == pytest.approx(stats.gmean(ratios))


def test_geometric_mean_of_one_ratio_has_no_interval() -> None:
    with pytest.raises(ValueError, match="two ratios"):
        geometric_mean([2.0])


def test_kaplan_meier_of_freireichs_leukaemia_trial() -> None:
    """6-mercaptopurine: the textbook's example. Weeks; the median of remission is 23."""
    over = [6, 6, 6, 7, 10, 13, 16, 22, 23]
    still = [6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35]
    found = kaplan_meier(over, still)
    assert found.median == 23
    assert (found.n, found.censored) == (21, 12)
    surviving = {seconds: round(1 - done, 3) for seconds, done in found.steps}
    assert surviving == {0: 1, 6: 0.857, 7: 0.807, 10: 0.753, 13: 0.69, 16: 0.627, 22: 0.538, 23: 0.448}


def test_kaplan_meier_with_more_than_half_open_has_no_median() -> None:
    found = kaplan_meier([10.0], [20.0, 30.0])
    assert found.median is None
    assert kaplan_meier([10.0, 20.0], []).median == 10.0
