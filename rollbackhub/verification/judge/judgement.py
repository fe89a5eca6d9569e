"""What the judge says, and the parts of it that are the same for rates and latencies."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from rollbackhub.common.sentences import counted as number_of
from rollbackhub.common.verdict import Verdict
from rollbackhub.verification.evidence import CheckOutcome
from rollbackhub.verification.judge.evidence import Baseline
from rollbackhub.verification.judge.ladder import FIRST_EXPOSURE, ErrorRates, Payment, coming
from rollbackhub.verification.judge.looks import CountedLooks


@dataclass(frozen=True, slots=True)
class PaidLook:
    """One paid look: when (source's clock), requests since the first look, what it spent, the p values, and the verdict from then on.

    `p_within` is of "worse than the margin allows", `p_worse` of "no worse than the baseline".
    """

    at_source: dt.datetime
    run: int
    requests: int
    to_pass: float
    to_fail: float
    p_within: float
    p_worse: float
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict, a sentence with the numbers and their units, the numbers, the method, where it comes from, and every paid look."""

    verdict: Verdict
    sentence: str
    numbers: dict[str, Any] = field(default_factory=dict)
    method: str = ""
    source: str = ""
    paid: tuple[PaidLook, ...] = ()

    def as_outcome(self, name: str) -> CheckOutcome:
        """The same as a check's outcome."""
        return CheckOutcome(name, self.verdict, self.sentence, self.numbers | {"method": self.method, "source": self.source}, paid=len(self.paid) or None)


@dataclass(frozen=True, slots=True)
class Course:
    """One verification on its way: the looks that count, the ladder it climbs, what was paid."""

    baseline: Baseline | None
    counted: CountedLooks
    rates: ErrorRates
    pass_from: int
    payments: tuple[Payment, ...]
    attempt: int

    @property
    def last(self) -> Payment | None:
        """The last paid look, unless a reset came after it."""
        last = self.payments[-1] if self.payments else None
        return last if last and last.look.run == self.counted.last_run else None

    @property
    def requests(self) -> int:
        """Requests at the last look that counts."""
        return self.counted.grown[-1].evidence.exposure if self.counted.grown else 0

    def to_come(self) -> list[tuple[int, float, float]]:
        """See `ladder.coming`."""
        return coming(self.payments, run=self.counted.last_run, pass_from=self.pass_from, rates=self.rates)

    def next_paid(self) -> int:
        """The requests at which the next look is paid."""
        return next(exposure for exposure, _, _ in self.to_come() if exposure > self.requests or not self.last)

    def why_not_yet(self) -> str | None:
        """Why there is nothing to judge yet, as the rest of a sentence; None when a look was paid."""
        if not self.counted.grown:
            return "nothing was read since the drain."
        if self.requests == 0:
            looks = len([look for look in self.counted.grown if look.run == self.counted.last_run])
            return "one look only; requests are counted from one look to the next." if looks == 1 else f"no requests in {looks:,} looks since the drain."
        if self.last is None:
            return f"{number_of(self.requests, 'request')} since the drain; judged from {FIRST_EXPOSURE:,} on."
        return None

    def numbers(self) -> dict[str, Any]:
        """What the looks were, and what was paid for them."""
        last, counted = self.payments[-1] if self.payments else None, self.counted
        return {
            "requests": self.requests,
            "requests_judged": self.last.look.evidence.exposure if self.last else 0,
            "baseline_requests": self.baseline.evidence.exposure if self.baseline else 0,
            "baseline_kind": self.baseline.kind.name.lower() if self.baseline else None,
            "attempt": self.attempt,
            "looks_paid": len(self.payments),
            "looks_paid_to_pass": last.passes_paid if last else 0,
            "alpha_pass": self.rates.passing,
            "alpha_fail": self.rates.failing,
            "alpha_pass_at_this_look": last.to_pass if last else 0.0,
            "alpha_fail_at_this_look": last.to_fail if last else 0.0,
            "passes_from_requests": self.pass_from,
            "next_paid_at_requests": self.next_paid(),
            "looks_before_drain": counted.before_drain,
            "duplicate_looks": counted.duplicates,
            "absent_looks": counted.absent,
            "counter_resets": counted.resets,
            "clock_skew_seconds": counted.skew_seconds,
        }

    def where(self) -> str:
        """Says when the last look was not a paid one."""
        if self.last is None or self.last.look.evidence.exposure == self.requests:
            return ""
        return f"Judged at {self.last.look.evidence.exposure:,} of {self.requests:,} requests; next at {self.next_paid():,}."


def share(value: float) -> str:
    """`2.50%`."""
    return f"{value:.2%}"


def confidence(alpha: float) -> str:
    """`99.6% confidence`, with as many digits as tell it from certainty."""
    digits = 1
    while round(100 * alpha, digits) < 2 * 10.0**-digits and digits < 12:
        digits += 1
    return f"{1 - alpha:.{digits}%} confidence"


def joined(*sentences: str, notes: Sequence[str] = ()) -> str:
    """The sentences that are not empty, one after the other."""
    return " ".join(sentence for sentence in (*sentences, *notes) if sentence)
