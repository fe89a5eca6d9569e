"""The simulated users: a steady, bounded stream of real requests through the gateways.

Bounded means: never faster than asked for, never more under way than the cap, and what could not be sent is counted and
forgotten. There is no backlog that would come down on a gateway when it is back.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import math
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import httpcore

from rollbackhub.lab.catalogue import quality_of
from rollbackhub.lab.clients import Direct, SimulatedClient, simulated_clients
from rollbackhub.lab.feedback import ErrorDiffusion
from rollbackhub.lab.metrics import TrafficMetrics

logger = logging.getLogger(__name__)

SERVED_HEADER = b"x-served-version"
MOST_UNDER_WAY = 64
TIMEOUT_SECONDS = 5.0
_TIMEOUTS = dict.fromkeys(("connect", "read", "write", "pool"), TIMEOUT_SECONDS)
MOST_AT_ONCE_SECONDS = 0.1
"""After a pause (a busy machine) at most this much of the stream is made up for, the rest is left out."""
SHORTEST_SLEEP = 0.002

_QUESTIONS = (
    "How do I export last month's invoices?",
    "Why was my card charged twice?",
    "Summarise the incident of this morning in three sentences.",
    "Which plan do I need for 40 people?",
    "Draft a reply to a customer who waits for a refund.",
)


@dataclass(frozen=True, slots=True)
class Target:
    """Where one stream goes: an alias behind an environment's gateway. `direct`: how sessions go past that; None: it has no sessions."""

    environment: str
    alias: str
    url: str
    direct: Direct | None = None


class Pace:
    """How many requests are due, at a constant rate. Its clock is passed in, in seconds."""

    def __init__(self, *, per_second: float, started_at: float) -> None:
        self._per_second = per_second
        self._counted_from = started_at
        self._sent = 0

    def due(self, now: float) -> int:
        """How many to send now. Time that was missed beyond MOST_AT_ONCE_SECONDS is not made up for."""
        owed = (now - self._counted_from) * self._per_second - self._sent
        most = max(1.0, MOST_AT_ONCE_SECONDS * self._per_second)
        if owed > most:
            self._counted_from += (owed - most) / self._per_second
            owed = most
        # A hair of tolerance, or rounding would make a request that is due now wait for one more sleep.
        count = max(0, math.floor(owed + 1e-6))
        self._sent += count
        return count

    def seconds_until_next(self, now: float) -> float:
        """How long until at least one is due."""
        return max(SHORTEST_SLEEP, self._counted_from + (self._sent + 1) / self._per_second - now)


class TrafficGenerator:
    """Sends chat completions to its targets in turn and counts what came back, by the version that served it."""

    def __init__(self, *, targets: Sequence[Target], per_second: float, metrics: TrafficMetrics, most_under_way: int = MOST_UNDER_WAY) -> None:
        self._clients = {target: simulated_clients() for target in targets if target.direct is not None}
        self._sticky: frozenset[str] = frozenset()
        self._turns = itertools.cycle([(target, self._turns_of(target)) for target in targets])
        self._per_second = per_second
        self._metrics = metrics
        self._most_under_way = most_under_way
        self._under_way: set[asyncio.Task[None]] = set()
        self._questions = itertools.cycle(_QUESTIONS)
        self._feedback = ErrorDiffusion()

    def _turns_of(self, target: Target) -> Iterator[SimulatedClient]:
        return itertools.cycle(self._clients.get(target) or [SimulatedClient(carries_session=False)])

    @property
    def sticky(self) -> frozenset[str]:
        """The environments whose sessions hold."""
        return self._sticky

    def set_sticky(self, environments: Iterable[str]) -> None:
        """Have sessions hold in these environments: a client gets one by its next answer. In the others they end at once."""
        self._sticky = frozenset(environments)
        for target, clients in self._clients.items():
            if target.environment not in self._sticky:
                for client in clients:
                    self._pin(target, client, None)

    def _pin(self, target: Target, client: SimulatedClient, version: str | None) -> None:
        for pinned_to, change in ((client.pinned_to, -1), (version, 1)):
            if pinned_to is not None:
                self._metrics.sticky_clients.labels(target.environment, target.alias, pinned_to).inc(change)
        client.pinned_to = version

    async def run(self) -> None:
        """Send until cancelled."""
        # httpx without its upper layer: half of the CPU time per request (measured, docs/lab.md), and the lab shares its machine.
        async with httpcore.AsyncConnectionPool(
            max_connections=self._most_under_way, max_keepalive_connections=self._most_under_way, keepalive_expiry=30
        ) as pool:
            pace = Pace(per_second=self._per_second, started_at=time.monotonic())
            try:
                while True:
                    for _ in range(pace.due(time.monotonic())):
                        self._start_one(pool)
                    await asyncio.sleep(pace.seconds_until_next(time.monotonic()))
            finally:
                for task in self._under_way:
                    task.cancel()

    def _start_one(self, pool: httpcore.AsyncConnectionPool) -> None:
        target, turns = next(self._turns)
        client = next(turns)
        if len(self._under_way) >= self._most_under_way:
            self._metrics.skipped.labels(target.environment, target.alias).inc()
            return
        task = asyncio.create_task(self._send(pool, target, client))
        self._under_way.add(task)
        task.add_done_callback(self._done)
        self._metrics.under_way.set(len(self._under_way))

    def _done(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._metrics.under_way.set(len(self._under_way))
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("the traffic generator failed on a request", exc_info=error)

    async def _send(self, pool: httpcore.AsyncConnectionPool, target: Target, client: SimulatedClient) -> None:
        question = {"role": "user", "content": next(self._questions)}
        body = json.dumps({"model": target.alias, "messages": [question], "user": "simulated"}).encode()
        headers = [(b"host", b"lab-gateway"), (b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        url = target.url
        if target.direct is not None and client.pinned_to is not None:
            url, more = target.direct(client.pinned_to)
            headers += more
        started = time.perf_counter()
        try:
            answer = await pool.request("POST", url, headers=headers, content=body, extensions={"timeout": _TIMEOUTS})
        except httpcore.TimeoutException:
            self._metrics.failed(environment=target.environment, alias=target.alias, code="timeout")
            return
        except (httpcore.NetworkError, httpcore.ProtocolError):
            self._metrics.failed(environment=target.environment, alias=target.alias, code="unreachable")
            return
        seconds = time.perf_counter() - started
        served = next((value for name, value in answer.headers if name.lower() == SERVED_HEADER), None)
        if served is None:
            self._metrics.failed(environment=target.environment, alias=target.alias, code=str(answer.status))
            return
        version = served.decode("latin-1")
        if client.carries_session and client.pinned_to is None and target.environment in self._sticky:
            self._pin(target, client, version)
        # The simulated user: dislikes as many answers of a version as its quality says.
        disliked = self._feedback.happens(key=(target.environment, target.alias, version), rate=quality_of(version).negative_feedback)
        self._metrics.answered(environment=target.environment, alias=target.alias, version=version, code=str(answer.status), seconds=seconds, disliked=disliked)
