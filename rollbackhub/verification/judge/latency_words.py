"""A latency's verdict in words and numbers, and how many more requests would settle it."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any

from rollbackhub.common.sentences import counted as number_of
from rollbackhub.common.verdict import Verdict
from rollbackhub.verification.judge.evidence import Counts
from rollbackhub.verification.judge.judgement import Course, PaidLook, confidence, joined
from rollbackhub.verification.judge.ladder import spend
from rollbackhub.verification.judge.latency_question import LatencyQuestion

BASELINE_DOUBLINGS = 12
"""How many times a baseline is doubled to see whether a larger one would do."""


def describe(what: str, *, course: Course, question: LatencyQuestion, paid: PaidLook) -> tuple[str, dict[str, Any]]:
    """The sentence at the last paid look, and its numbers (seconds, ratios, shares of 1; infinite bounds are None)."""
    from rollbackhub.verification.judge import ranks

    assert course.last is not None
    assert course.baseline is not None
    current = course.last.look.evidence
    assert not isinstance(current, Counts)
    to_pass = course.last.to_pass or spend(course.rates.passing, paid=course.last.passes_paid + 1)
    pairs = question.logs(current)
    now, then = pairs[0]
    medians = [_seconds(float(logs[len(logs) // 2])) for logs in (now, then)]
    ratio = _seconds(ranks.hodges_lehmann(now, then))
    most = math.inf if question.too_coarse else max(ranks.shift_at_most(*pair, alpha=to_pass) for pair in pairs) + question.disagreement(pairs)
    least = min(ranks.shift_at_least(*pair, alpha=paid.to_fail) for pair in pairs)
    slower = ranks.probability_slower(*question.known(current))
    allowed = 1 + question.margin.margin_ratio
    upper, lower = math.exp(most), math.exp(least)
    numbers: dict[str, Any] = {
        "median_seconds": _finite(medians[0]),
        "baseline_median_seconds": _finite(medians[1]),
        "ratio": _finite(ratio),
        "ratio_at_least": lower,
        "ratio_at_most": _finite(upper),
        "margin_ratio": question.margin.margin_ratio,
        "probability_slower": slower,
        "effect_threshold": question.margin.effect_threshold,
        "p_within_margin": paid.p_within,
        "p_worse": paid.p_worse,
    }
    seen = f"Median {what} {_words(medians[0])} over {current.exposure:,} requests"
    seen += f"; baseline {_words(medians[1])} over {question.baseline.exposure:,} ({course.baseline.kind})."
    if paid.verdict == Verdict.PASSED:
        return joined(seen, f"With {confidence(to_pass)} at most {upper:.2f} times as slow (allowed {allowed:.2f} times).", course.where()), numbers
    if paid.verdict == Verdict.FAILED:
        factor = f" {ratio:.2f} times as slow," if ratio < math.inf else ""
        worse = f"With {confidence(paid.to_fail)} slower:{factor} a request is slower than one of the baseline in {slower:.0%} of pairs"
        return joined(seen, f"{worse}. Not shown to be within {allowed:.2f} times.", course.where()), numbers
    plan, planned = _plan(course=course, question=question, paid=paid, slower=slower)
    interval = f"Between {lower:.2f} and {upper:.2f} times as slow, allowed {allowed:.2f} times." if upper < math.inf else ""
    return joined(seen, interval, plan, course.where()), numbers | planned


def _plan(*, course: Course, question: LatencyQuestion, paid: PaidLook, slower: float) -> tuple[str, dict[str, Any]]:
    """How many more requests settle it if both distributions stay as they are.

    A rank test's z grows with the root of n m / (n + m) (Noether 1987, JASA 82:645).
    """
    base = question.baseline.exposure
    passes = _requests(course, paid, paid.p_within, base, to_pass=True)
    fails = _requests(course, paid, paid.p_worse, base, to_pass=False)
    numbers: dict[str, Any] = {
        "more_requests_to_pass": passes - course.requests if passes else None,
        "more_requests_to_fail": fails - course.requests if fails else None,
        "baseline_requests_needed": None,
    }
    if question.too_coarse:
        return "The histogram's buckets are too wide to show it: most of the baseline lies in one. Take finer ones, or a wider margin.", numbers
    if fails and (not passes or fails < passes):
        return f"At these latencies it fails with {_more(fails, course)}.", numbers
    if passes:
        return f"At these latencies it passes with {_more(passes, course)}.", numbers
    for doubling in range(1, BASELINE_DOUBLINGS + 1):
        if _requests(course, paid, paid.p_within, base << doubling, to_pass=True):
            numbers["baseline_requests_needed"] = base << doubling
            return f"The baseline is too small to show it: it takes about {base << doubling:,} requests.", numbers
    if slower < question.margin.effect_threshold:
        return f"Slower by less than counts as worse ({slower:.0%} slower, from {question.margin.effect_threshold:.0%}), and not within the margin.", numbers
    return "At these latencies no number of requests settles it.", numbers


def _requests(course: Course, paid: PaidLook, p: float, base: int, *, to_pass: bool) -> int | None:
    """The requests of the first paid look to come at which a p value of now would be small enough."""
    normal = NormalDist()
    if p >= 0.5:
        return None
    z = -normal.inv_cdf(max(p, 1e-300))
    for requests, alpha_pass, alpha_fail in course.to_come():
        alpha = alpha_pass if to_pass else alpha_fail
        growth = (1 / paid.requests + 1 / base) / (1 / requests + 1 / base)
        if alpha and z * math.sqrt(growth) >= -normal.inv_cdf(alpha):
            return requests
    return None


def _more(requests: int, course: Course) -> str:
    more = requests - course.requests
    return f"about {number_of(more, 'more request')}" if more > 0 else "the next look"


def _seconds(logarithm: float) -> float:
    """Seconds or a ratio from its logarithm; infinite when it only stands for "beyond the last bucket"."""
    from rollbackhub.verification.judge import spread

    return math.exp(logarithm) if logarithm < spread.ABOVE_ALL / 2 else math.inf


def _words(seconds: float) -> str:
    if seconds == math.inf:
        return "beyond the last bucket"
    return f"{1000 * seconds:,.0f} ms" if seconds < 10 else f"{seconds:,.1f} s"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
