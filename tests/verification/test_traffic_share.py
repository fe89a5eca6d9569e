"""No data is never a pass, and one request at the bad version is not zero."""

from __future__ import annotations

import datetime as dt

from rollbackhub.common.verdict import Verdict, combine
from rollbackhub.verification.evidence import TrafficSample
from rollbackhub.verification.traffic_share import check_traffic_share, drained_since

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def sample(second: int, *, bad: int = 0, good: int = 0, active: int = 0, complete: bool = True) -> TrafficSample:
    return TrafficSample(START + dt.timedelta(seconds=second), {"bad": bad, "good": good}, {"bad": active}, complete)


def test_share_when_only_the_good_version_is_served_passes() -> None:
    outcome = check_traffic_share([sample(0, bad=9), *(sample(second, good=5) for second in range(1, 4))], bad_version="bad", consecutive=3)
    assert outcome.verdict == Verdict.PASSED
    assert outcome.numbers["requests"] == 15


def test_share_with_one_request_at_the_bad_version_fails() -> None:
    assert check_traffic_share([sample(0, good=5), sample(1, good=500, bad=1), sample(2, good=5)], bad_version="bad", consecutive=3).verdict == Verdict.FAILED


def test_share_with_a_request_under_way_at_the_bad_version_fails() -> None:
    assert check_traffic_share([sample(second, good=5, active=second // 2) for second in range(3)], bad_version="bad", consecutive=3).verdict == Verdict.FAILED


def test_share_without_samples_is_inconclusive() -> None:
    assert check_traffic_share([], bad_version="bad", consecutive=3).verdict == Verdict.INCONCLUSIVE


def test_share_without_traffic_is_inconclusive() -> None:
    assert check_traffic_share([sample(second) for second in range(9)], bad_version="bad", consecutive=3).verdict == Verdict.INCONCLUSIVE


def test_share_with_an_incomplete_sample_is_inconclusive() -> None:
    assert (
        check_traffic_share([sample(0, good=5), sample(1, good=5, complete=False), sample(2, good=5)], bad_version="bad", consecutive=3).verdict
        == Verdict.INCONCLUSIVE
    )


def test_share_with_too_few_samples_is_inconclusive() -> None:
    assert check_traffic_share([sample(0, good=5), sample(1, good=5)], bad_version="bad", consecutive=3).verdict == Verdict.INCONCLUSIVE


def test_drained_since_is_the_first_sample_of_the_last_run_at_zero() -> None:
    samples = [sample(0, good=1), sample(1, bad=1), sample(2, good=3), sample(3, good=3)]
    assert drained_since(samples, bad_version="bad") == START + dt.timedelta(seconds=2)


def test_drained_since_while_the_bad_version_is_served_is_none() -> None:
    assert drained_since([sample(0, good=1), sample(1, bad=1)], bad_version="bad") is None


def test_combine_of_nothing_is_inconclusive() -> None:
    assert combine([]) == Verdict.INCONCLUSIVE


def test_combine_takes_the_worst() -> None:
    assert combine([Verdict.PASSED, Verdict.INCONCLUSIVE]) == Verdict.INCONCLUSIVE
    assert combine([Verdict.ERROR, Verdict.INCONCLUSIVE, Verdict.PASSED]) == Verdict.ERROR
    assert combine([Verdict.ERROR, Verdict.FAILED]) == Verdict.FAILED
    assert combine(["passed", Verdict.PASSED]) == Verdict.PASSED
