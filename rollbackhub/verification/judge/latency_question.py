"""What is asked of a latency: which margin, by which ranks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rollbackhub.common.errors import InvalidInput
from rollbackhub.common.verdict import Verdict
from rollbackhub.verification.judge.evidence import Histogram, Latencies, Samples
from rollbackhub.verification.judge.rate_question import MOST_RATIO

if TYPE_CHECKING:
    from rollbackhub.verification.judge.spread import Logs

PASS_FROM = 30
"""From how many timed requests on a look may pass: about what a margin of 25 % takes at the usual spread of latencies."""

LEAST_BASELINE = 30
"""With fewer the normal approximation of the rank test is not to be trusted."""

COARSEST = 0.8
"""With more than this share of the baseline in one bucket that is wider than the margin the histogram cannot show it."""


@dataclass(frozen=True, slots=True)
class LatencyMargin:
    """How much slower still counts as back: `margin_ratio` 0.25 is 1.25 times the baseline's latency, at every quantile.

    `effect_threshold`: a slowness counts as one when a current request is slower than one of the baseline with at least this probability
    (Vargha–Delaney A; 0.56 is their "small", 0.64 medium, 0.71 large).
    """

    margin_ratio: float = 0.25
    effect_threshold: float = 0.56

    def __post_init__(self) -> None:
        if not 0 < self.margin_ratio <= MOST_RATIO:
            raise InvalidInput(f"margin_ratio {self.margin_ratio}: it lies above 0 and is at most {MOST_RATIO:g}.")
        if not 0.5 <= self.effect_threshold < 1:
            raise InvalidInput(f"effect_threshold {self.effect_threshold}: it lies from 0.5 to below 1.")


@dataclass(frozen=True, slots=True)
class LatencyQuestion:
    """Baseline and margin."""

    baseline: Latencies
    margin: LatencyMargin

    @property
    def shift(self) -> float:
        """The margin on the logarithm."""
        return math.log1p(self.margin.margin_ratio)

    @property
    def too_coarse(self) -> bool:
        """Whether the baseline's buckets are too wide to show the margin."""
        from rollbackhub.verification.judge import spread

        return isinstance(self.baseline, Histogram) and spread.widest_share(self.baseline, ratio=1 + self.margin.margin_ratio) > COARSEST

    def logs(self, current: Latencies) -> list[tuple[Logs, Logs]]:
        """Current and baseline as logarithms of seconds: once for samples, in two ways for histograms."""
        from rollbackhub.verification.judge import spread

        if isinstance(current, Samples) and isinstance(self.baseline, Samples):
            return [(spread.logs_of_samples(current), spread.logs_of_samples(self.baseline))]
        assert isinstance(current, Histogram)
        assert isinstance(self.baseline, Histogram)
        return [(spread.spread(current, curved=c, current=True), spread.spread(self.baseline, curved=c, current=False)) for c in (True, False)]

    def known(self, current: Latencies) -> tuple[Logs, Logs]:
        """Current and baseline as they are known: samples, or buckets with their ties."""
        from rollbackhub.verification.judge import spread

        if isinstance(current, Histogram) and isinstance(self.baseline, Histogram):
            return spread.bucket_numbers(current), spread.bucket_numbers(self.baseline)
        return self.logs(current)[0]

    def p_within(self, current: Latencies) -> float:
        """p value of "slower than the margin allows"."""
        from rollbackhub.verification.judge import ranks

        if self.too_coarse:
            return 1.0
        pairs = self.logs(current)
        shift = self.shift - self.disagreement(pairs)
        return max(ranks.p_below(now, then, shift=shift) for now, then in pairs)

    @staticmethod
    def disagreement(pairs: Sequence[tuple[Logs, Logs]]) -> float:
        """By how much the ways to spread a histogram differ about the shift: the margin shrinks by it. 0 for samples."""
        from rollbackhub.verification.judge import ranks

        shifts = [ranks.hodges_lehmann(now, then) for now, then in pairs] if len(pairs) > 1 else [0.0]
        return max(shifts) - min(shifts)

    def p_worse(self, current: Latencies) -> float:
        """p value of "no slower than the baseline"; 1 when the effect is below what counts."""
        from rollbackhub.verification.judge import ranks

        known = self.known(current)
        return ranks.p_above(*known) if ranks.probability_slower(*known) >= self.margin.effect_threshold else 1.0

    def verdict(self, current: Latencies, *, to_pass: float, to_fail: float) -> tuple[Verdict, float, float]:
        """The verdict at a paid look, with both p values."""
        p_within, p_worse = self.p_within(current), self.p_worse(current)
        if p_within <= to_pass:
            return Verdict.PASSED, p_within, p_worse
        return Verdict.FAILED if p_worse <= to_fail else Verdict.INCONCLUSIVE, p_within, p_worse
