"""Metrics per served version: from a Prometheus server, or from a plain endpoint in its text format."""

from rollbackhub.connectors.prometheus.connector import PrometheusConnector
from rollbackhub.connectors.prometheus.reading import NoData, Reading, VersionMetrics

__all__ = ["NoData", "PrometheusConnector", "Reading", "VersionMetrics"]
