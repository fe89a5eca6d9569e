"""A rate's verdict in words and numbers, and how many more requests would settle it."""

from __future__ import annotations

import math
from typing import Any

from rollbackhub.common.sentences import counted as number_of
from rollbackhub.common.verdict import Verdict
from rollbackhub.verification.judge.evidence import Counts
from rollbackhub.verification.judge.judgement import Course, PaidLook, confidence, joined, share
from rollbackhub.verification.judge.ladder import spend
from rollbackhub.verification.judge.rate_question import RateQuestion

BASELINE_DOUBLINGS = 12
"""How many times a baseline is doubled to see whether a larger one would do."""


def describe(what: str, *, course: Course, question: RateQuestion, paid: PaidLook) -> tuple[str, dict[str, Any]]:
    """The sentence at the last paid look, and its numbers (rates are shares of 1; infinite bounds are None)."""
    from rollbackhub.verification.judge import rate_tests

    assert course.last is not None
    current, base, margin = course.last.look.evidence, question.baseline, question.margin
    assert isinstance(current, Counts)
    to_pass = (course.last.to_pass or spend(course.rates.passing, paid=course.last.passes_paid + 1)) / question.ways
    numbers: dict[str, Any] = {
        "events": current.events,
        "rate": current.rate,
        "baseline_events": base.events if course.baseline else None,
        "baseline_rate": base.rate if course.baseline else None,
        "allowed_rate": question.allowed,
        "margin_ratio": margin.margin_ratio,
        "margin_points": margin.margin_points,
        "harmless_below": margin.harmless_below,
        "p_within_margin": paid.p_within,
        "p_worse": paid.p_worse,
    }
    shown = {}
    lower, upper = 0.0, math.inf
    if base.requests and current.events + base.events:
        lower, upper = rate_tests.ratio_bounds(current, base, below=paid.to_fail, above=to_pass)
        numbers |= {"ratio": current.rate / base.rate if base.events else None, "ratio_at_least": lower, "ratio_at_most": upper if upper < math.inf else None}
    if margin.margin_ratio is not None:
        shown["ratio"] = f"at most {upper:.2f} times the baseline's rate (allowed {1 + margin.margin_ratio:.2f} times)"
    if margin.margin_points is not None and base.requests:
        points = rate_tests.difference_above(current, base, alpha=to_pass)
        numbers |= {"points": current.rate - base.rate, "points_at_most": points}
        shown["points"] = f"at most {100 * points:.2f} percentage points above the baseline's rate (allowed {100 * margin.margin_points:.2f})"
    if margin.harmless_below is not None:
        highest = rate_tests.rate_above(current, alpha=to_pass)
        numbers["rate_at_most"] = highest
        shown["harmless"] = f"at most {share(highest)} of requests (harmless below {share(margin.harmless_below)})"
        if not question.is_threshold:
            shown["harmless"] = f"at most {share(highest)} of requests: it passes as harmless, below {share(margin.harmless_below)}, whatever the baseline was"

    seen = f"{what.capitalize()} {share(current.rate)} of {current.requests:,} requests"
    if course.baseline and base.requests:
        seen += f"; baseline {share(base.rate)} of {base.requests:,} ({course.baseline.kind})."
    else:
        seen += "." if question.is_threshold else "; there is no baseline."
    if paid.verdict == Verdict.PASSED:
        way = min(question.ways_within(current))[1]
        numbers["passed_by"] = way
        return joined(seen, f"With {confidence(to_pass)} {shown[way]}.", course.where()), numbers
    if paid.verdict == Verdict.FAILED:
        if not base.requests:
            return joined(seen, f"With {confidence(paid.to_fail)} it is above {share(question.allowed)} of requests.", course.where()), numbers
        worse = f"With {confidence(paid.to_fail)} at least {lower:.2f} times the baseline's rate" if lower < math.inf else "The baseline had none of it"
        return joined(seen, f"{worse}, and not shown to be within the margin (allowed up to {share(question.allowed)}).", course.where()), numbers
    plan, planned = _plan(current, course=course, question=question)
    interval = ""
    if numbers.get("ratio_at_most") is not None:
        interval = f"Between {lower:.2f} and {upper:.2f} times the baseline's rate, allowed up to {share(question.allowed)}."
    return joined(seen, interval, plan, course.where()), numbers | planned


def _plan(current: Counts, *, course: Course, question: RateQuestion) -> tuple[str, dict[str, Any]]:
    """How many more requests settle it if both rates stay as they are: found with the judge's own tests at the paid looks to come."""
    passes, fails = _requests_to_pass(current, course=course, question=question), _requests_to_fail(current, course=course, question=question)
    numbers: dict[str, Any] = {
        "more_requests_to_pass": passes - course.requests if passes else None,
        "more_requests_to_fail": fails - course.requests if fails else None,
        "baseline_requests_needed": None,
    }
    base, margin = question.baseline, question.margin
    if fails and (not passes or fails < passes):
        return f"At these rates it fails with {_more(fails, course)}.", numbers
    if passes:
        return f"At these rates it passes with {_more(passes, course)}.", numbers
    if base.requests and not base.events and not current.events:
        example = 0.001
        alpha = max((to_pass for _, to_pass, _ in course.to_come()), default=course.rates.passing) / (question.ways + 1)
        needed = max(math.ceil(math.log(alpha) / math.log1p(-example)) - course.requests, 0)
        numbers["more_requests_for_harmless_below_0_001"] = needed
        said = "None in either window: a ratio to nothing cannot be shown, however many requests follow."
        return f"{said} State harmless_below: 0.10%, for example, takes about {needed:,} more requests without any.", numbers
    if current.rate < question.allowed and base.events:
        for doubling in range(1, BASELINE_DOUBLINGS + 1):
            larger = RateQuestion(Counts(base.events << doubling, base.requests << doubling), margin)
            if _requests_to_pass(current, course=course, question=larger):
                numbers["baseline_requests_needed"] = larger.baseline.requests
                return f"The baseline is too small to show it: it takes about {larger.baseline.requests:,} requests at its rate.", numbers
    return "At these rates no number of requests settles it.", numbers


def _more(requests: int, course: Course) -> str:
    more = requests - course.requests
    return f"about {number_of(more, 'more request')}" if more > 0 else "the next look"


def _requests_to_pass(current: Counts, *, course: Course, question: RateQuestion) -> int | None:
    for requests, to_pass, _ in course.to_come():
        if to_pass and question.p_within(_grown_to(requests, current)) <= to_pass:
            return requests
    return None


def _requests_to_fail(current: Counts, *, course: Course, question: RateQuestion) -> int | None:
    for requests, _, to_fail in course.to_come():
        if question.p_worse(_grown_to(requests, current)) <= to_fail:
            return requests
    return None


def _grown_to(requests: int, current: Counts) -> Counts:
    return Counts(-(-current.events * requests // current.requests), requests)
