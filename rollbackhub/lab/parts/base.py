"""What a part of the lab is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import httpx

from rollbackhub.lab.catalogue import LabVersion
from rollbackhub.lab.children import Child
from rollbackhub.lab.deployer.settings import Service
from rollbackhub.lab.ports import LOOPBACK, Ports


@dataclass(frozen=True, slots=True)
class MovedAlias:
    """An alias that a mechanism moves. Candidates are (id, version, weight); `targets` by environment."""

    alias: str
    artefact_name: str
    change_type: str
    connector: str
    versions: tuple[LabVersion, ...]
    candidates: tuple[tuple[str, str, int], ...]
    targets: Mapping[str, Mapping[str, Any]]
    target_seconds: int | None = None
    stakes: str = "standard"


@dataclass(frozen=True, slots=True)
class LabConnection:
    """How an environment reaches the part."""

    connector: str
    settings: dict[str, Any] = field(default_factory=dict)


class LabPart:
    """One real system of the lab."""

    name: ClassVar[str]
    needs: ClassVar[str] = ""
    """A part that has to run beside it."""

    def __init__(self, *, environments: Sequence[str], ports: Ports, folder: Path, hub_url: str) -> None:
        self.environments = tuple(environments)
        self.ports = ports
        self.folder = folder
        self.hub_url = hub_url
        self.beside: frozenset[str] = frozenset()
        """The names of all parts that run, its own too."""

    def missing(self) -> str:
        """Why it cannot run on this machine, and what to do; empty when it can."""
        return ""

    def ports_used(self) -> dict[str, int]:
        """Its own ports, by what they are for."""
        return {}

    def prepare(self) -> None:
        """Make what it needs on disk. Safe to repeat: what somebody changed stays."""

    def children(self) -> list[Child]:
        """Its processes."""
        return []

    def services(self) -> dict[str, Service]:
        """What the lab's deployer runs for it."""
        return {}

    def aliases(self) -> list[MovedAlias]:
        """What it moves. Known after `prepare`."""
        return []

    def connections(self, environment: str) -> list[LabConnection]:
        """How the environment reaches it."""
        return []

    def is_ready(self, client: httpx.Client) -> bool:
        """Whether what a first drill needs of it is there. Raises httpx.TransportError while it does not answer."""
        return True

    def traffic(self, environment: str) -> dict[str, str]:
        """Where simulated users send requests: address by alias."""
        return {}

    def follow(self) -> None:
        """Called every second while the lab runs: what can be done only once its processes answer. Must not wait long."""

    def status_url(self, alias: str, environment: str) -> str:
        """Where the deployer says which version of the alias runs."""
        return f"http://{LOOPBACK}:{self.ports.deployer}/services/{alias}-{environment}"
