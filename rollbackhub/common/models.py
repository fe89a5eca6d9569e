"""Which processes of RollbackHub are alive."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models.functions import Now


class ProcessHeartbeat(models.Model):
    """One process, and when it was last heard of. Written by the process itself, its end also by whoever watches over it."""

    instance = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=20, help_text="web, worker, beat, sweeper, sequencer, lab")
    host = models.CharField(max_length=255)
    pid = models.PositiveIntegerField()
    started_at = models.DateTimeField(db_default=Now())
    beat_at = models.DateTimeField(db_default=Now())
    canary_at = models.DateTimeField(null=True, help_text="Workers: when a task that the worker sent to itself was last carried out")
    ended_at = models.DateTimeField(null=True)
    ending = models.CharField(max_length=200, blank=True, help_text="How it ended, in words; empty while it runs")
    ended_well = models.BooleanField(default=False, help_text="It was asked to end")
    state = models.JSONField(default=dict)

    class Meta:
        ordering = ["name", "started_at"]
        indexes = [models.Index(fields=["beat_at"], name="process_heartbeat_beat_at")]

    def __str__(self) -> str:
        return f"{self.name} ({self.pid} on {self.host})"
