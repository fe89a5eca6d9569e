"""Heartbeats: each long-running process says every 2 s that it lives (`start_heartbeat`), and at its end how it ended.

A heartbeat has a thread and a database connection of its own (not the pool's: a process that forks must not share a pool), so it
beats while the process is busy, and stops when the process is stopped, killed, or cut off from the database.
"""

from __future__ import annotations

import atexit
import logging
import os
import socket
import threading
import uuid
from collections.abc import Callable
from typing import Any

import psycopg
from django.conf import settings
from psycopg.types.json import Jsonb

from rollbackhub.common.database_url import conninfo

logger = logging.getLogger(__name__)

BEAT_SECONDS = 2.0
CONNECT_SECONDS = 2
FORGET_AFTER = "1 hour"

_BEAT = """
    INSERT INTO common_processheartbeat (instance, name, host, pid, started_at, beat_at, ending, ended_well, state)
    VALUES (%(instance)s, %(name)s, %(host)s, %(pid)s, clock_timestamp(), clock_timestamp(), '', false, %(state)s)
    ON CONFLICT (instance) DO UPDATE SET beat_at = clock_timestamp(), state = EXCLUDED.state, ended_at = NULL, ending = '', ended_well = false
    RETURNING canary_at
"""
_END = """
    UPDATE common_processheartbeat SET ended_at = clock_timestamp(), ending = %(ending)s, ended_well = %(well)s WHERE instance = %(instance)s
"""
_FORGET = f"DELETE FROM common_processheartbeat WHERE beat_at < clock_timestamp() - interval '{FORGET_AFTER}'"
_DIED = """
    UPDATE common_processheartbeat SET ended_at = clock_timestamp(), ending = %(ending)s
    WHERE host = %(host)s AND pid = %(pid)s AND name = %(name)s AND ended_at IS NULL
"""


class Heartbeat:
    """The heartbeat of the present process."""

    def __init__(self, name: str, *, state: Callable[[], dict[str, Any]] | None = None) -> None:
        self.name = name
        self.instance = uuid.uuid4()
        self.canary_at: object = None
        """Database instant of the last canary that was carried out for this process; None before the first."""
        self._pid = os.getpid()
        self._state = state or dict
        self._connection: psycopg.Connection | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Begin to beat; the first beat forgets processes that were last heard of long ago."""
        self._thread.start()
        atexit.register(self.stop)

    def stop(self, *, ending: str = "stopped", well: bool = True) -> None:
        """Say how the process ends, and beat no more. Does nothing in a fork, or when it was said already."""
        if self._stopping.is_set() or os.getpid() != self._pid:
            return
        self._stopping.set()
        self._thread.join(CONNECT_SECONDS)
        if self._thread.is_alive():
            return
        self._execute(_END, {"instance": self.instance, "ending": ending, "well": well})
        if self._connection is not None:
            self._connection.close()

    def _run(self) -> None:
        forgotten = False
        while not self._stopping.is_set():
            values = {"instance": self.instance, "name": self.name, "host": socket.gethostname(), "pid": self._pid, "state": Jsonb(self._state())}
            row = self._execute(_BEAT, values)
            self.canary_at = row[0] if row else self.canary_at
            if row and not forgotten:
                forgotten = self._execute(_FORGET, {}) is not None
            self._stopping.wait(BEAT_SECONDS)

    def _execute(self, statement: str, values: dict[str, Any]) -> tuple[Any, ...] | None:
        """Run a statement; answers its row (empty when it gives none), or None when the database does not answer."""
        try:
            if self._connection is None or self._connection.closed:
                self._connection = psycopg.connect(conninfo(settings.DATABASES["default"]), autocommit=True, connect_timeout=CONNECT_SECONDS)
            cursor = self._connection.execute(statement, values)
            return (cursor.fetchone() or ()) if cursor.description else ()
        except psycopg.Error as error:
            logger.warning("the heartbeat cannot be written (%s)", str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__)
            if self._connection is not None:
                self._connection.close()
            return None


def start_heartbeat(name: str, *, state: Callable[[], dict[str, Any]] | None = None) -> Heartbeat:
    """Start the present process's heartbeat under this name (web, worker, beat, sweeper, sequencer, lab).

    `state` is asked at each beat for facts to show. It ends by itself with the process.
    """
    heartbeat = Heartbeat(name, state=state)
    heartbeat.start()
    return heartbeat


def forget_processes(*, conninfo: str, pids: list[int]) -> None:
    """Forget processes on this host that are known to be gone, so that nobody waits for news of them. Raises psycopg.Error."""
    with psycopg.connect(conninfo, autocommit=True, connect_timeout=CONNECT_SECONDS) as connection:
        connection.execute("DELETE FROM common_processheartbeat WHERE host = %s AND pid = ANY(%s)", [socket.gethostname(), pids])


def record_death(*, conninfo: str, name: str, pid: int, ending: str) -> None:
    """Write down that a process on this host ended unasked. For whoever watches over processes. Raises psycopg.Error."""
    with psycopg.connect(conninfo, autocommit=True, connect_timeout=CONNECT_SECONDS) as connection:
        connection.execute(_DIED, {"host": socket.gethostname(), "pid": pid, "name": name, "ending": ending[:200]})
