"""Does the bad version still get traffic? Judged from what gateways sent, never from what they were told."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from rollbackhub.common.verdict import Verdict
from rollbackhub.verification.evidence import CheckOutcome, TrafficSample

NAME = "traffic_share"


def check_traffic_share(samples: Sequence[TrafficSample], *, bad_version: str, consecutive: int) -> CheckOutcome:
    """Passed when the last `consecutive` samples each saw traffic and none of it, sent or under way, at the bad version.

    Incomplete samples and samples without any request are no data: with them the check is `inconclusive`, never passed.
    """
    recent = list(samples[-consecutive:])
    numbers = {
        "samples": len(recent),
        "wanted_samples": consecutive,
        "requests": sum(sample.total for sample in recent),
        "bad_requests": sum(sample.requests.get(bad_version, 0) for sample in recent),
        "bad_active": recent[-1].active.get(bad_version, 0) if recent else 0,
    }
    if any(sample.requests.get(bad_version, 0) or sample.active.get(bad_version, 0) for sample in recent):
        sentence = f"{bad_version} still got {numbers['bad_requests']} of {numbers['requests']} requests in the last {len(recent)} samples"
        return CheckOutcome(NAME, Verdict.FAILED, f"{sentence} ({numbers['bad_active']} under way).", numbers)
    silent = sum(1 for sample in recent if not sample.complete or not sample.total)
    if len(recent) < consecutive or silent:
        sentence = f"Not enough observed traffic: {len(recent) - silent} of {consecutive} samples in a row had requests."
        return CheckOutcome(NAME, Verdict.INCONCLUSIVE, sentence, numbers)
    sentence = f"{bad_version} got 0 of {numbers['requests']} requests in {consecutive} samples in a row."
    return CheckOutcome(NAME, Verdict.PASSED, sentence, numbers)


def drained_since(samples: Sequence[TrafficSample], *, bad_version: str) -> dt.datetime | None:
    """The instant of the first sample of the run of samples, up to the last, in which the bad version got nothing."""
    since = None
    for sample in reversed(samples):
        if not sample.complete or sample.requests.get(bad_version, 0) or sample.active.get(bad_version, 0):
            break
        since = sample.taken_at
    return since
