"""Looks are paid for, and together they never cost more than the error rate."""

from __future__ import annotations

import pytest

from rollbackhub.common.verdict import Verdict
from rollbackhub.verification.judge import Counts
from rollbackhub.verification.judge.ladder import ErrorRates, coming, pay, requests_for_none, rung, rung_begin, spend
from rollbackhub.verification.judge.looks import count_looks
from tests.verification.judging import NOON, counts, rate


def test_all_looks_of_all_attempts_together_spend_no_more_than_the_error_rate() -> None:
    rates = ErrorRates(passing=0.01, failing=0.025)
    spent = sum(spend(rates.of_attempt(attempt).passing, paid=paid) for attempt in range(1, 30) for paid in range(1, 2000))
    assert 0.0099 < spent <= 0.01


def test_a_further_attempt_has_less_to_spend_and_may_not_pass_what_the_first_does() -> None:
    looks = counts((0, 0), (215, 2100))
    first, second = rate(looks), rate(looks, attempt=2)
    assert (first.numbers["alpha_pass"], second.numbers["alpha_pass"]) == pytest.approx((0.0075, 0.0075 / 4))
    assert (first.verdict, second.verdict) == (Verdict.INCONCLUSIVE, Verdict.INCONCLUSIVE)
    looks = counts((0, 0), (196, 2000))
    assert (rate(looks).verdict, rate(looks, attempt=2).verdict) == (Verdict.PASSED, Verdict.INCONCLUSIVE)


@pytest.mark.parametrize(("exposure", "number"), [(1677, 0), (3353, 0), (3354, 1), (6708, 2), (1676, -1), (839, -1), (838, -2), (419, -3), (10, -8)])
def test_a_rung_is_a_doubling(exposure: int, number: int) -> None:
    assert rung(exposure, pass_from=1677) == number


@pytest.mark.parametrize("pass_from", [10, 30, 1677, 4096])
def test_a_rung_begins_where_it_says(pass_from: int) -> None:
    for exposure in range(10, 20_000, 7):
        number = rung(exposure, pass_from=pass_from)
        assert rung_begin(number, pass_from=pass_from) <= exposure < rung_begin(number + 1, pass_from=pass_from)


def test_one_look_a_doubling_is_paid_and_those_below_may_fail_only() -> None:
    looks = counts(*((0, requests) for requests in range(0, 10_001, 50)))
    payments = pay(count_looks(looks, drained_at=NOON).grown, pass_from=1000, rates=ErrorRates(0.01, 0.025))
    assert [payment.look.evidence.exposure for payment in payments] == [50, 100, 150, 250, 500, 1000, 2000, 4000, 8000]
    assert [payment.to_pass for payment in payments] == pytest.approx([0, 0, 0, 0, 0, 0.01 / 2, 0.01 / 6, 0.01 / 12, 0.01 / 20])
    assert [payment.to_fail for payment in payments] == pytest.approx([0.025 / (k * (k + 1)) for k in range(1, 10)])


def test_what_is_to_come_is_what_will_be_paid() -> None:
    rates = ErrorRates(0.01, 0.025)
    looks = count_looks(counts(*((0, requests) for requests in range(0, 4001, 1))), drained_at=NOON).grown
    early, late = looks[:301], looks
    foreseen = coming(pay(early, pass_from=1000, rates=rates), run=0, pass_from=1000, rates=rates)[:4]
    paid = [(payment.look.evidence.exposure, payment.to_pass, payment.to_fail) for payment in pay(late, pass_from=1000, rates=rates)][-4:]
    assert foreseen == paid


def test_looks_between_two_paid_ones_keep_the_verdict_of_the_last() -> None:
    """At 3,300 requests nothing is paid: neither the bad news nor the good may change the verdict."""
    passed = rate(counts((0, 0), (200, 2000), (900, 3300)))
    assert passed.verdict == Verdict.PASSED
    assert passed.sentence.endswith("(allowed 1.25 times). Judged at 2,000 of 3,300 requests; next at 3,354.")
    assert rate(counts((0, 0), (200, 2000), (900, 3354))).verdict == Verdict.FAILED
    failed = rate(counts((0, 0), (900, 2000), (900, 3300)))
    assert failed.verdict == Verdict.FAILED


def test_when_a_look_is_paid_does_not_depend_on_what_was_counted() -> None:
    for events in (0, 100, 2000):
        judgement = rate(counts((0, 0), (events // 2, 1000), (events, 2000)), (events, 10_000))
        assert [paid.requests for paid in judgement.paid] == [1000, 2000]


def test_requests_without_any_event_that_show_a_rate() -> None:
    needed = requests_for_none(0.01, alpha=0.005)
    assert 0.99**needed <= 0.005 < 0.99 ** (needed - 1)
    assert Counts(0, needed).rate == 0
