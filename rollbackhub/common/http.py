"""The one way in which RollbackHub calls other systems over HTTP.

An address comes from settings that a person typed, so every call is guarded: http and https only, only hosts in OUTBOUND_ALLOWED_HOSTS, never a
link-local, multicast or cloud-metadata address (checked after resolving, on the very address that is connected to), no redirects, no proxies from the
environment, and a bound on the whole call's time and on the answer's size. The bounds hold for servers that drip one byte a second, too.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpcore
import httpx
from django.conf import settings

from rollbackhub.common.errors import RollbackHubError, TransientError, Unavailable
from rollbackhub.common.http_network import GuardedBackend, OutboundRefused, deadline_of_this_thread, plain_host, require_allowed_host

__all__ = ["DEFAULT_MAX_BYTES", "OutboundRefused", "Response", "guarded_get", "guarded_request", "require_callable"]

DEFAULT_MAX_BYTES = 4 * 1024 * 1024
_MOST_CONNECTIONS = 64
_IDLE_SECONDS = 15.0
_UNREADABLE = "An address that cannot be read may not be called. It looks like http://host:port/path."


@dataclass(frozen=True, slots=True)
class Response:
    """A whole answer. Its status is 2xx or 4xx: everything else was raised as an error."""

    url: str
    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes = field(repr=False)
    seconds: float
    """From the call to the last byte."""

    @property
    def text(self) -> str:
        """The body as UTF-8; bytes that are none become U+FFFD."""
        return self.body.decode("utf-8", errors="replace")

    def json(self) -> Any:
        """The body as JSON. Raises Unavailable (code `unreadable_answer`) when it is none."""
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise Unavailable(f"{self.url} did not answer with JSON ({error}). Check that the address is the right one.", code="unreadable_answer") from error


def guarded_get(url: str, *, timeout_seconds: float, max_bytes: int = DEFAULT_MAX_BYTES, headers: Mapping[str, str] | None = None) -> Response:
    """GET an address; see guarded_request."""
    return guarded_request("GET", url, timeout_seconds=timeout_seconds, max_bytes=max_bytes, headers=headers)


def guarded_request(
    method: str,
    url: str,
    *,
    timeout_seconds: float,
    max_bytes: int = DEFAULT_MAX_BYTES,
    headers: Mapping[str, str] | None = None,
    content: bytes = b"",
) -> Response:
    """Send one request and read the whole answer within `timeout_seconds` (resolving, connecting and reading together).

    Raises OutboundRefused (code `outbound_refused`) for an address that may not be called; TransientError, which is worth a retry, when nobody answers
    (`unreachable`), not in time (`timeout`), not in HTTP (`broken_answer`), or with a 5xx (`server_error`, with `http_status`); Unavailable for an answer
    that will not get better by itself: over `max_bytes` (`answer_too_large`) or a redirect (`unexpected_redirect`). A 4xx is returned.
    """
    target = _checked(url)
    shown = f"{target.scheme}://{target.netloc.decode('ascii')}{target.path}"
    started = time.monotonic()
    with deadline_of_this_thread(started + timeout_seconds):
        try:
            status, answer_headers, body = _exchange(method, target, timeout_seconds=timeout_seconds, max_bytes=max_bytes, headers=headers, content=content)
        except httpcore.TimeoutException as error:
            raise TransientError(f"{shown} did not answer within {timeout_seconds:g} s.", code="timeout") from error
        except httpcore.NetworkError as error:
            raise TransientError(
                f"{shown} cannot be reached ({error or type(error).__name__}). Check that it runs and listens there.", code="unreachable"
            ) from error
        except (httpcore.LocalProtocolError, UnicodeEncodeError) as error:
            raise RollbackHubError("A header or method of this call may not be sent.", code="bad_request_header") from error
        except httpcore.ProtocolError as error:
            raise TransientError(f"{shown} broke off or did not speak HTTP ({error}).", code="broken_answer") from error
        except _TooLarge as error:
            raise Unavailable(f"{shown} answers with more than {max_bytes} bytes.", code="answer_too_large") from error
    if status >= 500:
        raise TransientError(f"{shown} answered {status}.", code="server_error", http_status=status)
    if not 200 <= status < 300 and not 400 <= status < 500:
        raise Unavailable(
            f"{shown} answered {status}; redirects are not followed. Set the address that it leads to.", code="unexpected_redirect", http_status=status
        )
    return Response(url=shown, status=status, headers=answer_headers, body=body, seconds=time.monotonic() - started)


class _TooLarge(Exception):
    pass


def require_callable(url: str) -> None:
    """Raise OutboundRefused when a call of this address would be refused whatever its name leads to. Without network."""
    _checked(url)


def _checked(url: str) -> httpx.URL:
    """The parsed address, when its scheme and host are allowed."""
    try:
        target = httpx.URL(url)
        readable = target.port is None or 1 <= target.port <= 65535
    except (httpx.InvalidURL, TypeError, ValueError) as error:
        raise OutboundRefused(_UNREADABLE) from error
    if not readable:
        raise OutboundRefused(_UNREADABLE)
    host = plain_host(target.host)
    if target.scheme not in {"http", "https"} or not host:
        raise OutboundRefused("Only http:// and https:// addresses may be called.")
    if target.userinfo:
        raise OutboundRefused("An address may not carry a user name or password.")
    require_allowed_host(host, settings.CONFIG.outbound_allowed_hosts)
    return target


def _exchange(
    method: str, target: httpx.URL, *, timeout_seconds: float, max_bytes: int, headers: Mapping[str, str] | None, content: bytes
) -> tuple[int, dict[str, str], bytes]:
    sent = {"Host": target.netloc.decode("ascii"), "Accept-Encoding": "identity", "User-Agent": "rollbackhub", **(headers or {})}
    timeouts = dict.fromkeys(("connect", "read", "write", "pool"), timeout_seconds)
    url = httpcore.URL(scheme=target.raw_scheme, host=target.raw_host, port=target.port, target=target.raw_path)
    with _pool().stream(method, url, headers=list(sent.items()), content=content or None, extensions={"timeout": timeouts}) as answer:
        names = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in answer.headers}
        if names.get("content-length", "").isdecimal() and int(names["content-length"]) > max_bytes and method != "HEAD":
            raise _TooLarge
        body = bytearray()
        for chunk in answer.iter_stream():
            body += chunk
            if len(body) > max_bytes:
                raise _TooLarge
    return answer.status, names, bytes(body)


class _Pools:
    """The process's pool of connections. A forked child starts a new one: two processes on one connection would read each other's answers."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.pool: httpcore.ConnectionPool | None = None


_pools = _Pools()


def _pool() -> httpcore.ConnectionPool:
    with _pools.lock:
        if _pools.pool is None:
            _pools.pool = httpcore.ConnectionPool(
                max_connections=_MOST_CONNECTIONS,
                max_keepalive_connections=_MOST_CONNECTIONS // 2,
                keepalive_expiry=_IDLE_SECONDS,
                network_backend=GuardedBackend(),
            )
        return _pools.pool


def _start_anew() -> None:
    global _pools
    _pools = _Pools()


os.register_at_fork(after_in_child=_start_anew)
