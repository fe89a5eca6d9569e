"""Tasks that keep RollbackHub itself well."""

from __future__ import annotations

import uuid

from celery import shared_task
from django.core.management import call_command
from django.db.models.functions import Now

from rollbackhub.common.models import ProcessHeartbeat


@shared_task(name="local.canary")
def canary_task(instance: str) -> None:
    """Carried out by a worker for itself: the proof that it takes and does work."""
    ProcessHeartbeat.objects.filter(pk=uuid.UUID(instance)).update(canary_at=Now())


@shared_task(name="local.tidy")
def tidy_task() -> None:
    """Forget sessions that have expired."""
    call_command("clearsessions")
