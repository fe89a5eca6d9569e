"""What a check's chart is drawn from: growth since the drain, the baseline, and what is allowed."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from rollbackhub.verification.judge import BaselineKind
from rollbackhub.verification.looking import BaselineTotals, Looks, MetricsLook
from rollbackhub.verification.series import series_of
from rollbackhub.verification.specs import ImpactCeased, MetricBaseline, MetricThreshold, TrafficShare

NOON = dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)


def totals(requests: int, events: int, *, quick: float = 0.5) -> dict[str, Any]:
    """A version's counters; `quick`: the share of its requests below 100 ms, all others take 100 to 500 ms."""
    buckets = {"0.1": requests * quick, "0.5": float(requests), "+Inf": float(requests)}
    return {"requests": requests, "negative_feedback": events, "errors": events, "duration_count": requests, "buckets": buckets}


def looks(*good: dict[str, Any] | None, before: dict[str, Any] | None = None) -> Looks:
    """A look each second from noon on; None: there was no data."""
    found = Looks(bad_version="v2", good_versions=["v1"], since=NOON)
    found.metrics = [
        MetricsLook(NOON + dt.timedelta(seconds=second), NOON + dt.timedelta(seconds=second), {"v1": entry} if entry else None)
        for second, entry in enumerate(good)
    ]
    if before is not None:
        found.baselines = {"concurrent": BaselineTotals(BaselineKind.CONCURRENT, {"v1": before})}
    return found


RATE = MetricBaseline(key="feedback", metric="negative_feedback", margin_ratio=0.5)
LATENCY = MetricBaseline(key="latency", metric="latency", margin_ratio=0.5)


def test_rates_are_of_what_was_counted_since_the_first_look_after_the_drain() -> None:
    found = series_of(RATE, looks(totals(1000, 20), totals(1100, 24), totals(1200, 30), before=totals(1000, 20)))
    assert found is not None
    assert [(point.requests, point.events, point.value) for point in found.points] == [(100, 4, 0.04), (200, 10, 0.05)]
    assert (found.baseline, found.baseline_requests) == (0.02, 1000)
    assert found.allowed == pytest.approx(0.03)
    assert found.baseline_kind == "the stable version at the same time"


def test_looks_before_the_drain_and_without_data_are_left_out_and_a_new_start_begins_anew() -> None:
    before_drain = MetricsLook(NOON - dt.timedelta(seconds=1), NOON, {"v1": totals(5000, 900)})
    seen = looks(totals(1000, 20), None, totals(1100, 21), totals(50, 1), totals(150, 3))
    seen.metrics.insert(0, before_drain)
    found = series_of(RATE, seen)
    assert found is not None
    assert [(point.requests, point.events) for point in found.points] == [(100, 1), (100, 2)]
    assert (found.baseline, found.allowed, found.baseline_kind) == (None, None, "")


def test_latency_is_the_median_within_its_bucket() -> None:
    found = series_of(LATENCY, looks(totals(0, 0), totals(100, 0), totals(200, 0, quick=0.25), before=totals(1000, 0)))
    assert found is not None
    assert found.unit == "seconds"
    assert found.baseline == pytest.approx(0.1)
    assert found.allowed == pytest.approx(0.15)
    # Of 200 requests 50 took less than 100 ms: the hundredth lies a third into the 400 ms that follow.
    assert [point.value for point in found.points] == [pytest.approx(0.1), pytest.approx(0.1 + 0.4 / 3)]


def test_latency_without_a_histogram_has_no_values() -> None:
    found = series_of(LATENCY, looks({"requests": 1.0}, {"requests": 9.0}))
    assert found is not None
    assert [point.value for point in found.points] == [None]


def test_fixed_limit_is_what_is_allowed_and_needs_no_baseline() -> None:
    found = series_of(MetricThreshold(key="errors", metric="errors", limit=0.02), looks(totals(0, 0), totals(0, 0)))
    assert found is not None
    assert (found.allowed, found.baseline, found.points[0].value) == (0.02, None, None)


def test_other_checks_have_no_series_and_the_harm_is_that_of_the_users() -> None:
    assert series_of(TrafficShare(key="traffic"), looks(totals(1, 1))) is None
    found = series_of(ImpactCeased(key="impact"), looks(totals(0, 0), totals(10, 1)))
    assert found is not None
    assert found.metric == "negative_feedback"
