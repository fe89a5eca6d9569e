"""Is a rate (negative feedback, errors) back at its baseline? Non-inferiority against a stated margin, at paid looks."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from rollbackhub.common.verdict import Verdict
from rollbackhub.verification.judge.evidence import Baseline, Counts, InvalidEvidence, Look
from rollbackhub.verification.judge.judgement import Course, Judgement, PaidLook, joined
from rollbackhub.verification.judge.ladder import ERROR_RATES, ErrorRates, Payment, pay
from rollbackhub.verification.judge.looks import count_looks
from rollbackhub.verification.judge.rate_question import RateMargin, RateQuestion
from rollbackhub.verification.judge.rate_words import describe

METHOD = (
    "Non-inferiority of a rate, at paid looks. Ratio: exact conditional test of two Poisson rates; difference: Farrington–Manning score test;"
    " harmless rate: exact binomial test. Error rates spent over doublings of the requests, alpha / (k (k + 1))."
)
SOURCE = (
    "Przyborowski, Wilenski 1940, Biometrika 31:313; Gu, Ng, Tang, Schucany 2008, Biom. J. 50:283; Farrington, Manning 1990, Stat. Med. 9:1447;"
    " Clopper, Pearson 1934, Biometrika 26:404; Lan, DeMets 1983, Biometrika 70:659; Howard, Ramdas, McAuliffe, Sekhon 2021, Ann. Stat. 49:1055."
)


MARGIN = RateMargin()
"""At most 25 % above the baseline's rate."""


def judge_rate(
    *,
    what: str,
    baseline: Baseline | None,
    looks: Sequence[Look],
    drained_at: dt.datetime,
    margin: RateMargin = MARGIN,
    error_rates: ErrorRates = ERROR_RATES,
    attempt: int = 1,
) -> Judgement:
    """Judge `what` ("negative feedback") from counters read since `drained_at`. A pure function of what is given, whatever the looks' order.

    PASSED when the one-sided interval lies within the margin, FAILED when the rate is shown to be above the baseline's and not within the margin, else
    INCONCLUSIVE, with how many more requests would do at the present rates. Verdicts change at paid looks alone (`ladder`).
    Raises `InvalidEvidence` for what no source can have counted, `InvalidInput` for a wrong margin or attempt.
    """
    course, question = climb_rate(what=what, baseline=baseline, looks=looks, drained_at=drained_at, margin=margin, error_rates=error_rates, attempt=attempt)
    paid = tuple(pay_rate(question, payment) for payment in course.payments) if question.ways else ()

    def judgement(verdict: Verdict, sentence: str, numbers: Mapping[str, Any]) -> Judgement:
        return Judgement(verdict, joined(sentence, notes=course.counted.notes), course.numbers() | dict(numbers), METHOD, SOURCE, paid)

    if not question.ways:
        missing = "There is no baseline" if baseline is None else "The baseline saw no requests"
        sentence = f"{missing}, so nothing can be shown to be back at it. State harmless_below to judge {what} without one."
        return judgement(Verdict.INCONCLUSIVE, sentence, {})
    not_yet = course.why_not_yet()
    if not_yet or course.last is None:
        return judgement(Verdict.INCONCLUSIVE, f"{what.capitalize()}: {not_yet}", {})
    sentence, numbers = describe(what, course=course, question=question, paid=paid[-1])
    return judgement(paid[-1].verdict, sentence, numbers)


def climb_rate(
    *,
    what: str,
    baseline: Baseline | None,
    looks: Sequence[Look],
    drained_at: dt.datetime,
    margin: RateMargin = MARGIN,
    error_rates: ErrorRates = ERROR_RATES,
    attempt: int = 1,
) -> tuple[Course, RateQuestion]:
    """Which looks are paid, and what is asked at them, without asking it yet. Raises as `judge_rate` does."""
    base = baseline.evidence if baseline else Counts(0, 0)
    counted = count_looks(looks, drained_at=drained_at)
    if not isinstance(base, Counts) or any(not isinstance(look.evidence, Counts) for look in counted.grown):
        raise InvalidEvidence(f"A rate is judged from counts of events and requests ({what}).")
    question, rates = RateQuestion(base, margin), error_rates.of_attempt(attempt)
    pass_from = question.pass_from(rates)
    payments = pay(counted.grown, pass_from=pass_from, rates=rates)
    return Course(baseline, counted, rates, pass_from, tuple(payments), attempt), question


def pay_rate(question: RateQuestion, payment: Payment) -> PaidLook:
    """What a paid look says."""
    look, current = payment.look, payment.look.evidence
    assert isinstance(current, Counts)
    verdict, p_within, p_worse = question.verdict(current, to_pass=payment.to_pass, to_fail=payment.to_fail)
    return PaidLook(look.at_source, look.run, current.requests, payment.to_pass, payment.to_fail, p_within, p_worse, verdict)
