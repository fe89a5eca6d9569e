"""Are feedback and latency back at the baseline? A plain margin on rates and means; small windows say that they are small."""

from __future__ import annotations

from rollbackhub.common.verdict import Verdict
from rollbackhub.verification.evidence import CheckOutcome, Totals

FEEDBACK = "negative_feedback"
LATENCY = "latency"


def check_negative_feedback(*, baseline: Totals, current: Totals, margin: float, min_requests: int) -> CheckOutcome:
    """Passed when the share of negative feedback is at most the baseline's plus `margin` (both shares of 1).

    `inconclusive` when either window has fewer than `min_requests` requests.
    """
    numbers = _counts(baseline, current, min_requests)
    small = _too_small(FEEDBACK, baseline.requests, current.requests, min_requests, numbers)
    if small:
        return small
    before, now = baseline.negative_feedback / baseline.requests, current.negative_feedback / current.requests
    numbers |= {"baseline_share": round(before, 5), "current_share": round(now, 5), "margin": margin}
    verdict = Verdict.PASSED if now <= before + margin else Verdict.FAILED
    seen = f"Negative feedback {now:.1%} of {current.requests:.0f} requests"
    sentence = f"{seen}; baseline {before:.1%} of {baseline.requests:.0f}, allowed up to {before + margin:.1%}."
    return CheckOutcome(FEEDBACK, verdict, sentence, numbers)


def check_latency(*, baseline: Totals, current: Totals, ratio: float, min_requests: int) -> CheckOutcome:
    """Passed when the mean duration is at most `ratio` times the baseline's. `inconclusive` on small windows."""
    numbers = _counts(baseline, current, min_requests)
    small = _too_small(LATENCY, baseline.duration_count, current.duration_count, min_requests, numbers)
    if small:
        return small
    before, now = baseline.duration_sum / baseline.duration_count, current.duration_sum / current.duration_count
    numbers |= {"baseline_mean_seconds": round(before, 5), "current_mean_seconds": round(now, 5), "ratio": ratio}
    verdict = Verdict.PASSED if now <= before * ratio else Verdict.FAILED
    seen = f"Mean latency {now * 1000:.0f} ms over {current.duration_count:.0f} requests"
    sentence = f"{seen}; baseline {before * 1000:.0f} ms, allowed up to {before * ratio * 1000:.0f} ms."
    return CheckOutcome(LATENCY, verdict, sentence, numbers)


def _counts(baseline: Totals, current: Totals, min_requests: int) -> dict[str, float]:
    return {"baseline_requests": baseline.requests, "current_requests": current.requests, "min_requests": min_requests}


def _too_small(name: str, baseline: float, current: float, wanted: int, numbers: dict[str, float]) -> CheckOutcome | None:
    if baseline < wanted:
        return CheckOutcome(name, Verdict.INCONCLUSIVE, f"The baseline has {baseline:.0f} requests; {wanted - baseline:.0f} more are needed.", numbers)
    if current < wanted:
        return CheckOutcome(name, Verdict.INCONCLUSIVE, f"Seen {current:.0f} requests since the flip; {wanted - current:.0f} more are needed.", numbers)
    return None
