"""What a check of a metric was shown, look after look, for a chart: the growth since the drain, its baseline, and what is allowed. Pure.

The verdict is the judge's, from whole counts and distributions; this is what it looked at.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rollbackhub.verification.judge import Counts, RateMargin
from rollbackhub.verification.judge.rate_question import RateQuestion
from rollbackhub.verification.looking import BaselineTotals, Looks, chosen_baseline
from rollbackhub.verification.specs import CheckSpec, ImpactCeased, MetricBaseline, MetricThreshold

Unit = Literal["share", "seconds"]


@dataclass(frozen=True, slots=True)
class SeriesPoint:
    """One look: everything that was counted from the drain until then. `value`: share of requests, or median seconds; None without requests."""

    at: dt.datetime
    requests: int
    events: int | None
    value: float | None


@dataclass(frozen=True, slots=True)
class CheckSeries:
    """A metric from the drain on. `baseline` and `allowed` in the same unit; None where there is none."""

    metric: str
    unit: Unit
    points: Sequence[SeriesPoint]
    baseline: float | None
    baseline_requests: int
    baseline_kind: str
    """In words; empty when there is none."""
    allowed: float | None


def series_of(check: CheckSpec, looks: Looks) -> CheckSeries | None:
    """The series of a check of a metric; None for checks of another kind."""
    if isinstance(check, MetricThreshold):
        return _rates(check.metric, looks, margin=RateMargin(margin_ratio=None, harmless_below=check.limit), baseline=None)
    if isinstance(check, ImpactCeased):
        margin = RateMargin(margin_ratio=check.margin_ratio, margin_points=check.margin_points, harmless_below=check.harmless_below)
        return _rates("negative_feedback", looks, margin=margin, baseline=chosen_baseline("auto", looks))
    if not isinstance(check, MetricBaseline):
        return None
    baseline = chosen_baseline(check.baseline, looks)
    if check.metric == "latency":
        return _latency(check, looks, baseline)
    margin = RateMargin(margin_ratio=check.margin_ratio, margin_points=check.margin_points, harmless_below=check.harmless_below)
    return _rates(check.metric, looks, margin=margin, baseline=baseline)


def _rates(metric: str, looks: Looks, *, margin: RateMargin, baseline: BaselineTotals | None) -> CheckSeries:
    points = []
    for at, grown in _growth(looks):
        requests, events = round(grown["requests"]), round(grown.get(metric, 0))
        points.append(SeriesPoint(at, requests, events, events / requests if requests else None))
    base = _summed((baseline.versions if baseline else {}).values())
    requests, events = round(base.get("requests", 0)), round(base.get(metric, 0))
    question = RateQuestion(Counts(min(events, requests), requests), margin)
    return CheckSeries(
        metric=metric,
        unit="share",
        points=points,
        baseline=events / requests if requests else None,
        baseline_requests=requests,
        baseline_kind=str(baseline.kind) if baseline and requests else "",
        allowed=question.allowed if question.ways else None,
    )


def _latency(check: MetricBaseline, looks: Looks, baseline: BaselineTotals | None) -> CheckSeries:
    points = [SeriesPoint(at, round(grown.get("duration_count", 0)), None, _median(grown.get("buckets", {}))) for at, grown in _growth(looks)]
    base = _summed((baseline.versions if baseline else {}).values())
    middle = _median(base.get("buckets", {}))
    return CheckSeries(
        metric="latency",
        unit="seconds",
        points=points,
        baseline=middle,
        baseline_requests=round(base.get("duration_count", 0)),
        baseline_kind=str(baseline.kind) if baseline and middle is not None else "",
        allowed=middle * (1 + (check.margin_ratio or 0)) if middle is not None else None,
    )


def _growth(looks: Looks) -> list[tuple[dt.datetime, dict[str, Any]]]:
    """Totals since the first look after the drain, at each later one. A source that started anew begins anew."""
    found: list[tuple[dt.datetime, dict[str, Any]]] = []
    base: dict[str, Any] | None = None
    last: dict[str, Any] = {}
    for look in looks.metrics:
        if look.versions is None or min(look.at_source, look.at_hub) < looks.since:
            continue
        now = _summed(entry for version, entry in look.versions.items() if looks.of is None or version in looks.of)
        if base is None or now.get("requests", 0) < last.get("requests", 0):
            base = now
        else:
            found.append((look.at_hub, _less(now, base)))
        last = now
    return found


def _summed(entries: Any) -> dict[str, Any]:
    """These versions' totals together."""
    total: dict[str, Any] = {"buckets": {}}
    for entry in entries:
        for name, value in entry.items():
            if name == "buckets":
                for bound, count in (value or {}).items():
                    total["buckets"][bound] = total["buckets"].get(bound, 0) + count
            elif value is not None:
                total[name] = total.get(name, 0) + value
    return total


def _less(now: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    grown = {name: value - base.get(name, 0) for name, value in now.items() if name != "buckets"}
    return {**grown, "buckets": {bound: count - base["buckets"].get(bound, 0) for bound, count in now["buckets"].items()}}


def _median(buckets: Mapping[str, float]) -> float | None:
    """Seconds that half of the requests took at most, straight within its bucket (as Prometheus' histogram_quantile reads it). None: not known."""
    counts = sorted((float(bound), count) for bound, count in buckets.items())
    if not counts or counts[-1][1] <= 0:
        return None
    half, low, below = counts[-1][1] / 2, 0.0, 0.0
    for bound, count in counts:
        if count >= half:
            if bound == float("inf"):
                return low or None
            return low + (bound - low) * (half - below) / (count - below)
        low, below = bound, count
    return None
