"""Reads counters per served version from a metrics endpoint."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families
from pydantic import Field

from rollbackhub.common.errors import TransientError
from rollbackhub.common.http import guarded_get
from rollbackhub.connectors.base import REFUSALS, Connector, ConnectorSettings, PermissionMissing

MAX_METRICS_BYTES = 10_000_000


class PrometheusSettings(ConnectorSettings):
    """The endpoint, and the names of the metrics there. Each has the labels environment, alias and version."""

    endpoint: str = Field(pattern=r"^https?://[^\s@]+$")
    requests: str = "llm_requests_total"
    negative_feedback: str = "llm_negative_feedback_total"
    duration: str = "llm_request_duration_seconds"


@dataclass(frozen=True, slots=True)
class VersionMetrics:
    """Totals of one version since its source started: requests, negative feedback, and the sum (seconds) and count of durations."""

    requests: float = 0
    negative_feedback: float = 0
    duration_sum: float = 0
    duration_count: float = 0

    def as_dict(self) -> dict[str, float]:
        """The shape in which samples are kept."""
        return {
            "requests": self.requests,
            "negative_feedback": self.negative_feedback,
            "duration_sum": self.duration_sum,
            "duration_count": self.duration_count,
        }


Totals = dict[str, dict[str, dict[str, float]]]


class PrometheusConnector(Connector[PrometheusSettings]):
    """The metrics of one environment."""

    name = "prometheus"
    settings_type = PrometheusSettings

    def read_versions(self, *, environment: str, alias: str) -> dict[str, VersionMetrics]:
        """Totals by version for an alias. Empty when the endpoint has no such series: that is no data, not zero.

        Raises TransientError when the endpoint does not answer, or not as metrics, and PermissionMissing when it refuses us.
        """
        found = self._read(environment=environment, alias=alias).get(alias, {})
        return {version: VersionMetrics(**values) for version, values in found.items() if "requests" in values}

    def read_missing(self, *, environment: str, aliases: Iterable[str]) -> dict[str, list[str]]:
        """Which of the metrics that a verification needs the endpoint does not have, by alias; one that has them all is absent. One call.

        Raises as read_versions.
        """
        found = self._read(environment=environment)
        missing: dict[str, list[str]] = {}
        for alias in aliases:
            there = {field for values in found.get(alias, {}).values() for field in values}
            names = [name for name, field in self._wanted().items() if field not in there]
            if names:
                missing[alias] = names
        return missing

    def _wanted(self) -> dict[str, str]:
        return {
            self.settings.requests: "requests",
            self.settings.negative_feedback: "negative_feedback",
            f"{self.settings.duration}_sum": "duration_sum",
            f"{self.settings.duration}_count": "duration_count",
        }

    def _read(self, *, environment: str, alias: str | None = None) -> Totals:
        """Totals by alias, version and kind; of one alias only, when it is named."""
        answer = guarded_get(self.settings.endpoint, timeout_seconds=self.timeout_seconds, max_bytes=MAX_METRICS_BYTES)
        if answer.status in REFUSALS:
            raise PermissionMissing(f"The metrics endpoint {self.settings.endpoint} answered HTTP {answer.status}.")
        if answer.status != 200:
            raise TransientError(f"The metrics endpoint {self.settings.endpoint} answered HTTP {answer.status}.")
        wanted = self._wanted()
        totals: Totals = {}
        try:
            for family in text_string_to_metric_families(answer.text):
                for sample in family.samples:
                    field = wanted.get(sample.name)
                    labels = sample.labels
                    if field is None or labels.get("environment") != environment or "alias" not in labels or "version" not in labels:
                        continue
                    if alias is not None and labels["alias"] != alias:
                        continue
                    if not math.isfinite(sample.value) or sample.value < 0:
                        raise TransientError(f"The metrics endpoint gives {sample.name} as {sample.value}, which is not a count.")
                    version = totals.setdefault(labels["alias"], {}).setdefault(labels["version"], {})
                    version[field] = version.get(field, 0) + sample.value
        except (ValueError, KeyError, IndexError) as error:
            raise TransientError(f"The metrics endpoint {self.settings.endpoint} does not answer in the Prometheus text format.") from error
        return totals
