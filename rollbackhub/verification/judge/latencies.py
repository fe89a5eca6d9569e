"""Is latency back at its baseline? Whole distributions, not means: non-inferiority by ranks against a stated ratio, at paid looks."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from rollbackhub.common.verdict import Verdict
from rollbackhub.verification.judge.evidence import Baseline, Counts, Histogram, InvalidEvidence, Look
from rollbackhub.verification.judge.judgement import Course, Judgement, PaidLook, joined
from rollbackhub.verification.judge.ladder import ERROR_RATES, ErrorRates, Payment, pay
from rollbackhub.verification.judge.latency_question import LEAST_BASELINE, PASS_FROM, LatencyMargin, LatencyQuestion
from rollbackhub.verification.judge.latency_words import describe
from rollbackhub.verification.judge.looks import count_looks

METHOD = (
    "Non-inferiority of a latency, at paid looks: Mann–Whitney against the baseline times the margin, Hodges–Lehmann shift of logarithms with its"
    " interval, probability of being slower (Vargha–Delaney A). Error rates spent over doublings of the requests, alpha / (k (k + 1))."
)
SOURCE = (
    "Mann, Whitney 1947, Ann. Math. Stat. 18:50; Hodges, Lehmann 1963, Ann. Math. Stat. 34:598; Bauer 1972, JASA 67:687;"
    " Vargha, Delaney 2000, J. Educ. Behav. Stat. 25:101; Noether 1987, JASA 82:645; Lan, DeMets 1983, Biometrika 70:659;"
    " Howard, Ramdas, McAuliffe, Sekhon 2021, Ann. Stat. 49:1055."
)
MARGIN = LatencyMargin()
"""At most 1.25 times as slow; a difference counts as one from A 0.56 on."""


def judge_latency(
    *,
    what: str = "latency",
    baseline: Baseline | None,
    looks: Sequence[Look],
    drained_at: dt.datetime,
    margin: LatencyMargin = MARGIN,
    error_rates: ErrorRates = ERROR_RATES,
    attempt: int = 1,
) -> Judgement:
    """Judge `what` from histograms or samples read since `drained_at`. A pure function of what is given, whatever the looks' order.

    PASSED when the upper bound of the shift lies within the margin, FAILED when current requests are shown to be slower, by an effect that counts, and
    not shown to be within the margin, else INCONCLUSIVE. Being faster never fails. Verdicts change at paid looks alone (`ladder`).
    Raises `InvalidEvidence` for what no source can have counted, `InvalidInput` for a wrong margin or attempt.
    """
    course, question = climb_latency(what=what, baseline=baseline, looks=looks, drained_at=drained_at, margin=margin, error_rates=error_rates, attempt=attempt)
    paid = tuple(pay_latency(question, payment) for payment in course.payments) if question else ()

    def judgement(verdict: Verdict, sentence: str, numbers: Mapping[str, Any]) -> Judgement:
        return Judgement(verdict, joined(sentence, notes=course.counted.notes), course.numbers() | dict(numbers), METHOD, SOURCE, paid)

    if question is None:
        missing = "There is no baseline" if baseline is None else f"The baseline has {baseline.evidence.exposure:,} timed requests, {LEAST_BASELINE} are needed"
        return judgement(Verdict.INCONCLUSIVE, f"{missing}, so {what} cannot be shown to be back at it.", {})
    not_yet = course.why_not_yet()
    if not_yet or course.last is None:
        return judgement(Verdict.INCONCLUSIVE, f"{what.capitalize()}: {not_yet}", {})
    sentence, numbers = describe(what, course=course, question=question, paid=paid[-1])
    return judgement(paid[-1].verdict, sentence, numbers)


def climb_latency(
    *,
    what: str = "latency",
    baseline: Baseline | None,
    looks: Sequence[Look],
    drained_at: dt.datetime,
    margin: LatencyMargin = MARGIN,
    error_rates: ErrorRates = ERROR_RATES,
    attempt: int = 1,
) -> tuple[Course, LatencyQuestion | None]:
    """Which looks are paid, and what is asked at them (None without a baseline), without asking it yet. Raises as `judge_latency` does."""
    counted = count_looks(looks, drained_at=drained_at)
    rates = error_rates.of_attempt(attempt)
    evidence = [look.evidence for look in counted.grown]
    base = baseline.evidence if baseline else None
    kinds = {type(one) for one in [*evidence, base] if one is not None}
    if Counts in kinds or len(kinds) > 1:
        raise InvalidEvidence(f"A latency is judged from histograms, or from samples, baseline and looks alike ({what}).")
    if len({one.bounds for one in [*evidence, base] if isinstance(one, Histogram)}) > 1:
        raise InvalidEvidence(f"Baseline and looks have different buckets ({what}): take a baseline with the same bounds.")
    question = None if base is None or isinstance(base, Counts) or base.exposure < LEAST_BASELINE else LatencyQuestion(base, margin)
    payments = pay(counted.grown, pass_from=PASS_FROM, rates=rates)
    return Course(baseline, counted, rates, PASS_FROM, tuple(payments), attempt), question


def pay_latency(question: LatencyQuestion, payment: Payment) -> PaidLook:
    """What a paid look says."""
    look, current = payment.look, payment.look.evidence
    assert not isinstance(current, Counts)
    verdict, p_within, p_worse = question.verdict(current, to_pass=payment.to_pass, to_fail=payment.to_fail)
    return PaidLook(look.at_source, look.run, current.exposure, payment.to_pass, payment.to_fail, p_within, p_worse, verdict)
