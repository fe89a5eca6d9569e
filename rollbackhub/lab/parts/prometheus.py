"""A Prometheus server before the lab's metrics. The hub reads staging's through it and production's from their plain page, so that both ways are in use.

With the part alertmanager beside it, it also judges the alert rules (feedback_rules.yaml), of both environments.
"""

from __future__ import annotations

import json
import shutil
from typing import Any

import httpx

from rollbackhub.lab.children import Child
from rollbackhub.lab.parts.alertmanager import RULES, AlertmanagerPart
from rollbackhub.lab.parts.base import LabConnection, LabPart
from rollbackhub.lab.ports import LOOPBACK

ENVIRONMENT = "staging"
SCRAPE_SECONDS = 0.5
STALE_SECONDS = 5
"""Ten scrapes: a busy machine may miss a few in a row."""
JUDGED_SECONDS = 1
"""How often the alert rules are judged."""
TOLD_AGAIN_SECONDS = 5
"""An Alertmanager that has been started again knows after this time what still fires."""
KEPT_TIME, KEPT_SIZE, LOG_SEGMENT = "6h", "200MB", "10MB"
"""A baseline from before a release, on a small disk; what is not in blocks yet (2 to 3 hours) comes on top of the size."""


class PrometheusPart(LabPart):
    """No alias of its own: it changes how the metrics of staging's aliases are read."""

    name = "prometheus"

    def missing(self) -> str:
        """The prometheus program."""
        return "" if shutil.which("prometheus") else "prometheus is not installed (Debian: apt-get install prometheus)"

    @property
    def address(self) -> str:
        """Where it answers."""
        return f"http://{LOOPBACK}:{self.ports.prometheus}"

    def ports_used(self) -> dict[str, int]:
        """The server's."""
        return {"Prometheus": self.ports.prometheus}

    def prepare(self) -> None:
        """Write its configuration. Its data stay: they are the history."""
        self.folder.mkdir(parents=True, exist_ok=True)
        # JSON is YAML, too.
        (self.folder / "prometheus.json").write_text(json.dumps(self._configuration(), indent=1))

    def _configuration(self) -> dict[str, Any]:
        every = f"{round(SCRAPE_SECONDS * 1000)}ms"
        targets = [
            {
                "targets": [f"{LOOPBACK}:{self.ports.metrics}"],
                # Not the address: with other ports it would be another series, and the totals of both would be added up.
                "labels": {"instance": environment, "__metrics_path__": f"/metrics/{environment}"},
            }
            for environment in self.environments
        ]
        # The page's labels are the truth: without this one that is also the target's would come as exported_….
        scrape = {"job_name": "lab", "honor_labels": True, "static_configs": targets}
        found: dict[str, Any] = {"global": {"scrape_interval": every, "scrape_timeout": every}, "scrape_configs": [scrape]}
        if AlertmanagerPart.name in self.beside:
            found["global"]["evaluation_interval"] = f"{JUDGED_SECONDS}s"
            found["rule_files"] = [str(RULES)]
            found["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": [f"{LOOPBACK}:{self.ports.alertmanager}"]}]}]}
        return found

    def children(self) -> list[Child]:
        """The server."""
        command = [
            shutil.which("prometheus") or "prometheus",
            f"--config.file={self.folder / 'prometheus.json'}",
            f"--storage.tsdb.path={self.folder / 'prometheus'}",
            f"--storage.tsdb.retention.time={KEPT_TIME}",
            f"--storage.tsdb.retention.size={KEPT_SIZE}",
            f"--storage.tsdb.wal-segment-size={LOG_SEGMENT}",
            f"--web.listen-address={LOOPBACK}:{self.ports.prometheus}",
            # After a SIGKILL nothing has marked the series as ended; by default they would seem to be there for five minutes.
            f"--query.lookback-delta={STALE_SECONDS}s",
            f"--rules.alert.resend-delay={TOLD_AGAIN_SECONDS}s",
            "--log.level=warn",
        ]
        return [Child(name="prometheus", command=lambda: command, folder=self.folder)]

    def connections(self, environment: str) -> list[LabConnection]:
        """Staging's metrics, in place of its plain page."""
        return [LabConnection("prometheus", {"server": self.address, "stale_after_seconds": STALE_SECONDS})] if environment == ENVIRONMENT else []

    def is_ready(self, client: httpx.Client) -> bool:
        """It scrapes: some five seconds after its start."""
        answer = client.get(f"{self.address}/api/v1/query", params={"query": "up"})
        return answer.status_code == httpx.codes.OK and len(answer.json()["data"]["result"]) == len(self.environments)
