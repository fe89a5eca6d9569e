"""Back at the baseline, or not, or not known."""

from __future__ import annotations

import pytest

from rollbackhub.common.verdict import Verdict
from rollbackhub.verification.evidence import Totals
from rollbackhub.verification.metric_baseline import check_latency, check_negative_feedback

BASELINE = Totals(requests=1000, negative_feedback=20, duration_sum=20, duration_count=1000)


@pytest.mark.parametrize(("negative", "verdict"), [(0, Verdict.PASSED), (7, Verdict.PASSED), (8, Verdict.FAILED), (100, Verdict.FAILED)])
def test_feedback_is_judged_by_the_margin_on_the_share(negative: int, verdict: Verdict) -> None:
    current = Totals(requests=100, negative_feedback=negative)
    assert check_negative_feedback(baseline=BASELINE, current=current, margin=0.05, min_requests=30).verdict == verdict


@pytest.mark.parametrize(("mean", "verdict"), [(0.02, Verdict.PASSED), (0.0299, Verdict.PASSED), (0.031, Verdict.FAILED)])
def test_latency_is_judged_by_the_ratio_of_means(mean: float, verdict: Verdict) -> None:
    current = Totals(requests=100, duration_sum=100 * mean, duration_count=100)
    assert check_latency(baseline=BASELINE, current=current, ratio=1.5, min_requests=30).verdict == verdict


@pytest.mark.parametrize("count", [0, 1, 29])
def test_small_windows_are_inconclusive_and_say_how_many_more(count: int) -> None:
    small = Totals(requests=count, duration_sum=count * 0.02, duration_count=count)
    for baseline, current in ((BASELINE, small), (small, BASELINE)):
        feedback = check_negative_feedback(baseline=baseline, current=current, margin=0.05, min_requests=30)
        latency = check_latency(baseline=baseline, current=current, ratio=1.5, min_requests=30)
        assert feedback.verdict == latency.verdict == Verdict.INCONCLUSIVE
        assert f"{30 - count} more are needed" in feedback.sentence
        assert f"{30 - count} more are needed" in latency.sentence


def test_totals_that_shrink_went_backwards() -> None:
    assert (Totals(requests=5) - Totals(requests=9)).went_backwards
    assert not (Totals(requests=9) - Totals(requests=5)).went_backwards
