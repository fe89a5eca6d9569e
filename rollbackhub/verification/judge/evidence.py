"""What the judge is shown: counts, histograms or samples, a baseline, and looks. All frozen; what cannot be true is refused when it is made."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from rollbackhub.common.errors import InvalidInput


class InvalidEvidence(InvalidInput, ValueError):
    """Numbers that no source can have counted (NaN, below zero, more events than requests). There is no verdict on them."""

    code, title = "invalid_evidence", "The evidence cannot be judged"


class BaselineKind(StrEnum):
    """Where a baseline was taken; the value stands in the sentence."""

    BEFORE_RELEASE = "the window before the release"
    CONCURRENT = "the stable version at the same time"


@dataclass(frozen=True, slots=True)
class Counts:
    """`events` (complaints, errors) among `requests`: whole numbers, 0 ≤ events ≤ requests. Raises `InvalidEvidence`."""

    events: int
    requests: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "events", _whole(self.events, "events"))
        object.__setattr__(self, "requests", _whole(self.requests, "requests"))
        if self.events > self.requests:
            raise InvalidEvidence(f"{self.events:,} events among {self.requests:,} requests: a request counts as one event at most.")

    @property
    def exposure(self) -> int:
        """Requests."""
        return self.requests

    @property
    def rate(self) -> float:
        """Events per request; 0 without requests."""
        return self.events / self.requests if self.requests else 0.0

    def follows(self, earlier: Counts) -> bool:
        """Whether the counters went on from `earlier`: none fell, and there were no more new events than new requests."""
        return 0 <= self.events - earlier.events <= self.requests - earlier.requests

    def since(self, earlier: Counts) -> Counts:
        """What was counted after `earlier`, which this follows."""
        return Counts(self.events - earlier.events, self.requests - earlier.requests)

    @property
    def sort_key(self) -> tuple[object, ...]:
        return (self.requests, self.events)


@dataclass(frozen=True, slots=True)
class Histogram:
    """Latencies in buckets: upper bounds in seconds, rising, the last one infinite; `counts[i]` are those in bucket i alone. Raises `InvalidEvidence`."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "bounds", tuple(float(bound) for bound in self.bounds))
        object.__setattr__(self, "counts", tuple(_whole(count, "a bucket's count") for count in self.counts))
        finite = self.bounds[:-1]
        if len(self.bounds) < 2 or self.bounds[-1] != math.inf:
            raise InvalidEvidence("A histogram needs at least one bucket with a bound in seconds, and +Inf as its last bound.")
        if not all(math.isfinite(bound) and bound > 0 for bound in finite) or any(b <= a for a, b in pairwise(finite)):
            raise InvalidEvidence(f"A histogram's bounds are seconds above 0, each above the one before; these are {', '.join(map(str, self.bounds))}.")
        if len(self.counts) != len(self.bounds):
            raise InvalidEvidence(f"{len(self.counts)} counts for {len(self.bounds)} buckets.")

    @classmethod
    def from_cumulative(cls, buckets: Mapping[float, float]) -> Histogram:
        """From a histogram as Prometheus writes it: each bound in seconds (`le`) with how many were at most so long."""
        bounds = sorted(buckets)
        totals = [_whole(buckets[bound], "a bucket's count") for bound in bounds]
        if any(b < a for a, b in pairwise(totals)):
            raise InvalidEvidence("The buckets of a cumulative histogram never count less than the bucket before.")
        return cls(tuple(bounds), tuple(b - a for a, b in pairwise([0, *totals])))

    @property
    def exposure(self) -> int:
        """Requests that were timed."""
        return sum(self.counts)

    def follows(self, earlier: Histogram) -> bool:
        """Whether no bucket fell since `earlier`. Raises `InvalidEvidence` when the buckets are others."""
        if self.bounds != earlier.bounds:
            raise InvalidEvidence("The buckets changed between two looks: take looks with the same bounds.")
        return all(now >= then for now, then in zip(self.counts, earlier.counts, strict=True))

    def since(self, earlier: Histogram) -> Histogram:
        """What was counted after `earlier`, which this follows."""
        return Histogram(self.bounds, tuple(now - then for now, then in zip(self.counts, earlier.counts, strict=True)))

    @property
    def sort_key(self) -> tuple[object, ...]:
        return (self.exposure, self.counts)


@dataclass(frozen=True, slots=True)
class Samples:
    """Latencies one by one, in seconds above 0, in the order in which they were taken: a later look begins with those of the earlier."""

    seconds: tuple[float, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "seconds", tuple(float(value) for value in self.seconds))
        wrong = next((value for value in self.seconds if not (math.isfinite(value) and value > 0)), None)
        if wrong is not None:
            raise InvalidEvidence(f"A latency of {wrong} s: latencies are numbers of seconds above 0.")

    @property
    def exposure(self) -> int:
        """Requests that were timed."""
        return len(self.seconds)

    def follows(self, earlier: Samples) -> bool:
        """Whether this begins with `earlier`."""
        return self.seconds[: len(earlier.seconds)] == earlier.seconds

    def since(self, earlier: Samples) -> Samples:
        """What was taken after `earlier`, which this follows."""
        return Samples(self.seconds[len(earlier.seconds) :]) if earlier.seconds else self

    @property
    def sort_key(self) -> tuple[object, ...]:
        return (self.exposure, self.seconds)


Evidence = Counts | Histogram | Samples
Latencies = Histogram | Samples


@dataclass(frozen=True, slots=True)
class Baseline:
    """What is normal: everything that was counted in one window, and which window that was."""

    kind: BaselineKind
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class Look:
    """One reading of a source's counters. None as evidence: the source answered, and had no such series.

    `at_source` is when the counters stood so by the source's clock, `at_hub` when the hub had them, by its own.
    A reading goes on from the one before: what counts is the growth since the first look that counts.
    """

    at_source: dt.datetime
    at_hub: dt.datetime
    evidence: Evidence | None

    def __post_init__(self) -> None:
        if self.at_source.tzinfo is None or self.at_hub.tzinfo is None:
            raise InvalidEvidence("A look's instants need a time zone.")


def _whole(value: float, what: str) -> int:
    if not math.isfinite(value) or value < 0:
        raise InvalidEvidence(f"{value} as {what}: counts are whole numbers from 0.")
    if value != int(value):
        raise InvalidEvidence(f"{value} as {what}: counts are whole numbers. Read the counter itself; increase() and rate() extrapolate.")
    return int(value)
