"""The network under `common/http.py`: which addresses may be connected to, and a deadline that every read and write obeys."""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import httpcore

from rollbackhub.common.errors import RollbackHubError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NEVER = [
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8",  # "this host": connects to loopback on Linux
        "169.254.0.0/16",  # link-local, and the metadata service of most clouds
        "100.100.100.200/32",  # metadata, Alibaba
        "192.0.0.192/32",  # metadata, Oracle
        "224.0.0.0/4",  # multicast
        "255.255.255.255/32",
        "::/128",
        "fe80::/10",
        "fec0::/10",
        "ff00::/8",
        "fd00:ec2::/32",  # metadata, AWS
        "fd20:ce::254/128",  # metadata, Google
    )
]
_METADATA_NAMES = frozenset({"metadata.google.internal", "metadata.goog", "instance-data.ec2.internal"})
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_WRITE_AT_ONCE = 64 * 1024
_thread = threading.local()


class OutboundRefused(RollbackHubError):
    """RollbackHub may not call this address, whatever answers there."""

    code, status, title = "outbound_refused", 422, "This address may not be called"


@contextmanager
def deadline_of_this_thread(at: float) -> Iterator[None]:
    """Every read, write and connection of this thread ends by then (seconds of time.monotonic())."""
    before = getattr(_thread, "deadline", None)
    _thread.deadline = at
    try:
        yield
    finally:
        _thread.deadline = before


def _left(*, error: type[httpcore.TimeoutException]) -> float:
    """Seconds that this thread has left. Raises `error` when it has none."""
    left = float(_thread.deadline) - time.monotonic()
    if left <= 0:
        raise error("the whole call's time is over")
    return left


def plain_host(host: str) -> str:
    """A host as it is compared: lower case, IP addresses in their one shortest form, no brackets."""
    bare = host.strip().strip("[]").lower()
    try:
        return str(ipaddress.ip_address(bare))
    except ValueError:
        return bare


def is_forbidden(address: Address) -> bool:
    """Whether this address is never called, even by a name that is allowed."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (ipaddress.IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else None)
        if inner is not None:
            return is_forbidden(inner)
    return any(address in network for network in _NEVER)


def require_allowed_host(host: str, allowed: Iterable[str]) -> None:
    """Raise OutboundRefused unless this host is one of the allowed ones. What is never called no list allows. Without network."""
    plain = plain_host(host)
    address = _as_address(plain)
    if address is not None and is_forbidden(address):
        raise OutboundRefused(f"RollbackHub never calls {plain}: it is a link-local, metadata or multicast address. No setting allows it.")
    if plain in _METADATA_NAMES:
        raise OutboundRefused(f"RollbackHub never calls {plain}: it is a cloud's metadata service. No setting allows it.")
    if plain not in {plain_host(name) for name in allowed}:
        raise OutboundRefused(f"RollbackHub may not call {plain}. An administrator can allow it by adding it to OUTBOUND_ALLOWED_HOSTS.")


def _as_address(host: str) -> Address | None:
    """The address that a host is, in the notations that the system's resolver takes, too (2852039166, 0xA9FEA9FE, 169.254.43518)."""
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host)) if host[:1].isdigit() else None
    except (OSError, UnicodeEncodeError):
        return None


def resolve(host: str, *, seconds: float) -> list[Address]:
    """The addresses of a host, each checked. Raises OutboundRefused for a forbidden one, httpcore.ConnectError for an unknown name, ConnectTimeout."""
    try:
        found: list[Address] = [ipaddress.ip_address(host)]
    except ValueError:
        found = _looked_up(host, seconds=seconds)
    for address in found:
        if is_forbidden(address):
            raise OutboundRefused(f"{host} leads to {address}, which RollbackHub never calls (link-local, metadata or multicast).")
    return found


def _looked_up(host: str, *, seconds: float) -> list[Address]:
    """Ask the system's resolver, which knows no timeout, from a thread that is left behind when it takes too long."""
    answers: list[list[Any]] = []
    failures: list[OSError] = []

    def ask() -> None:
        try:
            answers.append(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            failures.append(error if isinstance(error, OSError) else OSError(str(error)))

    asking = threading.Thread(target=ask, name=f"resolve-{host}", daemon=True)
    asking.start()
    asking.join(seconds)
    if failures:
        raise httpcore.ConnectError(f"the name {host} is not known: {failures[0]}")
    if not answers:
        raise httpcore.ConnectTimeout(f"the name {host} was not resolved in time")
    return [ipaddress.ip_address(entry[4][0]) for entry in answers[0]]


class GuardedBackend(httpcore.SyncBackend):
    """Resolves once, checks the address, connects to that very address. TLS and the Host header keep the name."""

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first address of the host that answers."""
        failure: httpcore.NetworkError | None = None
        for address in resolve(host, seconds=_left(error=httpcore.ConnectTimeout)):
            try:
                left = _left(error=httpcore.ConnectTimeout)
                return DeadlineStream(super().connect_tcp(str(address), port, timeout=left, local_address=local_address, socket_options=socket_options))
            except httpcore.ConnectError as error:
                failure = error
        raise failure or httpcore.ConnectError(f"{host} has no address")


class DeadlineStream(httpcore.NetworkStream):
    """A connection whose every read and write ends by the deadline of the thread that uses it."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read what there is, at most `max_bytes`."""
        return self._stream.read(max_bytes, _left(error=httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write all of it."""
        for start in range(0, len(buffer), _WRITE_AT_ONCE):
            self._stream.write(buffer[start : start + _WRITE_AT_ONCE], _left(error=httpcore.WriteTimeout))

    def close(self) -> None:
        """Close it."""
        self._stream.close()

    def start_tls(self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None) -> httpcore.NetworkStream:
        """Speak TLS from here on, with the name that was asked for."""
        return DeadlineStream(self._stream.start_tls(ssl_context, server_hostname, _left(error=httpcore.ConnectTimeout)))

    def get_extra_info(self, info: str) -> Any:
        """What httpcore wants to know of the socket."""
        return self._stream.get_extra_info(info)
