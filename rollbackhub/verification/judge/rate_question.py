"""What is asked of a rate: which margins, by which tests, at which error rates."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import NormalDist

from rollbackhub.common.errors import InvalidInput
from rollbackhub.common.verdict import Verdict
from rollbackhub.verification.judge.evidence import Counts
from rollbackhub.verification.judge.ladder import FIRST_EXPOSURE, ErrorRates, requests_for_none, spend

DENSE_RATE = 0.1
"""A ratio is looked at to pass from where it could be shown at this rate: rarer events need more requests. It shifts looks, not error rates."""

MOST_RATIO, MOST_POINTS, MOST_HARMLESS = 10.0, 0.2, 0.5
"""The widest margins that can be stated; wider ones would let anything pass."""


@dataclass(frozen=True, slots=True)
class RateMargin:
    """How much worse than the baseline still counts as back at it.

    `margin_ratio` 0.25: at most 25 % above the baseline's rate. `margin_points` 0.01: at most one percentage point above it. With both the larger
    tolerance counts. `harmless_below` 0.001: a rate under which harm has ceased whatever the baseline was. At least one is stated. Raises `InvalidInput`.
    """

    margin_ratio: float | None = 0.25
    margin_points: float | None = None
    harmless_below: float | None = None

    def __post_init__(self) -> None:
        stated = {"margin_ratio": self.margin_ratio, "margin_points": self.margin_points, "harmless_below": self.harmless_below}
        if all(value is None for value in stated.values()):
            raise InvalidInput("State a margin: margin_ratio, margin_points or harmless_below.")
        for name, value in stated.items():
            limit = {"margin_ratio": MOST_RATIO, "margin_points": MOST_POINTS}.get(name, MOST_HARMLESS)
            if value is not None and not 0 < value <= limit:
                raise InvalidInput(f"{name} {value}: it lies above 0 and is at most {limit:g}.")


@dataclass(frozen=True, slots=True)
class RateQuestion:
    """Baseline and margin. There may be several ways to pass; they share the error rate in equal parts (Bonferroni)."""

    baseline: Counts
    margin: RateMargin

    @property
    def ways(self) -> int:
        margin, known = self.margin, self.baseline.requests > 0
        return (margin.margin_ratio is not None and known) + (margin.margin_points is not None and known) + (margin.harmless_below is not None)

    @property
    def is_threshold(self) -> bool:
        """Whether nothing but a fixed limit was stated: then no baseline is missing."""
        return self.margin.margin_ratio is None and self.margin.margin_points is None

    def ways_within(self, current: Counts) -> Iterator[tuple[float, str]]:
        """The p value of each way to pass, and its name."""
        from rollbackhub.verification.judge import rate_tests

        margin = self.margin
        if margin.margin_ratio is not None and self.baseline.requests:
            yield rate_tests.p_ratio_below(current, self.baseline, ratio=1 + margin.margin_ratio), "ratio"
        if margin.margin_points is not None and self.baseline.requests:
            yield rate_tests.p_difference_below(current, self.baseline, points=margin.margin_points), "points"
        if margin.harmless_below is not None:
            yield rate_tests.p_rate_below(current, rate=margin.harmless_below), "harmless"

    def p_within(self, current: Counts) -> float:
        """p value of "worse than the margin allows", for all ways together."""
        return min(1.0, min(p for p, _ in self.ways_within(current)) * self.ways)

    def p_worse(self, current: Counts) -> float:
        """p value of "no worse than the baseline, or harmless"; where a fixed limit is all that is stated, of "below the limit"."""
        from rollbackhub.verification.judge import rate_tests

        if not self.baseline.requests:
            return rate_tests.p_rate_above(current, rate=self.margin.harmless_below) if self.is_threshold and self.margin.harmless_below else 1.0
        p = rate_tests.p_ratio_above(current, self.baseline, ratio=1)
        return p if self.margin.harmless_below is None else max(p, rate_tests.p_rate_above(current, rate=self.margin.harmless_below))

    def verdict(self, current: Counts, *, to_pass: float, to_fail: float) -> tuple[Verdict, float, float]:
        """The verdict at a paid look, with both p values."""
        p_within, p_worse = self.p_within(current), self.p_worse(current)
        if p_within <= to_pass:
            return Verdict.PASSED, p_within, p_worse
        return Verdict.FAILED if p_worse <= to_fail else Verdict.INCONCLUSIVE, p_within, p_worse

    def pass_from(self, rates: ErrorRates) -> int:
        """From how many requests on a look may pass: with fewer it could not, or only at rates above `DENSE_RATE`. Depends on no count of events."""
        margin, alpha = self.margin, spend(rates.passing, paid=1) / max(self.ways, 1)
        known = self.baseline.requests
        rates_stated = (margin.margin_points if known else None, margin.harmless_below)
        least = [requests_for_none(rate, alpha=alpha) for rate in rates_stated if rate is not None]
        if margin.margin_ratio is not None and known:
            # Normal approximation: the variance of the log of a ratio of counts is the sum of their reciprocals.
            z = NormalDist().inv_cdf(1 - alpha)
            variance_left = (math.log1p(margin.margin_ratio) / z) ** 2 - 1 / (DENSE_RATE * known)
            least.append(math.ceil(1 / (DENSE_RATE * variance_left)) if variance_left > 0 else known)
        return max(FIRST_EXPOSURE, min(least, default=FIRST_EXPOSURE))

    @property
    def allowed(self) -> float:
        """The highest rate that still counts as back, by the baseline's own rate."""
        margin, base = self.margin, self.baseline.rate
        return max(base * (1 + (margin.margin_ratio or 0)), base + (margin.margin_points or 0), margin.harmless_below or 0)
