"""What Celery may do: wake a worker for one execution. Everything that counts stands in the database."""

from __future__ import annotations

import os
import socket
from uuid import UUID

from celery import shared_task

from rollbackhub.executions.domain.engine import advance_execution


def worker_name() -> str:
    """This process, as it stands in claims."""
    return f"{socket.gethostname()}:{os.getpid()}"


@shared_task(name="executions.advance")
def advance_task(execution_id: str) -> str:
    """Start an execution."""
    return advance_execution(execution_id=UUID(execution_id), worker=worker_name())


@shared_task(name="executions.resume")
def resume_task(execution_id: str) -> str:
    """Go on with an execution whose worker was lost."""
    return advance_execution(execution_id=UUID(execution_id), worker=worker_name())
