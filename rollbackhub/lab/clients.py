"""The simulated clients of an alias. Some carry a session: as an application's own session affinity, in front of the gateways, would use it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rollbackhub.lab.catalogue import LabAlias
from rollbackhub.lab.feedback import ErrorDiffusion
from rollbackhub.lab.ports import LOOPBACK, Ports

CLIENTS = 100
"""Clients of one alias in one environment, asking in turn."""
STICKY_SHARE = 0.3
"""How many of them carry a session."""
COOKIE = b"lab_session"

Header = tuple[bytes, bytes]
Direct = Callable[[str], tuple[str, tuple[Header, ...]]]
"""A version → the address and the headers with which its model server is asked, past the gateway."""


@dataclass(slots=True)
class SimulatedClient:
    """One client. `pinned_to`: the version that its session holds it at; None while it has no session."""

    carries_session: bool
    pinned_to: str | None = None


def simulated_clients() -> list[SimulatedClient]:
    """The clients of one alias; those with a session are spread evenly, so that every ten in a row show the share."""
    spread = ErrorDiffusion()
    return [SimulatedClient(carries_session=spread.happens(key="", rate=STICKY_SHARE)) for _ in range(CLIENTS)]


def direct_to(alias: LabAlias, ports: Ports) -> Direct:
    """How a session reaches the model server of a version of this alias."""
    servers = {candidate.version_pin: candidate.model for candidate in alias.candidates}
    # A prompt version that somebody registered beside the lab's own runs where the others do.
    usual = alias.candidates[-1].model

    def route(version: str) -> tuple[str, tuple[Header, ...]]:
        headers: tuple[Header, ...] = ((b"cookie", COOKIE + b"=" + version.encode()),)
        if alias.change_type == "prompt":
            headers += ((b"x-rollbackhub-version", version.encode()), (b"x-rollbackhub-candidate", f"prompts:{version}:session".encode()))
        return f"http://{LOOPBACK}:{ports.model_server(servers.get(version, usual))}/v1/chat/completions", headers

    return route
