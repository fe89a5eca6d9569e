"""Looks and baselines for the judge's tests: a reading each 15 s from noon on."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from typing import Any

from rollbackhub.verification.judge import Baseline, BaselineKind, Counts, Histogram, Judgement, Look, Samples, judge_latency, judge_rate

NOON = dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)
BOUNDS = (0.25, 0.5, 1.0, 2.5, 5.0, math.inf)
Read = Counts | Histogram | Samples | None


def at(seconds: float) -> dt.datetime:
    return NOON + dt.timedelta(seconds=seconds)


def looks_at(*readings: Read) -> list[Look]:
    return [Look(at(15 * number), at(15 * number + 1), reading) for number, reading in enumerate(readings)]


def before(evidence: Counts | Histogram | Samples) -> Baseline:
    return Baseline(BaselineKind.BEFORE_RELEASE, evidence)


def counts(*pairs: tuple[int, int] | None) -> list[Look]:
    return looks_at(*(Counts(*pair) if pair else None for pair in pairs))


def rate(looks: Sequence[Look], base: tuple[int, int] | None = (1000, 10_000), **others: Any) -> Judgement:
    baseline = before(Counts(*base)) if base else None
    return judge_rate(what="negative feedback", baseline=baseline, looks=looks, drained_at=NOON, **others)


def latency(base: Samples | Histogram | None, *readings: Read, **others: Any) -> Judgement:
    baseline = before(base) if base else None
    return judge_latency(baseline=baseline, looks=looks_at(*readings), drained_at=NOON, **others)


def buckets(*numbers: int) -> Histogram:
    return Histogram(BOUNDS, numbers)
