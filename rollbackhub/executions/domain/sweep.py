"""What is due: executions that nobody was called for, whose worker was lost, or that were called for and never claimed.

The sweeper marks what it picks in the same statement (`published_at`), with SKIP LOCKED: many sweepers do not double, and none floods.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction

from rollbackhub.executions.enums import DECIDED_BY_PEOPLE, RUNNABLE_STATES

_DUE_SQL = """
    UPDATE executions_execution e
    SET published_at = clock_timestamp()
    FROM (
        SELECT id, kind, fence, published_at FROM executions_execution
        WHERE state = ANY(%(runnable)s)
          AND (lease_until IS NULL OR lease_until < clock_timestamp())
          AND (published_at IS NULL OR published_at < clock_timestamp() - make_interval(secs => %(grace)s))
        ORDER BY kind = ANY(%(urgent)s) DESC, created_at
        LIMIT %(limit)s
        FOR UPDATE SKIP LOCKED
    ) due
    WHERE e.id = due.id
    RETURNING e.id, due.fence, due.published_at IS NOT NULL, due.kind = ANY(%(urgent)s)
"""


@dataclass(frozen=True, slots=True)
class Due:
    """An execution that should run now. `resumed`: somebody had begun it. `unclaimed`: a worker was called for it, in vain.

    `urgent`: production waits for it.
    """

    execution_id: UUID
    resumed: bool
    unclaimed: bool
    urgent: bool = False


def take_due(*, limit: int = 100) -> list[Due]:
    """Mark and return what is due: production first, then the oldest."""
    values: dict[str, Any] = {"runnable": list(RUNNABLE_STATES), "urgent": list(DECIDED_BY_PEOPLE), "grace": settings.CONFIG.wake_grace_seconds, "limit": limit}
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_DUE_SQL, values)
        return [Due(execution_id=row[0], resumed=row[1] > 0, unclaimed=row[2], urgent=row[3]) for row in cursor.fetchall()]
