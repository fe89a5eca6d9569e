"""HAProxy's runtime API over a socket: one connection a question, one bound of time over all of it (management guide, 9.3 "Unix Socket commands")."""

from __future__ import annotations

import csv
import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass

import httpcore
from django.conf import settings as django_settings

from rollbackhub.common.errors import TransientError, Unavailable
from rollbackhub.common.http_network import plain_host, require_allowed_host, resolve
from rollbackhub.connectors.base import PermissionMissing

MAX_BYTES = 16_000_000
_SERVER_TYPE = "2"


class NoSuch(Exception):
    """HAProxy says that there is no such backend or server."""


@dataclass(frozen=True, slots=True)
class Server:
    """One server of a backend, as a process sees it."""

    name: str
    status: str
    """HAProxy's own word: UP, DOWN, MAINT, DRAIN, NOLB, `no check`, with a count while it changes (`UP 1/3`)."""
    weight: int
    initial_weight: int
    backup: bool
    requests: int
    active: int

    @property
    def is_up(self) -> bool:
        """Whether a health check says that it serves. Without a check nobody knows."""
        return self.status.split(" ")[0] == "UP"

    @property
    def is_unchecked(self) -> bool:
        """Whether HAProxy has no health check of it."""
        return self.status == "no check"

    @property
    def takes_traffic(self) -> bool:
        """Whether the balancing would choose it, now or when it comes up."""
        return self.weight > 0 and not self.backup and not self.status.startswith("MAINT")


class Process:
    """One HAProxy process. Every call may raise TransientError, PermissionMissing, OutboundRefused and Unavailable."""

    def __init__(self, name: str, address: str, *, timeout_seconds: float) -> None:
        self.name = name
        self._kind, _, self._place = address.partition(":")
        self._timeout_seconds = timeout_seconds

    def level(self) -> str:
        """What this socket lets us do: `user`, `operator` or `admin`. Changes nothing."""
        return self.ask("show cli level").strip()

    def servers(self, backend: str) -> dict[str, Server]:
        """The backend's servers by name. Raises NoSuch when there is no such backend."""
        # Two answers over one connection; the second begins with the version of its format, "1".
        answer = self.ask(f"show stat {backend} 4 -1; show servers state {backend}")
        if "No such proxy" in answer or "Can't find backend" in answer:
            raise NoSuch
        stats, _, state = answer.partition("\n\n")
        initial = {row["srv_name"]: row["srv_iweight"] for row in _state_rows(state)}
        found = {}
        try:
            for row in csv.DictReader(stats.lstrip("# ").splitlines()):
                if row["type"] == _SERVER_TYPE and row["pxname"] == backend:
                    name = row["svname"]
                    numbers = [int(number) for number in (row["uweight"], initial[name], row["stot"], row["scur"])]
                    weight, first, requests, active = numbers
                    backup = row["bck"] == "1"
                    found[name] = Server(name, row["status"], weight, first, backup, requests, active)
        except (KeyError, ValueError, TypeError) as error:
            raise Unavailable(f"HAProxy {self.name} answered in an unknown shape. It must be version 2.2 or newer.", code="unexpected_answer") from error
        return found

    def set_weight(self, backend: str, server: str, weight: int) -> None:
        """Set one weight. Raises NoSuch; Unavailable when HAProxy refuses it for what the backend is (a static balancing takes no weights)."""
        answer = self.ask(f"set weight {backend}/{server} {weight}").strip()
        if "Permission denied" in answer:
            raise PermissionMissing(f"The socket of HAProxy {self.name} does not let us set weights. It needs `level admin`.")
        if "No such" in answer:
            raise NoSuch
        if answer:
            raise Unavailable(f"HAProxy {self.name} refused the weight of {backend}/{server}: {answer[:300]}", code="refused")

    def state(self) -> str:
        """All servers' state, as `load-server-state-from-file` reads it."""
        return self.ask("show servers state").rstrip("\n") + "\n"

    def ask(self, command: str) -> str:
        """The answer to one line of commands. Raises TransientError when nobody answers, or not in time; PermissionMissing; OutboundRefused."""
        until = time.monotonic() + self._timeout_seconds
        try:
            with self._connected(until) as connection:
                connection.sendall(command.encode("ascii") + b"\n")
                answer = bytearray()
                while chunk := _received(connection, until):
                    answer += chunk
                    if len(answer) > MAX_BYTES:
                        raise Unavailable(f"HAProxy {self.name} answers with more than {MAX_BYTES} bytes.", code="answer_too_large")
        except PermissionError as error:
            remedy = "Give RollbackHub's user the right to it (`user`, `group` and `mode` of the stats socket)."
            raise PermissionMissing(f"The socket {self._place} of HAProxy {self.name} may not be opened. {remedy}") from error
        except (TimeoutError, httpcore.ConnectTimeout) as error:
            raise TransientError(f"HAProxy {self.name} did not answer within {self._timeout_seconds:g} s.", code="timeout") from error
        except (OSError, httpcore.ConnectError) as error:
            why = getattr(error, "strerror", None) or type(error).__name__
            raise TransientError(f"HAProxy {self.name} cannot be reached at {self._place} ({why}). Check that it runs.", code="unreachable") from error
        if not answer:
            raise TransientError(f"HAProxy {self.name} broke off without an answer.", code="broken_answer")
        return answer.decode("utf-8", errors="replace")

    def _connected(self, until: float) -> socket.socket:
        if self._kind == "tcp":
            return self._connected_by_tcp(until)
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.settimeout(_left(until))
            connection.connect(self._place)
        except OSError:
            connection.close()
            raise
        return connection

    def _connected_by_tcp(self, until: float) -> socket.socket:
        """Guarded as HTTP calls are: only allowed hosts, and never an address that leads to metadata."""
        written, _, port = self._place.rpartition(":")
        host = plain_host(written)
        require_allowed_host(host, django_settings.CONFIG.outbound_allowed_hosts)
        address = resolve(host, seconds=_left(until))[0]
        return socket.create_connection((str(address), int(port)), timeout=_left(until))


def _received(connection: socket.socket, until: float) -> bytes:
    connection.settimeout(_left(until))
    return connection.recv(65536)


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _state_rows(state: str) -> Iterable[dict[str, str]]:
    """The rows of `show servers state`: its version, a line of names after `#`, then values with spaces between."""
    lines = state.strip().splitlines()
    names = lines[1].lstrip("# ").split() if len(lines) > 1 else []
    return [dict(zip(names, line.split(), strict=False)) for line in lines[2:] if line.strip()]
