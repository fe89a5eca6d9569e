"""What Celery may do: wake a worker for one execution. Everything that counts stands in the database."""

from __future__ import annotations

from uuid import UUID

from celery import shared_task

from rollbackhub.executions.domain.claims import worker_name
from rollbackhub.executions.domain.engine import advance_execution


@shared_task(name="executions.advance")
def advance_task(execution_id: str) -> str:
    """Start an execution."""
    return advance_execution(execution_id=UUID(execution_id), worker=worker_name())


@shared_task(name="executions.resume")
def resume_task(execution_id: str) -> str:
    """Go on with an execution whose worker was lost."""
    return advance_execution(execution_id=UUID(execution_id), worker=worker_name())
