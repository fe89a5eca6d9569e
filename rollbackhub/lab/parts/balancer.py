"""A model behind HAProxy: one process with a frontend and a backend for each environment."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import gettempdir

from rollbackhub.lab.catalogue import BAD, BAD_MODEL, GOOD, GOOD_MODEL, LabVersion
from rollbackhub.lab.children import Child
from rollbackhub.lab.parts.base import LabConnection, LabPart, MovedAlias
from rollbackhub.lab.ports import LOOPBACK

ALIAS = "fast-model"
LONGEST_SOCKET = 97
"""HAProxy takes 97 bytes as a socket's path: the kernel's 107, less what it appends while it binds."""


class BalancerPart(LabPart):
    """`fast-model` (model): 90 % good, 10 % the model under test."""

    name = "haproxy"

    def missing(self) -> str:
        """The haproxy program."""
        return "" if shutil.which("haproxy") else "haproxy is not installed (Debian: apt-get install haproxy)"

    @property
    def socket(self) -> Path:
        """Where HAProxy takes commands."""
        path = self.folder / "haproxy.sock"
        return path if len(str(path)) <= LONGEST_SOCKET else Path(gettempdir()) / f"rollbackhub-lab-{self.ports.base}.sock"

    def ports_used(self) -> dict[str, int]:
        """A frontend an environment."""
        return {f"HAProxy's frontend of {environment}": self.ports.balancer(environment) for environment in self.environments}

    def prepare(self) -> None:
        """Write its configuration."""
        self.folder.mkdir(parents=True, exist_ok=True)
        state = self.folder / "haproxy.state"
        lines = [
            "global",
            f"  stats socket {self.socket} mode 600 level admin",
            f"  server-state-file {state}",
            "  maxconn 500",
            "defaults",
            "  mode http",
            "  timeout connect 1s",
            "  timeout client 30s",
            "  timeout server 30s",
            "  option redispatch",
            "  load-server-state-from-file global",
        ]
        for environment in self.environments:
            lines += [
                f"frontend {ALIAS}-{environment}-in",
                f"  bind {LOOPBACK}:{self.ports.balancer(environment)}",
                f"  default_backend {ALIAS}-{environment}",
                f"backend {ALIAS}-{environment}",
                "  option httpchk GET /v1/models",
                "  default-server check inter 500ms fall 2 rise 1",
                f"  server good {LOOPBACK}:{self.ports.good_model} weight 90",
                f"  server tested {LOOPBACK}:{self.ports.bad_model} weight 10",
            ]
        (self.folder / "haproxy.cfg").write_text("\n".join(lines) + "\n")
        state.touch()

    def children(self) -> list[Child]:
        """HAProxy."""
        program = shutil.which("haproxy") or "haproxy"
        return [Child(name="haproxy", command=lambda: [program, "-db", "-f", str(self.folder / "haproxy.cfg")], folder=self.folder)]

    def aliases(self) -> list[MovedAlias]:
        """The model servers of the lab, as versions of another artefact."""
        versions = (
            LabVersion(label=GOOD_MODEL, quality=GOOD, changelog="Known good.", uri=f"models:/{ALIAS}/{GOOD_MODEL}", lifecycle="live"),
            LabVersion(label=BAD_MODEL, quality=BAD, changelog="In canary at 10 %.", uri=f"models:/{ALIAS}/{BAD_MODEL}", lifecycle="canary"),
        )
        tested, good = f"haproxy:{BAD_MODEL}:lab", f"haproxy:{GOOD_MODEL}:lab"
        targets = {environment: {"backend": f"{ALIAS}-{environment}", "servers": {tested: ["tested"], good: ["good"]}} for environment in self.environments}
        candidates = ((tested, BAD_MODEL, 10), (good, GOOD_MODEL, 90))
        return [MovedAlias(ALIAS, "Fast model (lab)", "model", "haproxy", versions, candidates, targets)]

    def connections(self, environment: str) -> list[LabConnection]:
        """Its runtime socket."""
        return [LabConnection("haproxy", {"sockets": {"haproxy": f"unix:{self.socket}"}, "state_file": str(self.folder / "haproxy.state")})]

    def traffic(self, environment: str) -> dict[str, str]:
        """Through the environment's frontend."""
        return {ALIAS: f"http://{LOOPBACK}:{self.ports.balancer(environment)}/v1/chat/completions"}
