"""Questions to the database and the broker that never keep the asker waiting, however those hang."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from typing import Generic, TypeVar

import psycopg
from django.conf import settings

from rollbackhub.celery import app
from rollbackhub.common import clock
from rollbackhub.common.database_url import conninfo
from rollbackhub.local.health.rules import Beat

Answer = TypeVar("Answer")

STATEMENT_MILLISECONDS = 1500

_BEATS = """
    SELECT name, pid, host,
        extract(epoch FROM clock_timestamp() - beat_at)::float,
        extract(epoch FROM clock_timestamp() - ended_at)::float,
        ending, ended_well,
        extract(epoch FROM clock_timestamp() - canary_at)::float,
        ARRAY(SELECT jsonb_object_keys(coalesce(state -> 'failing', '{}')))
    FROM common_processheartbeat ORDER BY beat_at DESC LIMIT 500
"""
_AUDIT = """
    SELECT count(*), extract(epoch FROM clock_timestamp() - min(e.at))::float
    FROM (SELECT event_id FROM audit_auditpending LIMIT 10000) p JOIN audit_auditevent e ON e.id = p.event_id
"""


class NoAnswer(Exception):
    """The question was not answered (in time); the message says how."""


@dataclass(frozen=True, slots=True)
class DatabaseAnswer:
    """What the database knows about RollbackHub's health."""

    beats: list[Beat]
    pending: int
    oldest_pending_seconds: float | None
    seconds: float
    """How long the answer took."""


class Probe(Generic[Answer]):
    """Asks one question in a thread of its own, at most once at a time: a hanging system costs one thread, not one per request."""

    def __init__(self, name: str, ask: Callable[[], Answer]) -> None:
        self._name = name
        self._ask = ask
        self._lock = threading.Lock()
        self._running: Future[Answer] | None = None
        self._since = 0.0

    def answer(self, *, timeout_seconds: float) -> Answer:
        """Ask and wait; those who ask while one is on its way share it. Raises NoAnswer."""
        return self.wait(self.start(), timeout_seconds=timeout_seconds)

    def wait(self, question: tuple[Future[Answer], float], *, timeout_seconds: float) -> Answer:
        """The answer to what `start` asked. Raises NoAnswer."""
        running, since = question
        try:
            return running.result(timeout_seconds)
        except FutureTimeout:
            raise NoAnswer(f"It has not answered for {clock.monotonic() - since:.1f} s.") from None
        except Exception as error:
            # Whatever the client library raises means the same here.
            text = str(error).strip()
            raise NoAnswer(f"It does not answer: {text.splitlines()[0] if text else type(error).__name__}") from error

    def start(self) -> tuple[Future[Answer], float]:
        """Ask, unless a question is on its way; answers the coming answer and when it was asked for."""
        with self._lock:
            if self._running is None or self._running.done():
                self._running = self._ask_in_thread()
            return self._running, self._since

    def _ask_in_thread(self) -> Future[Answer]:
        future: Future[Answer] = Future()
        self._since = clock.monotonic()

        def run() -> None:
            try:
                future.set_result(self._ask())
            except BaseException as error:
                future.set_exception(error)

        threading.Thread(target=run, name=f"probe-{self._name}", daemon=True).start()
        return future


def ask_database() -> DatabaseAnswer:
    """Read heartbeats and the audit log's backlog on a connection of its own. Raises psycopg.Error."""
    start = clock.monotonic()
    options = f"-c statement_timeout={STATEMENT_MILLISECONDS}"
    with psycopg.connect(conninfo(settings.DATABASES["default"]), autocommit=True, connect_timeout=2, options=options) as connection:
        rows = connection.execute(_BEATS).fetchall()
        pending, oldest = connection.execute(_AUDIT).fetchone() or (0, None)
    beats = [
        Beat(name=name, pid=pid, host=host, age=age, ended_ago=ended, ending=ending, ended_well=well, canary_age=canary, failing=failing)
        for name, pid, host, age, ended, ending, well, canary, failing in rows
    ]
    return DatabaseAnswer(beats=beats, pending=pending, oldest_pending_seconds=oldest, seconds=clock.monotonic() - start)


def ask_broker() -> float:
    """Connect to the broker as Celery does; answers the seconds it took. Raises what the transport raises."""
    start = clock.monotonic()
    with app.connection_for_write(connect_timeout=1) as connection:
        connection.connect()
        # For Redis and Valkey this is what first sends something.
        connection.default_channel.close()
    return clock.monotonic() - start


database_probe: Probe[DatabaseAnswer] = Probe("database", ask_database)
broker_probe: Probe[float] = Probe("broker", ask_broker)
