"""Rank tests of two samples of log latencies, one-sided, and the shift between them. The tests are SciPy's.

Mann–Whitney (1947, Ann. Math. Stat. 18:50), normal approximation with ties and continuity; its inversion gives the interval of the
shift, whose centre is Hodges and Lehmann's (1963, Ann. Math. Stat. 34:598; Bauer 1972, JASA 67:687); the effect size is the probability
that a current request is slower than one of the baseline, ties counted half (Vargha, Delaney 2000, J. Educ. Behav. Stat. 25:101).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy.stats import mannwhitneyu

from rollbackhub.verification.judge.spread import ABOVE_ALL, DIGITS, Logs

STEPS = 24


def p_below(current: Logs, baseline: Logs, *, shift: float) -> float:
    """p value of "current lies at least `shift` above the baseline" against "less"."""
    return _p(current, baseline, shift, "less")


def p_above(current: Logs, baseline: Logs, *, shift: float = 0.0) -> float:
    """p value of "current lies at most `shift` above the baseline" against "more"."""
    return _p(current, baseline, shift, "greater")


def probability_slower(current: Logs, baseline: Logs) -> float:
    """Vargha and Delaney's A: 0.5 is no difference, 1 means that each current request is slower than any of the baseline."""
    return float(mannwhitneyu(current, baseline, method="asymptotic").statistic) / (len(current) * len(baseline))


def shift_at_most(current: Logs, baseline: Logs, *, alpha: float) -> float:
    """Upper bound of the shift with error `alpha`; infinite when the samples are too small for one."""
    low, high = _range(current, baseline)
    if p_below(current, baseline, shift=high) > alpha:
        return math.inf
    found = _first(lambda shift: p_below(current, baseline, shift=shift) <= alpha, low, high)
    return found if found < ABOVE_ALL / 2 else math.inf


def shift_at_least(current: Logs, baseline: Logs, *, alpha: float) -> float:
    """Lower bound of the shift with error `alpha`; minus infinite when the samples are too small for one."""
    low, high = _range(current, baseline)
    if p_above(current, baseline, shift=low) > alpha:
        return -math.inf
    found = _first(lambda shift: p_above(current, baseline, shift=shift) > alpha, low, high)
    return found if found > -ABOVE_ALL / 2 else -math.inf


def hodges_lehmann(current: Logs, baseline: Logs) -> float:
    """The median of all differences between a current and a baseline value. Both are rising."""
    half = len(current) * len(baseline) / 2
    low, high = _range(current, baseline)
    return _first(lambda shift: float(np.searchsorted(baseline, current - shift, side="left").sum()) <= half, low, high)


def _p(current: Logs, baseline: Logs, shift: float, alternative: str) -> float:
    shifted = np.round(baseline + shift, DIGITS)
    if current[0] == current[-1] == shifted[0] == shifted[-1]:
        return 1.0  # all equal: no ranks, nothing shown
    return float(mannwhitneyu(current, shifted, alternative=alternative, method="asymptotic").pvalue)


def _range(current: Logs, baseline: Logs) -> tuple[float, float]:
    return float(current[0] - baseline[-1] - 1), float(current[-1] - baseline[0] + 1)


def _first(holds: Callable[[float], bool], low: float, high: float) -> float:
    """The least shift from which on `holds`, by halving, rounded up."""
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high
