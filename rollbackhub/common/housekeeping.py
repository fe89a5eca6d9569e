"""What is due by the clock and belongs to no request: small jobs that apps register, run by the housekeeper process.

A job is safe to run twice at once, in two processes: it takes its rows by locks or conditional updates. Nothing that a rollback needs
to run depends on it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from django.db import DatabaseError, close_old_connections, connection

from rollbackhub.common import clock

logger = logging.getLogger(__name__)

TICK_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Job:
    """A function that does what is due and returns how many that was."""

    name: str
    every_seconds: float
    function: Callable[[], int]


_jobs: dict[str, Job] = {}


def register_job(name: str, *, every_seconds: float, function: Callable[[], int]) -> None:
    """Once for each job, when its app is ready."""
    _jobs[name] = Job(name=name, every_seconds=every_seconds, function=function)


def list_jobs() -> list[Job]:
    """All jobs, by name."""
    return [_jobs[name] for name in sorted(_jobs)]


class Housekeeper:
    """Runs every job at its interval until stopped. A job that fails is logged with its traceback and runs again at its next turn."""

    def __init__(self) -> None:
        self._stopping = False
        self._due = {job.name: 0.0 for job in list_jobs()}
        self._failed: dict[str, str] = {}

    def stop(self) -> None:
        """Ask the loop to end."""
        self._stopping = True

    def state(self) -> dict[str, object]:
        """Facts for the heartbeat: the jobs whose last run failed, with why."""
        return {"failing": dict(self._failed)}

    def run(self) -> None:
        """Until stopped."""
        while not self._stopping:
            self.run_due()
            clock.sleep(TICK_SECONDS)

    def run_due(self) -> None:
        """Run what is due now."""
        for job in list_jobs():
            if self._stopping or clock.monotonic() < self._due.get(job.name, 0.0):
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
