"""Intervals and medians that analytics quote. Pure. Sources: Wilson, JASA 22 (1927); Kaplan, Meier, JASA 53 (1958)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

Z_95 = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float


def wilson(hits: int, n: int) -> Estimate:
    """A share of n with Wilson's score interval. Raises ValueError without a trial."""
    if not 0 <= hits <= n or not n:
        raise ValueError(f"{hits} of {n} is no share")
    share, z2 = hits / n, Z_95 * Z_95
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z_95 * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return Estimate(share, max(0.0, centre - half), min(1.0, centre + half))


def geometric_mean(ratios: Sequence[float]) -> Estimate:
    """Of ratios above 0, with the interval by Student's t on their logarithms. Raises ValueError for fewer than two."""
    # SciPy takes half a second to import: only who needs it pays.
    from scipy.special import stdtrit

    n = len(ratios)
    if n < 2:
        raise ValueError("an interval takes two ratios at least")
    logs = [math.log(ratio) for ratio in ratios]
    mean = math.fsum(logs) / n
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in logs) / (n - 1))
    half = float(stdtrit(n - 1, 0.975)) * deviation / math.sqrt(n)
    return Estimate(math.exp(mean), math.exp(mean - half), math.exp(mean + half))


@dataclass(frozen=True, slots=True)
class Survival:
    """A Kaplan–Meier curve: after so many seconds this share is over. `median` is None while less than half is known to be over."""

    steps: Sequence[tuple[float, float]]
    median: float | None
    n: int
    censored: int


def kaplan_meier(over: Sequence[float], still_open: Sequence[float]) -> Survival:
    """How long things last: seconds of those that are over, and the age in seconds of those that are not (they last longer than that)."""
    events = sorted([(seconds, True) for seconds in over] + [(seconds, False) for seconds in still_open], key=lambda event: (event[0], not event[1]))
    at_risk, surviving, median = len(events), 1.0, None
    steps: list[tuple[float, float]] = [(0.0, 0.0)]
    for seconds, is_over in events:
        if is_over:
            surviving *= 1 - 1 / at_risk
            if steps[-1][0] == seconds:
                steps[-1] = (seconds, 1 - surviving)
            else:
                steps.append((seconds, 1 - surviving))
            if median is None and surviving <= 0.5 + 1e-12:
                median = seconds
        at_risk -= 1
    return Survival(steps, median, len(events), len(still_open))
