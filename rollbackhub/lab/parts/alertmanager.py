"""The real Alertmanager behind the lab's Prometheus: what fires in production is posted to the hub."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import httpx

from rollbackhub.lab.children import Child
from rollbackhub.lab.parts.base import LabPart
from rollbackhub.lab.ports import LOOPBACK

logger = logging.getLogger(__name__)

ENVIRONMENT = "production"
"""Whose alerts the hub is told. A drill gives the bad version traffic in staging on purpose."""
RULES = Path(__file__).with_name("feedback_rules.yaml")
"""What Prometheus judges."""
PROGRAM = "prometheus-alertmanager"
HOOK = "/api/v1/hooks/alertmanager/"
KEPT_TIME = "6h"
WAIT_SECONDS, AGAIN_SECONDS, REPEATED_SECONDS = 1, 2, 60
"""Before the first message of an alert, before one about a change, and between messages while nothing changes."""
CALL_SECONDS = 2.0


class AlertmanagerPart(LabPart):
    """No alias of its own. It posts once the hub's token for it is there (`keep_token`)."""

    name = "alertmanager"
    needs = "prometheus"

    _token_in_force: str | None = None

    def missing(self) -> str:
        """The program."""
        return "" if shutil.which(PROGRAM) else f"{PROGRAM} is not installed (Debian: apt-get install {PROGRAM})"

    @property
    def address(self) -> str:
        """Where it answers."""
        return f"http://{LOOPBACK}:{self.ports.alertmanager}"

    @property
    def token_file(self) -> Path:
        """The token with which it posts, as the hub gave it to this lab."""
        return self.folder / "alertmanager-token"

    @property
    def configuration_file(self) -> Path:
        """Holds the token (this version reads no address from a file), so only its owner may read it."""
        return self.folder / "alertmanager.json"

    def ports_used(self) -> dict[str, int]:
        """Its own. No port for a cluster of several: there is one."""
        return {"Alertmanager": self.ports.alertmanager}

    def token(self) -> str:
        """The token; empty while there is none."""
        return self.token_file.read_text().strip() if self.token_file.exists() else ""

    def keep_token(self, token: str) -> None:
        """Keep the hub's token; a running Alertmanager takes it up by `follow`."""
        _write_private(self.token_file, token)

    def prepare(self) -> None:
        """Write its configuration. Its data stay: it knows what it has told already."""
        self.folder.mkdir(parents=True, exist_ok=True)
        token = self.token()
        # JSON is YAML, too.
        _write_private(self.configuration_file, json.dumps(self._configuration(token), indent=1))
        self._token_in_force = token

    def _configuration(self, token: str) -> dict[str, Any]:
        hook = {"url": f"{self.hub_url}{HOOK}{token}", "send_resolved": True}
        route = {"receiver": "rollbackhub", "matchers": [f'environment="{ENVIRONMENT}"']}
        return {
            "route": {
                "receiver": "nobody",
                # One message for each alert: another version of the same alias is another decision.
                "group_by": ["..."],
                "group_wait": f"{WAIT_SECONDS}s",
                "group_interval": f"{AGAIN_SECONDS}s",
                "repeat_interval": f"{REPEATED_SECONDS}s",
                "routes": [route],
            },
            "receivers": [{"name": "nobody"}, {"name": "rollbackhub", "webhook_configs": [hook] if token else []}],
        }

    def children(self) -> list[Child]:
        """The Alertmanager."""
        command = [
            shutil.which(PROGRAM) or PROGRAM,
            f"--config.file={self.configuration_file}",
            f"--storage.path={self.folder / 'alertmanager'}",
            f"--data.retention={KEPT_TIME}",
            f"--web.listen-address={LOOPBACK}:{self.ports.alertmanager}",
            "--cluster.listen-address=",
            "--log.level=warn",
        ]
        return [Child(name="alertmanager", command=lambda: command, folder=self.folder)]

    def is_ready(self, client: httpx.Client) -> bool:
        """It takes alerts."""
        return client.get(f"{self.address}/-/ready").status_code == httpx.codes.OK

    def follow(self) -> None:
        """Take up a token that has come or changed since its configuration was written."""
        if self._token_in_force is None or self.token() == self._token_in_force:
            return
        before = self._token_in_force
        self.prepare()
        try:
            answer = httpx.post(f"{self.address}/-/reload", timeout=CALL_SECONDS, trust_env=False)
            taken = answer.status_code == httpx.codes.OK
        except httpx.TransportError:
            # It takes its time to come up, and may have read the file before it was written: asked again at the next look.
            taken = False
        if taken:
            logger.info("the Alertmanager posts to the hub")
        else:
            self._token_in_force = before


def _write_private(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(content)
