"""The lab's own checks tell its good version from its bad one, within what a minute of its traffic shows."""

from __future__ import annotations

import datetime as dt

import pytest

from rollbackhub.common.verdict import Verdict
from rollbackhub.lab.catalogue import ALIASES, BAD, CHECKS, ENVIRONMENTS, GOOD
from rollbackhub.lab.feedback import ErrorDiffusion
from rollbackhub.verification.judge import Baseline, BaselineKind, Counts, Look, RateMargin, judge_rate
from rollbackhub.verification.specs import MetricBaseline, parse_checks

NOON = dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)
PER_SECOND = 40 / (len(ALIASES) * len(ENVIRONMENTS))
"""An alias's share of the lab's requests."""


def verdict_after(seconds: float, rate: float) -> Verdict:
    """What the lab's feedback check says when every request since the drain is answered by a version of this rate; looked at twice a second."""
    (check,) = (check for check in parse_checks(CHECKS) if check.key == "negative_feedback")
    assert isinstance(check, MetricBaseline)
    diffusion, requests, events = ErrorDiffusion(), 0, 0
    looks = [Look(NOON, NOON, Counts(0, 0))]
    for look in range(1, int(2 * seconds) + 1):
        while requests < look * PER_SECOND / 2:
            requests += 1
            events += diffusion.happens(key="v", rate=rate)
        at = NOON + dt.timedelta(seconds=look / 2)
        looks.append(Look(at, at, Counts(events, requests)))
    margin = RateMargin(margin_ratio=check.margin_ratio, margin_points=check.margin_points, harmless_below=check.harmless_below)
    baseline = Baseline(BaselineKind.CONCURRENT, Counts(2, 100))
    return judge_rate(what="negative feedback", baseline=baseline, looks=looks, drained_at=NOON, margin=margin).verdict


@pytest.mark.parametrize(("rate", "verdict"), [(GOOD.negative_feedback, Verdict.PASSED), (BAD.negative_feedback, Verdict.FAILED)])
def test_good_version_is_shown_to_be_back_within_ten_seconds_and_the_bad_one_never(rate: float, verdict: Verdict) -> None:
    assert verdict_after(10, rate) == verdict
    assert verdict_after(120, rate) == verdict
