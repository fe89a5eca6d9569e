"""What one look at a metrics source gives: totals per alias and served version, from samples in whatever form they came."""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rollbackhub.common.errors import RollbackHubError, TransientError
from rollbackhub.connectors.prometheus.settings import PrometheusSettings


class NoData(RollbackHubError):
    """The source answers, and what it says proves nothing: too old, or only a part. Never taken for zero."""

    code, status, title = "no_data", 503, "No data"


@dataclass(frozen=True, slots=True)
class MetricSample:
    """One sample: its metric's name, its labels, its value."""

    name: str
    labels: Mapping[str, str]
    value: float


@dataclass(slots=True)
class VersionMetrics:
    """Totals of one version since its source started: requests, errors among them (None: the source does not tell), negative feedback, durations in seconds.

    `buckets`: requests up to and including an upper bound in seconds, cumulative, as the source gives them; empty for a summary.
    """

    requests: float = 0
    errors: float | None = None
    negative_feedback: float = 0
    duration_sum: float = 0
    duration_count: float = 0
    buckets: dict[float, float] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The shape in which samples are kept: JSON, the buckets by their bound's text, `+Inf` last."""
        kept: dict[str, Any] = {
            "requests": self.requests,
            "negative_feedback": self.negative_feedback,
            "duration_sum": self.duration_sum,
            "duration_count": self.duration_count,
        }
        if self.errors is not None:
            kept["errors"] = self.errors
        if self.buckets:
            kept["buckets"] = {bound_text(bound): count for bound, count in sorted(self.buckets.items())}
        return kept


@dataclass(frozen=True, slots=True)
class Reading:
    """One look: totals by alias and version, the query that gave them, and when they were true.

    `source_now`: the source's clock at the answer, when it tells it. `newest_at`: the newest sample by that clock; None: as old as the answer.
    """

    totals: dict[str, dict[str, VersionMetrics]]
    query: str
    read_at: dt.datetime
    source_now: dt.datetime | None = None
    newest_at: dt.datetime | None = None


def bound_text(bound: float) -> str:
    """`0.25`, `+Inf`."""
    return "+Inf" if math.isinf(bound) else f"{bound:g}"


def fold(samples: Iterable[MetricSample], settings: PrometheusSettings) -> dict[str, dict[str, VersionMetrics]]:
    """Totals by alias and version. What has other names or no such labels is left out; a version without requests is no version.

    Raises TransientError for a value that is no count (not a number, infinite, below zero).
    """
    error_code = re.compile(settings.error_codes)
    found: dict[str, dict[str, VersionMetrics]] = {}
    counted: set[tuple[str, str]] = set()
    for sample in samples:
        alias, version = sample.labels.get("alias"), sample.labels.get("version")
        if alias is None or version is None:
            continue
        if not math.isfinite(sample.value) or sample.value < 0:
            raise TransientError(f"{settings.source} gives {sample.name} as {sample.value}, which is not a count.")
        entry = found.setdefault(alias, {}).setdefault(version, VersionMetrics())
        if sample.name == settings.requests:
            counted.add((alias, version))
            entry.requests += sample.value
            if "code" in sample.labels:
                entry.errors = (entry.errors or 0) + (sample.value if error_code.fullmatch(sample.labels["code"]) else 0)
        elif sample.name == settings.negative_feedback:
            entry.negative_feedback += sample.value
        elif sample.name == f"{settings.duration}_sum":
            entry.duration_sum += sample.value
        elif sample.name == f"{settings.duration}_count":
            entry.duration_count += sample.value
        elif sample.name == f"{settings.duration}_bucket" and (bound := _bound(sample.labels.get("le"))) is not None:
            entry.buckets[bound] = entry.buckets.get(bound, 0) + sample.value
    return {alias: kept for alias, versions in found.items() if (kept := {name: entry for name, entry in versions.items() if (alias, name) in counted})}


def _bound(text: str | None) -> float | None:
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None
