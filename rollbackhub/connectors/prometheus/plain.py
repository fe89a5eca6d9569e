"""Reads a plain endpoint in the Prometheus or OpenMetrics text format."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client.parser import text_string_to_metric_families

from rollbackhub.common import clock
from rollbackhub.common.errors import TransientError
from rollbackhub.common.http import guarded_get
from rollbackhub.connectors.base import REFUSALS, PermissionMissing
from rollbackhub.connectors.prometheus.reading import MetricSample, Reading, fold
from rollbackhub.connectors.prometheus.settings import PrometheusSettings

MAX_BYTES = 10_000_000


def read_plain(settings: PrometheusSettings, *, environment: str, alias: str, headers: Mapping[str, str], timeout_seconds: float) -> Reading:
    """What the endpoint shows of an alias now.

    Raises TransientError (no answer, or none in that format), PermissionMissing, Unavailable (over MAX_BYTES, a redirect).
    """
    read_at = clock.now()
    samples = _read(settings, environment=environment, headers=headers, timeout_seconds=timeout_seconds)
    totals = fold((sample for sample in samples if sample.labels.get("alias") == alias), settings)
    return Reading(totals=totals, query=f"GET {settings.endpoint}", read_at=read_at)


def list_plain_series(settings: PrometheusSettings, *, environment: str, headers: Mapping[str, str], timeout_seconds: float) -> set[tuple[str, str]]:
    """Which series the endpoint has, by alias: (alias, metric's name). Raises as read_plain."""
    samples = _read(settings, environment=environment, headers=headers, timeout_seconds=timeout_seconds)
    return {(sample.labels["alias"], sample.name) for sample in samples if "alias" in sample.labels and "version" in sample.labels}


def _read(settings: PrometheusSettings, *, environment: str, headers: Mapping[str, str], timeout_seconds: float) -> list[MetricSample]:
    address = settings.endpoint or ""
    answer = guarded_get(address, timeout_seconds=timeout_seconds, max_bytes=MAX_BYTES, headers=headers)
    if answer.status in REFUSALS:
        raise PermissionMissing(f"The metrics endpoint {address} answered HTTP {answer.status}.")
    if answer.status != 200:
        raise TransientError(f"The metrics endpoint {address} answered HTTP {answer.status}.")
    try:
        return [
            MetricSample(sample.name, sample.labels, sample.value)
            for family in text_string_to_metric_families(answer.text)
            for sample in family.samples
            if sample.labels.get("environment") == environment
        ]
    except (ValueError, KeyError, IndexError) as error:
        raise TransientError(f"The metrics endpoint {address} does not answer in the Prometheus text format.") from error
