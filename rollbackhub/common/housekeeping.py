"""What is due by the clock and belongs to no request: small jobs that apps register, run by the housekeeper process.

A job is safe to run twice at once, in two processes: it takes its rows by locks or conditional updates. Nothing that a rollback needs
to run depends on it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from django.db import DatabaseError, close_old_connections, connection

from rollbackhub.common import clock

logger = logging.getLogger(__name__)

TICK_SECONDS = 0.25
STOP_SECONDS = 3


@dataclass(frozen=True, slots=True)
class Job:
    """A function that does what is due and returns how many that was."""

    name: str
    every_seconds: float
    function: Callable[[], int]
    own_thread: bool = False
    """It may take long (it calls other systems, or reckons much): it runs beside the others, so that approval timers stay exact."""


_jobs: dict[str, Job] = {}


def register_job(name: str, *, every_seconds: float, function: Callable[[], int], own_thread: bool = False) -> None:
    """Once for each job, when its app is ready."""
    _jobs[name] = Job(name=name, every_seconds=every_seconds, function=function, own_thread=own_thread)


def list_jobs() -> list[Job]:
    """All jobs, by name."""
    return [_jobs[name] for name in sorted(_jobs)]


class Housekeeper:
    """Runs every job at its interval until stopped. A job that fails is logged with its traceback and runs again at its next turn."""

    def __init__(self) -> None:
        self._stopping = threading.Event()
        self._due = {job.name: 0.0 for job in list_jobs()}
        self._failed: dict[str, str] = {}

    def stop(self) -> None:
        """Ask the loops to end."""
        self._stopping.set()

    def state(self) -> dict[str, object]:
        """Facts for the heartbeat: the jobs whose last run failed, with why."""
        return {"failing": dict(self._failed)}

    def run(self) -> None:
        """Until stopped; jobs with a thread of their own beside the others."""
        lanes = [[job] for job in list_jobs() if job.own_thread]
        threads = [threading.Thread(target=self._keep_running, args=(lane,), name=lane[0].name, daemon=True) for lane in lanes]
        for thread in threads:
            thread.start()
        self._keep_running([job for job in list_jobs() if not job.own_thread])
        for thread in threads:
            # What waits for another system is not waited for long: every job may be cut off anywhere.
            thread.join(timeout=STOP_SECONDS)

    def run_due(self) -> None:
        """Run what is due now, one job after the other."""
        self._run_due(list_jobs())

    def _keep_running(self, jobs: Sequence[Job]) -> None:
        while not self._stopping.is_set():
            self._run_due(jobs)
            self._stopping.wait(TICK_SECONDS)
        connection.close()

    def _run_due(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            if self._stopping.is_set() or clock.monotonic() < self._due.get(job.name, 0.0):
                continue
            try:
                job.function()
                self._failed.pop(job.name, None)
            except DatabaseError as error:
                logger.warning("%s: the database does not answer (%s)", job.name, str(error).strip().splitlines()[0])
                self._failed[job.name] = "the database does not answer"
                connection.close()
            except Exception as error:
                logger.exception("%s failed", job.name)
                self._failed[job.name] = f"{type(error).__name__}: {error}"[:300]
            self._due[job.name] = clock.monotonic() + job.every_seconds
        close_old_connections()
