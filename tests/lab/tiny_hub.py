"""The hub's side of xDS without a database, for tests of the lab alone: the real rendering, held requests, flips by a call."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn

from rollbackhub.lab.asgi import PartServer, Receive, Scope, Send, read_body, send_answer
from rollbackhub.lab.catalogue import ALIASES
from rollbackhub.routing.xds.render import ROUTE_TYPE, route_table

HOLD_SECONDS = 10.0


def lab_weights() -> dict[str, dict[str, int]]:
    """The weights of the lab's aliases, by alias and candidate id."""
    return {alias.alias: {candidate.candidate_id: candidate.weight for candidate in alias.candidates} for alias in ALIASES}


_PINS = {candidate.candidate_id: candidate.version_pin for alias in ALIASES for candidate in alias.candidates}


@dataclass
class TinyHub:
    """One environment's policies, and what gateways said about them."""

    environment: str = "staging"
    port: int = 0
    number: int = 1
    weights: dict[str, dict[str, int]] = field(default_factory=lab_weights)
    requests: list[dict[str, Any]] = field(default_factory=list)
    """Every discovery request, without the node's long list of extensions."""
    applied: int = 0
    refused: int | None = None
    """The number that was answered and not applied: Envoy's REST client says no more than that."""
    _answered: dict[tuple[str, int], int] = field(default_factory=dict)
    """What was answered last on each connection. A restarted Envoy asks without a version too, but on a new connection."""
    _waiting: set[asyncio.Task[Any]] = field(default_factory=set)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _loop: asyncio.AbstractEventLoop | None = None

    @property
    def url(self) -> str:
        """Where gateways ask."""
        return f"http://127.0.0.1:{self.port}"

    def flip(self, alias: str, weights: dict[str, int]) -> int:
        """Give the alias these weights; answers the routing state's new number."""
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(self._flip(alias, weights), self._loop).result(5)

    async def _flip(self, alias: str, weights: dict[str, int]) -> int:
        self.weights[alias] = weights
        self.number += 1
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
        return self.number

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one discovery request as the hub does."""
        if scope["type"] != "http":
            return
        body = await read_body(receive, max_bytes=1_000_000)
        request = json.loads(body or b"{}")
        request.get("node", {}).pop("extensions", None)
        self.requests.append(request)
        connection, environment = tuple(scope["client"]), request["node"]["cluster"]
        applied, answered = int(request.get("version_info") or 0), self._answered.get(connection)
        refused = answered if answered not in (None, applied) else None
        if environment == self.environment:
            self.applied, self.refused = applied, refused
        if self.number in (applied, refused) and not await self._next_flip():
            await send_answer(send, status=304, body=b"", content_type="application/json")
            return
        self._answered[connection] = self.number
        rows = [(alias, candidate, _PINS[candidate], weight) for alias, weights in self.weights.items() for candidate, weight in weights.items()]
        table = {"@type": ROUTE_TYPE, **route_table(environment=environment, rows=rows)}
        answer = {"version_info": str(self.number), "type_url": ROUTE_TYPE, "resources": [table]}
        await send_answer(send, status=200, body=json.dumps(answer).encode(), content_type="application/json")

    async def _next_flip(self) -> bool:
        waiting = asyncio.create_task(self._changed.wait())
        self._waiting.add(waiting)
        done, _ = await asyncio.wait({waiting}, timeout=HOLD_SECONDS)
        self._waiting.discard(waiting)
        waiting.cancel()
        return waiting in done

    async def serve(self, listening: socket.socket, started: threading.Event, stop: threading.Event) -> None:
        """Serve until told to stop."""
        self._loop = asyncio.get_running_loop()
        server = PartServer(uvicorn.Config(self, lifespan="off", log_level="warning", access_log=False, proxy_headers=False))
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        while not server.started:
            await asyncio.sleep(0.01)
        started.set()
        await asyncio.to_thread(stop.wait)
        server.should_exit = True
        for waiting in self._waiting:
            waiting.cancel()
        await serving


@contextmanager
def running_hub(environment: str = "staging") -> Iterator[TinyHub]:
    """A hub in a thread of its own."""
    listening = socket.create_server(("127.0.0.1", 0))
    hub = TinyHub(environment=environment, port=listening.getsockname()[1])
    started, stop = threading.Event(), threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(hub.serve(listening, started, stop)), name="tiny-hub")
    thread.start()
    try:
        assert started.wait(5)
        yield hub
    finally:
        stop.set()
        thread.join(10)
        listening.close()
