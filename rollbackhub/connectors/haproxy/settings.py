"""What a HAProxy connection and its target are."""

from __future__ import annotations

import re
from collections import Counter
from typing import Self

from pydantic import Field, field_validator, model_validator

from rollbackhub.connectors.base import ConnectorSettings
from rollbackhub.connectors.mechanism import TargetSettings

# HAProxy's own rule for names of proxies and servers; so nothing that ends or joins commands can be in one.
_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,200}")
_PROCESS = re.compile(r"[A-Za-z0-9_.-]{1,100}")
_SOCKET = re.compile(r"unix:/[^\0\n;]{1,100}|tcp:(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]):[0-9]{1,5}")


class HaproxySettings(ConnectorSettings):
    """The processes that serve, each by its runtime socket. All of them always get the same weights."""

    sockets: dict[str, str] = Field(min_length=1, max_length=50, description="Runtime socket by the process's name: unix:/path or tcp:host:port")
    state_file: str = Field(
        default="",
        pattern=r"^(/[^\x00\n]{1,400})?$",
        description="Where the servers' state is saved after a change; {process} is the process's name",
        examples=["/var/lib/haproxy/{process}.state"],
    )

    @field_validator("sockets")
    @classmethod
    def _are_sockets(cls, sockets: dict[str, str]) -> dict[str, str]:
        for process, address in sockets.items():
            if not _PROCESS.fullmatch(process):
                raise ValueError("has a process whose name is not letters, digits, _ . and - only")
            if not _SOCKET.fullmatch(address) or (address.startswith("tcp:") and not 0 < int(address.rpartition(":")[2]) < 65536):
                # Not repeated: whatever was written there may be a secret.
                raise ValueError(f"must have unix:/path or tcp:host:port for {process}")
        if len(set(sockets.values())) < len(sockets):
            raise ValueError("names a socket twice")
        return sockets

    @model_validator(mode="after")
    def _a_file_each(self) -> Self:
        if self.state_file and len(self.sockets) > 1 and "{process}" not in self.state_file:
            raise ValueError("has several processes, so state_file must hold {process}: each saves its own state")
        return self

    def state_file_of(self, process: str) -> str:
        """Where this process's state is saved."""
        return self.state_file.replace("{process}", process)


class HaproxyTarget(TargetSettings):
    """One backend. Every server of it that is no backup belongs to a candidate."""

    backend: str = Field(description="The backend's name")
    servers: dict[str, list[str]] = Field(min_length=1, max_length=100, description="The backend's servers by the candidate that they serve")

    @property
    def subject(self) -> str:
        """What changes, for people: two aliases cannot share a backend, since all of its servers belong to the candidates of one."""
        return f"backend {self.backend}"

    @field_validator("backend")
    @classmethod
    def _is_name(cls, backend: str) -> str:
        if not _NAME.fullmatch(backend):
            raise ValueError("must be a name as HAProxy has them: letters, digits, _ . : and -")
        return backend

    @field_validator("servers")
    @classmethod
    def _are_servers(cls, servers: dict[str, list[str]]) -> dict[str, list[str]]:
        for candidate, names in servers.items():
            if not names:
                raise ValueError(f"names no server for {candidate}")
            if len(names) > 100 or not all(_NAME.fullmatch(name) for name in names):
                raise ValueError(f"must have at most 100 names of servers for {candidate}: letters, digits, _ . : and -")
        twice = [name for name, count in Counter(name for names in servers.values() for name in names).items() if count > 1]
        if twice:
            raise ValueError(f"names {', '.join(twice)} twice")
        return servers
