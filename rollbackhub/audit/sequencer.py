"""The sequencer process: appends what is waiting, batch after batch, until it is told to stop."""

from __future__ import annotations

import logging
import os
import select
from typing import Any

from django.db import InterfaceError, OperationalError, connection

from rollbackhub.audit.domain.sequence import BATCH, LogBroken, sequence_pending
from rollbackhub.common.clock import now

logger = logging.getLogger(__name__)

POLL_SECONDS = 1.0
"""Between two looks when nothing waits. A look is one lock and one read of an empty table: cheaper than a NOTIFY in every audited commit."""


class Sequencer:
    """Any number of these may run; an advisory lock lets one work at a time."""

    def __init__(self, *, batch: int = BATCH, poll_seconds: float = POLL_SECONDS) -> None:
        self.batch = batch
        self.poll_seconds = poll_seconds
        self._stopping = False
        # A pipe, because a threading.Event that a signal handler sets can deadlock with the wait that it interrupts.
        self._wake_reader, self._wake_writer = os.pipe()
        self._sequenced = 0
        self._last_at: str | None = None
        self._trouble = ""

    def stop(self) -> None:
        """End after the present batch. May be called by a signal handler."""
        self._stopping = True
        os.write(self._wake_writer, b"x")

    def state(self) -> dict[str, Any]:
        """For the heartbeat: what was done since the start, and what stands in the way ("" when nothing does)."""
        return {"sequenced": self._sequenced, "last_at": self._last_at, "trouble": self._trouble}

    def run(self) -> None:
        """Until `stop`. A database that is away, and a log that does not fit, are waited for and said once."""
        while not self._stopping:
            if self._step() < self.batch:
                select.select([self._wake_reader], [], [], self.poll_seconds)
        connection.close()

    def _step(self) -> int:
        try:
            done = sequence_pending(self.batch)
        except (OperationalError, InterfaceError) as error:
            # Of a pool, closing gives the broken connection back to be thrown away.
            connection.close()
            self._say(f"the database does not answer ({_first_line(error)}); trying again every {self.poll_seconds:g} s")
            return 0
        except LogBroken as error:
            self._say(f"nothing can be sequenced: {error}. `manage.py verify_audit` says which event does not fit")
            return 0
        self._say("")
        if done:
            self._sequenced += done
            self._last_at = now().isoformat()
        return done

    def _say(self, trouble: str) -> None:
        """Log a trouble when it begins and when it is over, not every second."""
        if bool(trouble) != bool(self._trouble):
            if trouble:
                logger.error("%s", trouble)
            else:
                logger.info("sequencing again")
        self._trouble = trouble


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
