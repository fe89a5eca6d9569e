"""The evidence that checks judge, and the outcome they give. Pure: no database, no network."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rollbackhub.common.verdict import Verdict


@dataclass(frozen=True, slots=True)
class TrafficSample:
    """Requests that gateways sent to each version in one interval, and those still under way at its end.

    `complete` is False when a gateway did not answer or its counters went backwards (it restarted): such a sample proves nothing.
    """

    taken_at: dt.datetime
    requests: Mapping[str, int]
    active: Mapping[str, int] = field(default_factory=dict)
    complete: bool = True

    @property
    def total(self) -> int:
        """Requests to all versions in the interval."""
        return sum(self.requests.values())


@dataclass(frozen=True, slots=True)
class Totals:
    """Requests, negative feedback and durations (seconds) of a window."""

    requests: float = 0
    negative_feedback: float = 0
    duration_sum: float = 0
    duration_count: float = 0

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Totals:
        """From a kept sample's entry of a version, which may say more."""
        return cls(*(float(values.get(name, 0)) for name in ("requests", "negative_feedback", "duration_sum", "duration_count")))

    def __add__(self, other: Totals) -> Totals:
        return Totals(
            self.requests + other.requests,
            self.negative_feedback + other.negative_feedback,
            self.duration_sum + other.duration_sum,
            self.duration_count + other.duration_count,
        )

    def __sub__(self, other: Totals) -> Totals:
        return Totals(
            self.requests - other.requests,
            self.negative_feedback - other.negative_feedback,
            self.duration_sum - other.duration_sum,
            self.duration_count - other.duration_count,
        )

    @property
    def went_backwards(self) -> bool:
        """A difference below zero: the source restarted in between."""
        return min(self.requests, self.negative_feedback, self.duration_sum, self.duration_count) < 0


@dataclass(frozen=True, slots=True)
class CheckOutcome:
    """What a check says: its verdict, a sentence with the numbers, and the numbers themselves."""

    name: str
    verdict: Verdict
    sentence: str
    numbers: dict[str, Any] = field(default_factory=dict)
    paid: int | None = None
    """How many looks were paid for this verdict until now: looks in between only repeat the last paid one. None: each look is new evidence."""
