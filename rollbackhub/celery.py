"""The Celery application. PostgreSQL is the engine; Celery only wakes workers (docs/decisions)."""

from __future__ import annotations

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "rollbackhub.settings")

app = Celery("rollbackhub")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
