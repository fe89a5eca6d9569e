"""An environment's metrics: a Prometheus server, or a plain endpoint."""

from __future__ import annotations

import base64
import datetime as dt
from collections.abc import Iterable

from rollbackhub.connectors.base import Connector
from rollbackhub.connectors.prometheus.plain import list_plain_series, read_plain
from rollbackhub.connectors.prometheus.reading import Reading, VersionMetrics
from rollbackhub.connectors.prometheus.server import list_series, read_server
from rollbackhub.connectors.prometheus.settings import PrometheusSettings
from rollbackhub.connectors.secret_refs import read_secret


class PrometheusConnector(Connector[PrometheusSettings]):
    """The metrics of one environment."""

    name = "prometheus"
    settings_type = PrometheusSettings

    @property
    def has_history(self) -> bool:
        """Whether it can be asked how things were."""
        return self.settings.server is not None

    def read(self, *, environment: str, alias: str, at: dt.datetime | None = None) -> Reading:
        """The totals of an alias now; `at`: as they were then, by the source's clock (a server only).

        Empty when there is no such series: that is no data, not zero. Raises NoData (too old, or partial), TransientError (no answer, or none that
        can be read), PermissionMissing, SecretMissing, Unavailable (an answer that will not get better by itself).
        """
        if self.settings.server is None:
            return read_plain(self.settings, environment=environment, alias=alias, headers=self._headers(), timeout_seconds=self.timeout_seconds)
        return read_server(self.settings, environment=environment, alias=alias, headers=self._headers(), timeout_seconds=self.timeout_seconds, at=at)

    def read_versions(self, *, environment: str, alias: str) -> dict[str, VersionMetrics]:
        """Totals by version for an alias, as `read`."""
        return self.read(environment=environment, alias=alias).totals.get(alias, {})

    def read_missing(self, *, environment: str, aliases: Iterable[str]) -> dict[str, list[str]]:
        """Which of the metrics that a verification needs the source does not have, by alias; one that has them all is absent. One call.

        Raises as read.
        """
        names = (self.settings.requests, self.settings.negative_feedback, f"{self.settings.duration}_sum", f"{self.settings.duration}_count")
        there = self._series(environment)
        missing = {alias: [name for name in names if (alias, name) not in there] for alias in aliases}
        return {alias: found for alias, found in missing.items() if found}

    def _series(self, environment: str) -> set[tuple[str, str]]:
        if self.settings.server is not None:
            return list_series(self.settings, environment=environment, headers=self._headers(), timeout_seconds=self.timeout_seconds)
        return list_plain_series(self.settings, environment=environment, headers=self._headers(), timeout_seconds=self.timeout_seconds)

    def _headers(self) -> dict[str, str]:
        if self.settings.token_ref is not None:
            return {"Authorization": f"Bearer {read_secret(self.settings.token_ref)}"}
        if self.settings.login_ref is not None:
            return {"Authorization": "Basic " + base64.b64encode(read_secret(self.settings.login_ref).encode()).decode("ascii")}
        return {}
