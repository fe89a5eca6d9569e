"""Verifications as the engine keeps them: baseline, metrics and traffic samples, and at each look what the checks said of them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from rollbackhub.common.verdict import Verdict
from rollbackhub.executions.domain.looks import TEMPLATE_PARAMS, begin_looks, checks_of, feed
from rollbackhub.executions.models import CheckResult, Execution, Sample, StepAttempt
from rollbackhub.verification.course import Course
from rollbackhub.verification.looking import evaluate

BUCKETS = {"0.1": 0.5, "0.5": 0.98, "+Inf": 1.0}
"""Cumulative shares of the requests by duration, seconds."""
QUERY = 'sum by (version) (llm_requests_total{environment="staging", alias="smart-reasoner"})'


def totals(requests: int, *, rate: float) -> dict[str, Any]:
    """A version's counters after so many requests, of which this share got a complaint."""
    buckets = {bound: round(requests * share) for bound, share in BUCKETS.items()}
    return {
        "requests": float(requests),
        "errors": 0.0,
        "negative_feedback": float(round(requests * rate)),
        "duration_sum": requests * 0.2,
        "duration_count": float(requests),
        "buckets": buckets,
    }


def keep_verification(
    execution: Execution,
    attempt: StepAttempt,
    *,
    rate: float = 0.02,
    requests_a_look: int = 200,
    looks: int = 12,
    ended: bool = True,
    baseline_rate: float = 0.02,
    stuck: int = 0,
    errors: Sequence[int] = (),
) -> Verdict:
    """Keep the samples of an attempt that saw this rate of complaints, judged by the product's own checks. Returns the last verdict.

    `stuck`: requests a look that the bad version still serves; `errors`: numbers of the looks at which the source was away.
    """
    good, bad = str(execution.plan["good_versions"][0]), str(execution.plan["bad_version"])
    checks = checks_of(execution.plan, {**TEMPLATE_PARAMS, **(execution.plan["steps"][attempt.position].get("params") or {})})
    seen, course = begin_looks(execution, attempt, of_fix=False), Course(checks)
    at = max(seen.since, attempt.started_at)

    def keep(kind: str, value: Mapping[str, Any]) -> None:
        sample = Sample.objects.create(execution=execution, attempt=attempt, kind=kind, source="metrics", taken_at=at, value=dict(value))
        if kind != "look":
            feed(seen, kind=kind, value=sample.value, taken_at=at)

    keep("baseline", {"concurrent": {"versions": {good: totals(10_000, rate=baseline_rate)}}, "before_release": {"versions": {}, "why_none": "no history"}})
    outcomes = []
    for number in range(looks):
        at += dt.timedelta(seconds=0.5)
        keep("traffic", {"requests": {bad: 0, good: 20}, "active": {}, "complete": True, "total": 20, "shares": {bad: 0.0, good: 1.0}, "per_gateway": {}})
        if number in errors:
            keep("metrics", {"error": "transient: http://metrics did not answer within 2 s."})
        else:
            versions = {good: totals(10_000 + requests_a_look * number, rate=rate), bad: totals(1_000 + stuck * number, rate=0)}
            keep("metrics", {"versions": versions, "query": QUERY, "at_source": at.isoformat()})
        outcomes = [evaluate(check, seen) for check in checks]
        said = {"verdicts": {found.name: found.verdict for found in outcomes}, "sentences": {found.name: found.sentence for found in outcomes}}
        keep("look", said)
        if course.take(outcomes, at=at) is not None:
            break
    if ended:
        CheckResult.objects.filter(attempt=attempt).delete()
        for found in outcomes:
            CheckResult.objects.create(
                execution=execution,
                attempt=attempt,
                check_name=found.name,
                verdict=found.verdict,
                sentence=found.sentence,
                numbers=found.numbers,
                decided_at=at,
            )
    return course.verdict
