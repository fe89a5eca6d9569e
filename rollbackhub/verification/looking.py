"""What checks are shown at a look, and what one check says about all looks so far. Pure: the same looks give the same outcome, today and to an auditor."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rollbackhub.common.verdict import Verdict, combine
from rollbackhub.verification.evidence import CheckOutcome, TrafficSample
from rollbackhub.verification.judge import (
    Baseline,
    BaselineKind,
    Counts,
    Histogram,
    InvalidEvidence,
    LatencyMargin,
    Look,
    RateMargin,
    judge_latency,
    judge_rate,
)
from rollbackhub.verification.specs import METRICS, CheckSpec, GatewayRevision, ImpactCeased, MetricBaseline, MetricThreshold, Probe, TrafficShare
from rollbackhub.verification.traffic_share import check_traffic_share

RATE_FIELDS = {"negative_feedback": "negative_feedback", "errors": "errors"}


@dataclass(frozen=True, slots=True)
class MetricsLook:
    """One look at the metrics: totals by version as they are kept, or why there are none. `is_error`: it could not be taken at all."""

    at_hub: dt.datetime
    at_source: dt.datetime
    versions: Mapping[str, Mapping[str, Any]] | None
    problem: str = ""
    is_error: bool = False
    configured: bool | None = None
    """Whether the environment has such a source at all; None: from before that was kept."""


@dataclass(frozen=True, slots=True)
class BaselineTotals:
    """What was counted in the window that is the baseline, by version."""

    kind: BaselineKind
    versions: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class ProbeLook:
    """Which version answered a probe; empty with why it could not be asked."""

    version: str
    problem: str = ""


@dataclass(slots=True)
class Looks:
    """Everything that was seen since the bad version's traffic was drained, in the order in which it was seen."""

    bad_version: str
    good_versions: Sequence[str]
    since: dt.datetime
    """From here on looks count: the drain, or (after a retry) the attempt's own beginning."""
    attempt: int = 1
    served_again: bool = False
    """The bad version was seen to serve after the drain: only so many requests without it as would show it prove that this is over."""
    of: Sequence[str] | None = None
    """Whose metrics are judged; None: of all versions that serve."""
    baselines: Mapping[str, BaselineTotals] = field(default_factory=dict)
    """`before_release` and `concurrent`, those that there are."""
    traffic: list[TrafficSample] = field(default_factory=list)
    served: list[TrafficSample] = field(default_factory=list)
    """The same by the callers' metrics: where it is served, not where it is routed."""
    metrics: list[MetricsLook] = field(default_factory=list)
    gateways: Mapping[str, Any] | None = None
    probes: dict[str, ProbeLook] = field(default_factory=dict)


def evaluate(check: CheckSpec, looks: Looks) -> CheckOutcome:
    """What this check says now. Evidence that no source can have counted is an `error` with a sentence, never a pass."""
    try:
        if isinstance(check, TrafficShare):
            return _traffic_share(check, looks)
        if isinstance(check, GatewayRevision):
            return _gateways(check, looks)
        if isinstance(check, MetricBaseline):
            return _metric_baseline(check, looks)
        if isinstance(check, MetricThreshold):
            margin = RateMargin(margin_ratio=None, harmless_below=check.limit)
            return _judged_rate(check.key, check.metric, looks, margin=margin, baseline=None)
        if isinstance(check, ImpactCeased):
            return _impact(check, looks)
        if isinstance(check, Probe):
            return _probe(check, looks)
    except InvalidEvidence as error:
        return CheckOutcome(check.key, Verdict.ERROR, error.message)
    raise TypeError(f"no such check: {check!r}")


def _traffic_share(check: TrafficShare, looks: Looks) -> CheckOutcome:
    routed = check_traffic_share(looks.traffic, bad_version=looks.bad_version, consecutive=check.samples)
    served = lately_served(looks.served, bad_version=looks.bad_version)
    numbers = routed.numbers | {"bad_served": served.by_bad, "served": served.requests}
    if not served.by_bad:
        unseen = _unseen_by_callers(looks, served)
        if unseen is None or routed.verdict == Verdict.FAILED:
            return CheckOutcome(check.key, routed.verdict, routed.sentence, numbers)
        verdict, why = unseen
        return CheckOutcome(check.key, combine((routed.verdict, verdict)), f"{routed.sentence} {why}", numbers)
    sentence = f"{looks.bad_version} still served {served.by_bad} of {served.requests} requests by the callers' metrics"
    if routed.verdict == Verdict.FAILED:
        return CheckOutcome(check.key, Verdict.FAILED, f"{sentence}. {routed.sentence}", numbers)
    reason = "the gateways send it nothing, so something else holds clients there (sessions that stick to a version, or callers beside the gateways)"
    return CheckOutcome(check.key, Verdict.FAILED, f"{sentence}: {reason}.", numbers)


GATEWAYS_ALONE = "By the gateways' counters alone: the environment has no callers' metrics, which would show sessions that stick to it."


def _unseen_by_callers(looks: Looks, served: LatelyServed) -> tuple[Verdict, str] | None:
    """What the callers' metrics leave open, and what that makes of it; None when they show that nobody is served by the bad version."""
    last = looks.metrics[-1] if looks.metrics else None
    if last is not None and last.configured is False:
        return Verdict.PASSED, GATEWAYS_ALONE
    if last is not None and last.configured and last.versions is None:
        problem = last.problem.rstrip(".")
        why = f"By the gateways' counters alone: the callers' metrics, which would show sessions that stick to it, could not be read ({problem})."
        return Verdict.ERROR if last.is_error else Verdict.INCONCLUSIVE, why
    if looks.served_again and not served.is_enough:
        why = f"It was seen to serve after the drain, and by the callers' metrics {served.requests} requests went without it since: too few to be sure."
        return Verdict.INCONCLUSIVE, why
    return None


QUIET_REQUESTS = 60
"""When none of so many went to the bad version, at most 5 % of all do (95 % confidence; the rule of three: Hanley, Lippman-Hand 1983, JAMA 249:1743)."""
QUIET_SECONDS = 10.0
"""Where so many take longer, this time without any is enough: a session that sticks comes back sooner, or hardly matters."""


@dataclass(frozen=True, slots=True)
class LatelyServed:
    """Requests that were served lately, by the callers' metrics: all, and by the bad version."""

    requests: int
    by_bad: int
    is_enough: bool
    """Whether so many, or so long, that one session among twenty would have been seen."""


def lately_served(served: Sequence[TrafficSample], *, bad_version: str) -> LatelyServed:
    """The shortest run of last samples with QUIET_REQUESTS requests, or over QUIET_SECONDS; all of them when there are not so many."""
    requests = by_bad = 0
    for sample in reversed(served):
        requests += sum(sample.requests.values())
        by_bad += sample.requests.get(bad_version, 0)
        if requests >= QUIET_REQUESTS or (requests and (served[-1].taken_at - sample.taken_at).total_seconds() >= QUIET_SECONDS):
            return LatelyServed(requests, by_bad, True)
    return LatelyServed(requests, by_bad, False)


def _gateways(check: GatewayRevision, looks: Looks) -> CheckOutcome:
    seen = looks.gateways
    if not seen or not seen.get("gateways"):
        return CheckOutcome(check.key, Verdict.INCONCLUSIVE, "No gateway has asked for routes lately.")
    lagging = sorted(name for name, gateway in seen["gateways"].items() if not gateway["acknowledged"])
    count = len(seen["gateways"])
    numbers = {"gateways": count, "lagging": lagging, "wanted": seen["wanted"]}
    if lagging:
        return CheckOutcome(
            check.key, Verdict.FAILED, f"{len(lagging)} of {count} gateways do not serve by routing state {seen['wanted']}: {', '.join(lagging)}.", numbers
        )
    return CheckOutcome(check.key, Verdict.PASSED, f"{count} of {count} gateways serve by routing state {seen['wanted']}.", numbers)


def _probe(check: Probe, looks: Looks) -> CheckOutcome:
    seen = looks.probes.get(check.key)
    if seen is None:
        return CheckOutcome(check.key, Verdict.INCONCLUSIVE, f"{check.url} was not asked yet.")
    if seen.problem:
        return CheckOutcome(check.key, Verdict.ERROR, f"{check.url} could not be asked: {seen.problem}")
    verdict = Verdict.PASSED if seen.version in looks.good_versions else Verdict.FAILED
    wanted = "" if verdict == Verdict.PASSED else f", not {' or '.join(looks.good_versions)}"
    return CheckOutcome(check.key, verdict, f"{check.url} is answered by {seen.version}{wanted}.", {"version": seen.version})


def _metric_baseline(check: MetricBaseline, looks: Looks) -> CheckOutcome:
    baseline = chosen_baseline(check.baseline, looks)
    if check.metric == "latency":
        return _judged_latency(check, looks, baseline)
    margin = RateMargin(margin_ratio=check.margin_ratio, margin_points=check.margin_points, harmless_below=check.harmless_below)
    return _judged_rate(check.key, check.metric, looks, margin=margin, baseline=baseline)


def _impact(check: ImpactCeased, looks: Looks) -> CheckOutcome:
    """Two questions: has the bad version stopped to harm, and are all users back within tolerance?"""
    margin = RateMargin(margin_ratio=check.margin_ratio, margin_points=check.margin_points, harmless_below=check.harmless_below)
    baseline = chosen_baseline("auto", looks)
    parts = [_quiet(check, looks)]
    parts += [_judged_rate(check.key, metric, looks, margin=margin, baseline=baseline) for metric in ("negative_feedback", "errors")]
    numbers = {name: part.numbers for name, part in zip(("bad_version", "negative_feedback", "errors"), parts, strict=True)}
    verdict = combine(part.verdict for part in parts)
    said = parts if verdict == Verdict.PASSED else [part for part in parts if part.verdict != Verdict.PASSED]
    decisive = [part.paid for part in parts if part.verdict == verdict]
    paid = None if None in decisive else sum(count for count in decisive if count is not None)
    return CheckOutcome(check.key, verdict, " ".join(part.sentence for part in said), numbers, paid=paid)


def _quiet(check: ImpactCeased, looks: Looks) -> CheckOutcome:
    seen = [look for look in looks.metrics if look.versions is not None][-(check.quiet_looks + 1) :]
    if len(seen) < check.quiet_looks + 1:
        return CheckOutcome(
            check.key,
            Verdict.INCONCLUSIVE,
            f"{len(seen)} of {check.quiet_looks + 1} looks at {looks.bad_version}'s errors and complaints.",
            {"looks": len(seen)},
        )
    new = sum(_new_harm(looks)[-check.quiet_looks :])
    numbers = {"looks": check.quiet_looks, "new_errors_and_complaints": new}
    if new > 0:
        return CheckOutcome(
            check.key, Verdict.FAILED, f"{new:g} new errors and complaints about {looks.bad_version} in the last {check.quiet_looks} looks.", numbers
        )
    return CheckOutcome(check.key, Verdict.PASSED, f"No new error or complaint about {looks.bad_version} in {check.quiet_looks} looks in a row.", numbers)


def _new_harm(looks: Looks) -> list[float]:
    """The bad version's errors and complaints that came with each look that saw data.

    A counter that started anew counts from 0; a series that is missing says nothing new, and goes on where it was.
    """
    grown: list[float] = []
    counted = 0.0
    for look in looks.metrics:
        if look.versions is None:
            continue
        entry = look.versions.get(looks.bad_version)
        if entry is None:
            grown.append(0.0)
            continue
        harm = _counted(entry, "errors") + _counted(entry, "negative_feedback")
        grown.append(harm - counted if harm >= counted else harm)
        counted = harm
    return grown


def chosen_baseline(wanted: str, looks: Looks) -> BaselineTotals | None:
    """The baseline that a check asks for; `auto`: the one from before the release where there is one. None: there is none such."""
    if wanted != "auto":
        return looks.baselines.get(wanted)
    return looks.baselines.get("before_release") or looks.baselines.get("concurrent")


def _judged_rate(key: str, metric: str, looks: Looks, *, margin: RateMargin, baseline: BaselineTotals | None) -> CheckOutcome:
    name = RATE_FIELDS[metric]
    unseen = _not_seen(key, looks)
    if unseen is not None:
        return unseen
    if metric == "errors" and all(entry.get("errors") is None for look in looks.metrics for entry in (look.versions or {}).values()):
        return CheckOutcome(key, Verdict.INCONCLUSIVE, "The source does not say which requests were errors (its requests have no label code).")
    read = [_read(look, _counts(_totals(look.versions, looks.of), name) if look.versions is not None else None) for look in looks.metrics if not look.is_error]
    before = _counts(_totals(baseline.versions, None), name) if baseline else None
    base = Baseline(baseline.kind, before) if baseline and before else None
    found = judge_rate(what=METRICS[metric].lower(), baseline=base, looks=read, drained_at=looks.since, margin=margin, attempt=looks.attempt)
    return found.as_outcome(key)


def _judged_latency(check: MetricBaseline, looks: Looks, baseline: BaselineTotals | None) -> CheckOutcome:
    unseen = _not_seen(check.key, looks)
    if unseen is not None:
        return unseen
    read = []
    for look in looks.metrics:
        if look.is_error:
            continue
        histogram = _histogram(_totals(look.versions, looks.of)) if look.versions is not None else None
        if look.versions is not None and histogram is None:
            return CheckOutcome(
                check.key, Verdict.INCONCLUSIVE, "The source has no histogram of durations: latencies are compared as distributions, not as means."
            )
        read.append(_read(look, histogram))
    before = _histogram(_totals(baseline.versions, None)) if baseline else None
    base = Baseline(baseline.kind, before) if baseline and before else None
    assert check.margin_ratio is not None
    margin = LatencyMargin(margin_ratio=check.margin_ratio)
    return judge_latency(baseline=base, looks=read, drained_at=looks.since, margin=margin, attempt=looks.attempt).as_outcome(check.key)


def _not_seen(key: str, looks: Looks) -> CheckOutcome | None:
    """What the last look says when it was none: no verdict is left standing while its source is away."""
    last = looks.metrics[-1] if looks.metrics else None
    if last is not None and last.versions is None:
        return CheckOutcome(key, Verdict.ERROR if last.is_error else Verdict.INCONCLUSIVE, f"No data: {last.problem}")
    return None


def _read(look: MetricsLook, evidence: Counts | Histogram | None) -> Look:
    return Look(at_source=look.at_source, at_hub=look.at_hub, evidence=evidence)


def _totals(versions: Mapping[str, Mapping[str, Any]] | None, of: Sequence[str] | None) -> list[Mapping[str, Any]]:
    return [entry for version, entry in (versions or {}).items() if of is None or version in of]


def _counts(entries: Sequence[Mapping[str, Any]], name: str) -> Counts | None:
    """Events among requests over these versions; None when none of them is there."""
    if not entries:
        return None
    events = sum(_counted(entry, name) for entry in entries)
    requests = sum(_counted(entry, "requests") for entry in entries)
    # More complaints than requests: some came twice, or late. Each request is harmed once at most.
    return Counts(int(min(events, requests)), int(requests))


def _counted(entry: Mapping[str, Any], name: str) -> float:
    """A counter of one version. Raises InvalidEvidence for what no source can have counted, before another version's numbers hide it."""
    value = float(entry.get(name) or 0)
    if not 0 <= value < math.inf:
        raise InvalidEvidence(f"{value} as {name.replace('_', ' ')}: counts are finite, from 0.")
    return value


def _histogram(entries: Sequence[Mapping[str, Any]]) -> Histogram | None:
    """The histograms of these versions together; None when one has none, or other buckets."""
    # Requests that no version answered were not timed.
    found = [entry.get("buckets") for entry in entries if entry.get("buckets") or entry.get("duration_count")]
    if not found or any(not buckets for buckets in found) or len({tuple(buckets) for buckets in found if buckets}) > 1:
        return None
    together: dict[float, float] = {}
    for buckets in found:
        for bound, count in (buckets or {}).items():
            together[float(bound)] = together.get(float(bound), 0) + count
    return Histogram.from_cumulative(together)
