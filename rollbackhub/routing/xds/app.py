"""The ASGI application that answers Envoy's discovery requests. It stands before Django: a held request must not hold a thread.

An Envoy asks again at once after each answer; while it is current, its request is held and answered at the next flip. The
`version_info` it asks with is its acknowledgement of what it applied. Over REST Envoy sends no `error_detail` (measured, docs/lab.md): it
asks again on the same connection with the version that it still has, and that is its refusal.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

from django.conf import settings
from django.db import DatabaseError

from rollbackhub.common import clock
from rollbackhub.routing.domain.gateways import GatewayReport, record_report
from rollbackhub.routing.xds.flips import FlipWatcher, in_thread
from rollbackhub.routing.xds.render import Snapshot

logger = logging.getLogger(__name__)

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
AsgiApp = Callable[..., Awaitable[None]]

PATH = "/v3/discovery:routes"
MAX_REQUEST_BYTES = 1_000_000
SAY_AGAIN_SECONDS = 10.0
MAX_CONNECTIONS = 20_000
"""Of how many connections the last answer is remembered."""


class RefusedRequest(Exception):
    """A discovery request that cannot be answered: HTTP status and a sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence


class DiscoveryApp:
    """Answers `POST /v3/discovery:routes`; everything else goes to the application behind it."""

    def __init__(self, behind: AsgiApp) -> None:
        self._behind = behind
        self._watchers: dict[int, FlipWatcher] = {}
        self._answered: OrderedDict[tuple[str, int], int] = OrderedDict()
        """The routing state that was answered last on each connection, newest last."""
        self._said: dict[tuple[str, str], float] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] != "http" or scope["path"] != PATH:
            await self._behind(scope, receive, send)
            return
        try:
            require_allowed(scope)
            report = self._with_refusal(scope, read_report(scope, await _body(scope, receive)))
            snapshot = await self._answer(report, receive)
        except RefusedRequest as refusal:
            self._say_refused(scope, refusal)
            await _send(send, refusal.status, {"title": "The discovery request was refused", "detail": refusal.sentence})
        except DatabaseError:
            logger.warning("discovery: the database does not answer")
            await _send(send, 503, {"title": "Not available", "detail": "The database does not answer; keep the routes that you have and ask again."})
        else:
            if snapshot is None:
                await _send(send, 304, None)
            else:
                self._remember(scope, snapshot.number)
                await _send(send, 200, snapshot.body)

    def _with_refusal(self, scope: Scope, report: GatewayReport) -> GatewayReport:
        """The report, as a refusal when this connection was answered with another routing state than it says it has applied."""
        answered = self._answered.get(_connection(scope))
        if answered is None or report.refused_number is not None or report.applied_number == answered:
            return report
        kept = f"keeps {report.applied_number}" if report.applied_number else "has none"
        refusal = f"{report.node_id} did not take routing state {answered} and {kept}; often a cluster that it does not have. The gateway's own log says why."
        return replace(report, refused_number=answered, refusal=refusal)

    def _remember(self, scope: Scope, number: int) -> None:
        connection = _connection(scope)
        self._answered[connection] = number
        self._answered.move_to_end(connection)
        if len(self._answered) > MAX_CONNECTIONS:
            self._answered.popitem(last=False)

    async def _answer(self, report: GatewayReport, receive: Receive) -> Snapshot | None:
        """What to answer: a snapshot, or None when nothing changed while the request was held."""
        if not await asyncio.to_thread(in_thread, lambda: record_report(report)):
            raise RefusedRequest(404, f"There is no environment {report.environment}; node.cluster must be an environment's slug.")
        watcher = self._watcher()
        snapshot = await watcher.current(report.environment)
        if snapshot is None:
            raise RefusedRequest(404, f"There is no environment {report.environment}.")
        held_at = report.applied_number if report.refused_number is None else report.refused_number
        if snapshot.number != held_at or not held_at:
            return snapshot
        # Whichever comes first: a flip, the end of the hold, or the gateway going away.
        waiting = asyncio.ensure_future(watcher.next_after(report.environment, held_at, timeout_seconds=settings.CONFIG.xds_hold_seconds))
        gone = asyncio.ensure_future(_disconnected(receive))
        try:
            await asyncio.wait({waiting, gone}, return_when=asyncio.FIRST_COMPLETED)
            return waiting.result() if waiting.done() else None
        finally:
            waiting.cancel()
            gone.cancel()

    def _say_refused(self, scope: Scope, refusal: RefusedRequest) -> None:
        """Log it, but not each time: a refused Envoy asks again about 30 times a second."""
        host, now = _connection(scope)[0], clock.monotonic()
        if now - self._said.get((host, refusal.sentence), -SAY_AGAIN_SECONDS) < SAY_AGAIN_SECONDS:
            return
        if len(self._said) > MAX_CONNECTIONS:
            self._said.clear()
        self._said[host, refusal.sentence] = now
        logger.warning("discovery: refused a request from %s: %s", host, refusal.sentence)

    def _watcher(self) -> FlipWatcher:
        """The watcher of the running event loop."""
        return self._watchers.setdefault(id(asyncio.get_running_loop()), FlipWatcher())


def require_allowed(scope: Scope) -> None:
    """Raise RefusedRequest unless the caller's address lies in XDS_ALLOWED_NETWORKS and the method is POST."""
    client = (scope.get("client") or ("",))[0]
    try:
        address = ipaddress.ip_address(client)
    except ValueError:
        raise RefusedRequest(403, "The caller has no address that could be allowed.") from None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    if not any(address in network for network in settings.CONFIG.xds_allowed_networks):
        raise RefusedRequest(403, f"{address} may not ask for routes. Add its network to XDS_ALLOWED_NETWORKS.")
    if scope["method"] != "POST":
        raise RefusedRequest(405, "Discovery requests are POST.")


def read_report(scope: Scope, body: bytes) -> GatewayReport:
    """What the discovery request says. Raises RefusedRequest when it is not one."""
    try:
        request = json.loads(body)
        node = request["node"]
        node_id, environment = node["id"], node["cluster"]
        version = request.get("version_info") or "0"
        error = request.get("error_detail")
        nonce = request.get("response_nonce") or "0"
        applied = int(version)
        refused = int(nonce) if error else None
        if not (
            isinstance(node_id, str)
            and isinstance(environment, str)
            and 0 < len(node_id) <= 120
            and environment
            and 0 <= applied < 2**62
            and (refused or 0) < 2**62
        ):
            raise ValueError
    except (ValueError, TypeError, KeyError, AttributeError):
        raise RefusedRequest(
            400, "This is not a DiscoveryRequest as JSON with node.id (at most 120 characters), node.cluster and a numeric version_info."
        ) from None
    refusal = str(error.get("message", error)) if isinstance(error, dict) else str(error or "")
    return GatewayReport(
        environment=environment,
        node_id=node_id,
        applied_number=applied,
        address=(scope.get("client") or (None,))[0],
        user_agent=str(node.get("user_agent_name", "")),
        refused_number=refused,
        refusal=refusal,
    )


def _connection(scope: Scope) -> tuple[str, int]:
    host, port = scope.get("client") or ("", 0)
    return (host, port)


async def _body(scope: Scope, receive: Receive) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise RefusedRequest(400, "The request ended early.")
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > MAX_REQUEST_BYTES:
            raise RefusedRequest(413, "A discovery request has at most 1 MB.")
        if not message.get("more_body"):
            return b"".join(chunks)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send(send: Send, status: int, content: bytes | dict[str, Any] | None) -> None:
    body = content if isinstance(content, bytes) else b"" if content is None else json.dumps({**content, "status": status}).encode()
    kind = b"application/json" if isinstance(content, bytes) else b"application/problem+json"
    headers = [(b"content-length", str(len(body)).encode())] + ([] if content is None else [(b"content-type", kind)])
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
