"""What is due: reviews to be prepared, documents to be made. A worker is called for each; when none comes, it is done here."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection

from rollbackhub.celery import app
from rollbackhub.common.housekeeping import register_job
from rollbackhub.reviews.domain.documents import make_documents
from rollbackhub.reviews.domain.preparing import prepare_review

logger = logging.getLogger(__name__)

EVERY_SECONDS = 1.0

GRACE_SECONDS = 5.0
"""A worker that was called and has not claimed its work by then does not come."""

_DUE_SQL = """
    UPDATE {table} d SET published_at = clock_timestamp()
    FROM (
        SELECT {key} AS id, published_at FROM {table}
        WHERE {due} <= clock_timestamp() {condition} AND (claimed_until IS NULL OR claimed_until < clock_timestamp())
            AND (published_at IS NULL OR published_at < clock_timestamp() - make_interval(secs => %(grace)s))
        ORDER BY {due} LIMIT 20 FOR UPDATE SKIP LOCKED
    ) due
    WHERE d.{key} = due.id
    RETURNING due.id, due.published_at IS NOT NULL
"""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of work: the statement that takes what is due, the task, and the function that it calls."""

    sql: str
    task: str
    function: Callable[..., bool]


KINDS = (
    Kind(
        _DUE_SQL.format(table="reviews_review", key="id", due="prepare_at", condition="AND state = 'preparing'"),
        "reviews.prepare",
        prepare_review,
    ),
    Kind(_DUE_SQL.format(table="reviews_reviewdocument", key="review_id", due="due_at", condition=""), "reviews.export", make_documents),
)


def register() -> None:
    """Once, when the app is ready."""
    register_job("reviews.due", every_seconds=EVERY_SECONDS, function=call_workers, own_thread=True)


def call_workers() -> int:
    """Call a worker for everything that is due, and do here what no worker came for. Safe twice at once. Returns how many were due."""
    count = 0
    for kind in KINDS:
        for review_id, in_vain in _take_due(kind):
            count += 1
            if in_vain or not _publish(kind, review_id):
                logger.info("%s of %s: no worker came; doing it here", kind.task, review_id)
                kind.function(review_id=review_id)
    return count


def _take_due(kind: Kind) -> list[tuple[UUID, bool]]:
    values: dict[str, Any] = {"grace": GRACE_SECONDS}
    with connection.cursor() as cursor:
        cursor.execute(kind.sql, values)
        return [(row[0], row[1]) for row in cursor.fetchall()]


def _publish(kind: Kind, review_id: UUID) -> bool:
    """Whether the broker has taken the message."""
    try:
        app.send_task(kind.task, args=[str(review_id)], retry=False)
    except Exception as error:
        # Whatever the transport raises: what is due is done here instead.
        logger.warning("the broker does not take messages (%s: %s)", type(error).__name__, error)
        return False
    return True
