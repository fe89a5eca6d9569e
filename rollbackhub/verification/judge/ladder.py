"""What looking costs: at which looks a verdict may change, and how much of the error rates each of them spends.

Checks are repeated until they pass; with the full error rate at each look they would pass at last whatever the truth
(Armitage, McPherson, Rowe 1969, J. R. Stat. Soc. A 132:235). So an error rate is spent over the looks (Lan, DeMets 1983, Biometrika 70:659),
here over looks that are a doubling of the requests apart (the idea of stitching: Howard, Ramdas, McAuliffe, Sekhon 2021, Ann. Stat. 49:1055):
the k-th paid look spends alpha / (k (k + 1)). These add up to alpha, so that by the union bound all looks together err with at most alpha,
however the looks depend on each other and however many there are. When a look is paid depends on numbers of requests and on the margins alone,
never on what was counted, so that it cannot be chosen by the result.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rollbackhub.common.errors import InvalidInput
from rollbackhub.verification.judge.looks import Grown

FIRST_EXPOSURE = 10
"""No look with fewer requests is paid."""

FIRST_ATTEMPT = 0.75
"""The share of the error rates that the first attempt may spend; each further attempt has this share of what is left."""


@dataclass(frozen=True, slots=True)
class ErrorRates:
    """How often the judge may err over all looks and attempts together: `passing` wrongly, and `failing` wrongly. Shares of 1."""

    passing: float = 0.01
    failing: float = 0.025

    def __post_init__(self) -> None:
        for rate in (self.passing, self.failing):
            if not 0 < rate < 0.5:
                raise InvalidInput(f"An error rate of {rate}: it lies between 0 and 0.5.")

    def of_attempt(self, attempt: int) -> ErrorRates:
        """What one attempt may spend: 3/4, 3/16, 3/64, … of all. Raises `InvalidInput` for an attempt below 1."""
        if attempt < 1:
            raise InvalidInput(f"Attempt {attempt}: attempts are numbered from 1.")
        share = FIRST_ATTEMPT * (1 - FIRST_ATTEMPT) ** (attempt - 1)
        return ErrorRates(self.passing * share, self.failing * share)


ERROR_RATES = ErrorRates()
"""1 % false passes, 2.5 % false fails."""


@dataclass(frozen=True, slots=True)
class Payment:
    """A paid look: how many were paid until now, this one included, and what it may spend. It may not pass when `to_pass` is 0."""

    look: Grown
    passes_paid: int
    fails_paid: int
    to_pass: float
    to_fail: float


def spend(alpha: float, *, paid: int) -> float:
    """What the `paid`-th paid look spends of `alpha`."""
    return alpha / (paid * (paid + 1))


def rung(exposure: int, *, pass_from: int) -> int:
    """How many doublings `exposure` lies above `pass_from` (below: negative)."""
    if exposure >= pass_from:
        return (exposure // pass_from).bit_length() - 1
    return -((pass_from - 1) // exposure).bit_length()


def rung_begin(number: int, *, pass_from: int) -> int:
    """The smallest exposure on that rung."""
    return pass_from << number if number >= 0 else -(-pass_from >> -number)


def pay(grown: Sequence[Grown], *, pass_from: int, rates: ErrorRates) -> list[Payment]:
    """The looks that are paid: the first on each rung, from `FIRST_EXPOSURE` requests on, to fail; from `pass_from` requests on also to pass.

    After a reset the ladder is climbed again; what was paid before stays paid.
    """
    payments: list[Payment] = []
    passes, fails = 0, 0
    highest: tuple[int, int] | None = None
    for look in grown:
        exposure = look.evidence.exposure
        if exposure < FIRST_EXPOSURE:
            continue
        here = (look.run, rung(exposure, pass_from=pass_from))
        if highest is not None and here <= highest:
            continue
        highest = here
        fails += 1
        may_pass = here[1] >= 0
        passes += may_pass
        to_pass = spend(rates.passing, paid=passes) if may_pass else 0.0
        payments.append(Payment(look, passes, fails, to_pass, spend(rates.failing, paid=fails)))
    return payments


def coming(payments: Sequence[Payment], *, run: int, pass_from: int, rates: ErrorRates, rungs: int = 26) -> list[tuple[int, float, float]]:
    """The paid looks to come, if looks are frequent: the exposure of each, and what it may spend to pass and to fail."""
    last = payments[-1] if payments else None
    passes, fails = (last.passes_paid, last.fails_paid) if last else (0, 0)
    here = rung(FIRST_EXPOSURE, pass_from=pass_from) - 1
    if last and last.look.run == run:
        here = rung(last.look.evidence.exposure, pass_from=pass_from)
    to_come = []
    for number in range(here + 1, here + 1 + rungs):
        fails += 1
        passes += number >= 0
        to_pass = spend(rates.passing, paid=passes) if number >= 0 else 0.0
        to_come.append((max(rung_begin(number, pass_from=pass_from), FIRST_EXPOSURE), to_pass, spend(rates.failing, paid=fails)))
    return to_come


def requests_for_none(rate: float, *, alpha: float) -> int:
    """How many requests without any event show with error `alpha` that fewer than `rate` of requests have one: (1 - rate)^n ≤ alpha."""
    return math.ceil(math.log(alpha) / math.log1p(-rate))
