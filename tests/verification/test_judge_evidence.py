"""What no source can have counted is refused when it is made: there is no verdict on it."""

from __future__ import annotations

import datetime as dt
import math
import subprocess
import sys

import pytest

from rollbackhub.common.errors import InvalidInput
from rollbackhub.verification.judge import Counts, ErrorRates, Histogram, InvalidEvidence, LatencyMargin, Look, RateMargin, Samples
from tests.verification.judging import NOON, at, before, buckets, counts, latency, looks_at, rate


@pytest.mark.parametrize(
    ("events", "requests", "sentence"),
    [
        (math.nan, 10, "nan as events: counts are whole numbers from 0."),
        (1, math.inf, "inf as requests: counts are whole numbers from 0."),
        (-1, 10, "-1 as events: counts are whole numbers from 0."),
        (11, 10, "11 events among 10 requests: a request counts as one event at most."),
        (1.5, 10, "1.5 as events: counts are whole numbers. Read the counter itself; increase() and rate() extrapolate."),
    ],
)
def test_counts_that_cannot_be_are_refused_in_words(events: float, requests: float, sentence: str) -> None:
    with pytest.raises(InvalidEvidence) as refused:
        Counts(events, requests)  # type: ignore[arg-type]
    assert refused.value.message == sentence
    assert isinstance(refused.value, ValueError)
    assert (refused.value.code, refused.value.status) == ("invalid_evidence", 422)


@pytest.mark.parametrize("seconds", [math.nan, math.inf, -0.1, 0.0])
def test_latencies_that_cannot_be_are_refused(seconds: float) -> None:
    with pytest.raises(InvalidEvidence, match="latencies are numbers of seconds above 0"):
        Samples((0.8, seconds))


@pytest.mark.parametrize(
    ("bounds", "numbers", "words"),
    [
        ((0.5, 1.0), (1, 2), r"\+Inf as its last bound"),
        ((math.inf,), (1,), "at least one bucket"),
        ((1.0, 0.5, math.inf), (1, 2, 3), "each above the one before"),
        ((0.0, 0.5, math.inf), (1, 2, 3), "above 0"),
        ((math.nan, 0.5, math.inf), (1, 2, 3), "above 0"),
        ((0.5, math.inf), (1, 2, 3), "3 counts for 2 buckets"),
        ((0.5, math.inf), (1, -2), "-2 as a bucket's count"),
        ((0.5, math.inf), (1, math.nan), "nan as a bucket's count"),
    ],
)
def test_histograms_that_cannot_be_are_refused(bounds: tuple[float, ...], numbers: tuple[int, ...], words: str) -> None:
    with pytest.raises(InvalidEvidence, match=words):
        Histogram(bounds, numbers)


def test_a_cumulative_histogram_is_read_as_prometheus_writes_it() -> None:
    assert Histogram.from_cumulative({math.inf: 10.0, 0.5: 3.0, 1.0: 9.0}) == Histogram((0.5, 1.0, math.inf), (3, 6, 1))
    with pytest.raises(InvalidEvidence, match="never count less"):
        Histogram.from_cumulative({0.5: 3, 1.0: 2, math.inf: 4})


def test_instants_without_a_zone_are_refused() -> None:
    with pytest.raises(InvalidEvidence, match="time zone"):
        Look(dt.datetime(2026, 11, 23), NOON, None)  # noqa: DTZ001


def test_evidence_of_several_kinds_is_refused() -> None:
    samples = Samples((0.8,))
    with pytest.raises(InvalidEvidence, match="several kinds"):
        rate(looks_at(Counts(0, 0), samples))
    with pytest.raises(InvalidEvidence, match="counts of events and requests"):
        rate(looks_at(samples))
    with pytest.raises(InvalidEvidence, match="baseline and looks alike"):
        latency(samples, buckets(0, 0, 0, 0, 0, 0))
    with pytest.raises(InvalidEvidence, match="different buckets"):
        latency(Histogram((0.5, math.inf), (50, 50)), buckets(0, 0, 0, 0, 0, 0))
    with pytest.raises(InvalidEvidence, match="buckets changed between two looks"):
        latency(None, buckets(0, 0, 0, 0, 0, 0), Histogram((0.5, math.inf), (50, 50)))


@pytest.mark.parametrize("margin", [{}, {"margin_ratio": 0.0}, {"margin_points": 1.0}, {"harmless_below": -0.1}, {"margin_ratio": math.nan}])
def test_margins_that_say_nothing_are_refused(margin: dict[str, float]) -> None:
    with pytest.raises(InvalidInput):
        RateMargin(**({"margin_ratio": None} | margin))


def test_other_settings_that_cannot_be_are_refused() -> None:
    for make in (lambda: LatencyMargin(0.0), lambda: LatencyMargin(0.25, 0.4), lambda: ErrorRates(0.0), lambda: ErrorRates(0.01, 0.5)):
        with pytest.raises(InvalidInput):
            make()
    with pytest.raises(InvalidInput, match="numbered from 1"):
        rate(counts((0, 0)), attempt=0)


def test_a_baseline_says_where_it_was_taken() -> None:
    assert str(before(Counts(1, 10)).kind) == "the window before the release"
    assert at(15) - NOON == dt.timedelta(seconds=15)


def test_the_mathematics_are_not_loaded_before_a_verdict_is_made() -> None:
    code = "import sys, rollbackhub.verification.judge; sys.exit(any(name in sys.modules for name in ('scipy', 'statsmodels', 'numpy')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
