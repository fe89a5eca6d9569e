"""Metrics per served version, read from a plain Prometheus/OpenMetrics text endpoint."""

from rollbackhub.connectors.prometheus.connector import PrometheusConnector, VersionMetrics

__all__ = ["PrometheusConnector", "VersionMetrics"]
