"""The claim on an execution: a lease with a fencing number, by the database's clock (DESIGN.md §4.3)."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction

from rollbackhub.audit.actors import system_actor
from rollbackhub.audit.domain.record import record
from rollbackhub.common import clock
from rollbackhub.common.errors import LeaseLost
from rollbackhub.executions.enums import RUNNABLE_STATES, ExecutionState

ENGINE = system_actor("engine")

_CLAIM_SQL = """
    UPDATE executions_execution e
    SET fence = e.fence + 1, claims = e.claims + 1, claimed_by = %(worker)s, published_at = NULL,
        lease_until = clock_timestamp() + make_interval(secs => %(lease)s),
        started_at = coalesce(e.started_at, %(now)s),
        state = CASE WHEN e.state = %(queued)s THEN %(running)s ELSE e.state END
    FROM (
        SELECT id, state, lease_until FROM executions_execution
        WHERE id = %(id)s AND state = ANY(%(runnable)s) AND (lease_until IS NULL OR lease_until < clock_timestamp())
        FOR UPDATE SKIP LOCKED
    ) was
    WHERE e.id = was.id
    RETURNING e.fence, was.state
"""


_RENEW_SQL = """
    UPDATE executions_execution SET lease_until = clock_timestamp() + make_interval(secs => %s)
    WHERE id = %s AND fence = %s AND lease_until > clock_timestamp()
"""


@dataclass(frozen=True, slots=True)
class Claim:
    """A worker's right to write to an execution. It ends when the lease does, or when somebody else claims."""

    execution_id: UUID
    fence: int
    worker: str

    @contextmanager
    def fenced(self) -> Iterator[None]:
        """A transaction that commits only while the claim holds, and renews its lease.

        Raises LeaseLost, having written nothing, when it does not hold any more.
        """
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute(
                    _RENEW_SQL,
                    [settings.CONFIG.lease_seconds, self.execution_id, self.fence],
                )
                if cursor.rowcount != 1:
                    raise LeaseLost(f"The claim {self.fence} of {self.worker} on execution {self.execution_id} has ended.")
            yield

    def renew(self) -> None:
        """Extend the lease. Raises LeaseLost."""
        with self.fenced():
            pass


def worker_name() -> str:
    """This process, as it stands in claims."""
    return f"{socket.gethostname()}:{os.getpid()}"


def claim_execution(*, execution_id: UUID, worker: str) -> Claim | None:
    """Take the execution, unless somebody holds it or it has ended. One UPDATE; None when it cannot be had."""
    values: dict[str, Any] = {
        "id": execution_id,
        "worker": worker,
        "lease": settings.CONFIG.lease_seconds,
        "now": clock.now(),
        "queued": ExecutionState.QUEUED,
        "running": ExecutionState.RUNNING,
        "runnable": list(RUNNABLE_STATES),
    }
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(_CLAIM_SQL, values)
            row = cursor.fetchone()
        if row is None:
            return None
        fence, state_before = row
        event = "execution.started" if state_before == ExecutionState.QUEUED else "execution.resumed"
        record(event=event, actor=ENGINE, subject_type="execution", subject_id=execution_id, data={"worker": worker, "fence": fence})
    return Claim(execution_id=execution_id, fence=fence, worker=worker)


def release_claim(claim: Claim) -> None:
    """Give the execution back at once (a worker that stops in good order)."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE executions_execution SET lease_until = clock_timestamp() WHERE id = %s AND fence = %s", [claim.execution_id, claim.fence])
