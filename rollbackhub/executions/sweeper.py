"""The sweeper's loop. The broker is how workers are called; when that is in vain, the sweeper runs the execution itself."""

from __future__ import annotations

import logging
from concurrent.futures import Future, ThreadPoolExecutor

import psycopg
from django.conf import settings
from django.db import DatabaseError, close_old_connections, connection

from rollbackhub.celery import app
from rollbackhub.common import clock
from rollbackhub.common.database_url import conninfo
from rollbackhub.executions.domain.claims import worker_name
from rollbackhub.executions.domain.engine import advance_execution
from rollbackhub.executions.domain.sweep import Due, take_due
from rollbackhub.executions.domain.transitions import WAKE_CHANNEL

logger = logging.getLogger(__name__)

OWN_RUNS = 4
"""How many drills and rehearsals a sweeper runs itself at once."""

URGENT_RUNS = 16
"""How many rollbacks besides: whatever else occupies the workers, production does not queue behind it."""

RECONNECT_SECONDS = 0.5


class Sweeper:
    """Wakes at each notification and every SWEEP_SECONDS."""

    def __init__(self) -> None:
        # A plain flag: an Event set by a signal handler could wait for the very lock that it interrupted.
        self._stopping = False
        self._publishing = ThreadPoolExecutor(max_workers=2, thread_name_prefix="publish")
        self._running = ThreadPoolExecutor(max_workers=OWN_RUNS, thread_name_prefix="run")
        self._running_urgent = ThreadPoolExecutor(max_workers=URGENT_RUNS, thread_name_prefix="run-urgent")
        self._own: set[Future[None]] = set()
        self._own_urgent: set[Future[None]] = set()

    def stop(self) -> None:
        """Ask the loop to end."""
        self._stopping = True

    def state(self) -> dict[str, int]:
        """Facts for the heartbeat: how many executions it runs itself now."""
        return {"running": sum(not future.done() for future in (*self._own, *self._own_urgent))}

    def run(self) -> None:
        """Sweep until stopped; when the database goes away, come back to it."""
        while not self._stopping:
            try:
                with psycopg.connect(conninfo(settings.DATABASES["default"]), autocommit=True, connect_timeout=3) as listening:
                    listening.execute(f"LISTEN {WAKE_CHANNEL}")
                    while not self._stopping:
                        self.sweep()
                        for _ in listening.notifies(timeout=settings.CONFIG.sweep_seconds, stop_after=1):
                            pass
            except (psycopg.Error, DatabaseError) as error:
                logger.warning("the database does not answer (%s); trying again", str(error).strip().splitlines()[0])
                connection.close()
                clock.sleep(RECONNECT_SECONDS)
        self._publishing.shutdown(wait=False, cancel_futures=True)
        self._running.shutdown(wait=False, cancel_futures=True)
        self._running_urgent.shutdown(wait=False, cancel_futures=True)

    def sweep(self) -> int:
        """One round. Returns how many executions were due. Raises DatabaseError."""
        self._own = {future for future in self._own if not future.done()}
        self._own_urgent = {future for future in self._own_urgent if not future.done()}
        due = take_due()
        for entry in due:
            if entry.unclaimed and entry.urgent and len(self._own_urgent) < URGENT_RUNS:
                logger.info("rollback %s was not claimed by a worker; running it here", entry.execution_id)
                self._own_urgent.add(self._running_urgent.submit(self._run_here, entry))
            elif entry.unclaimed and len(self._own) < OWN_RUNS:
                logger.info("execution %s was not claimed by a worker; running it here", entry.execution_id)
                self._own.add(self._running.submit(self._run_here, entry))
            else:
                self._publishing.submit(self._publish, entry)
        return len(due)

    def _publish(self, entry: Due) -> None:
        name = "executions.resume" if entry.resumed else "executions.advance"
        try:
            app.send_task(name, args=[str(entry.execution_id)], retry=False)
        except Exception as error:
            # Whatever the transport raises: the execution stays due, and unclaimed ones are run here.
            logger.warning("the broker does not take messages (%s: %s)", type(error).__name__, error)

    def _run_here(self, entry: Due) -> None:
        try:
            state = advance_execution(execution_id=entry.execution_id, worker=f"sweeper@{worker_name()}")
            logger.info("execution %s: %s", entry.execution_id, state)
        except DatabaseError:
            logger.exception("execution %s: the database failed; it is resumed when its lease ends", entry.execution_id)
        except Exception:
            logger.exception("execution %s: the engine failed; it is resumed when its lease ends", entry.execution_id)
        finally:
            close_old_connections()
            connection.close()
