"""Drills: rehearsals of a rollback in staging, on the engine that production rollbacks use."""

from __future__ import annotations

from django.db import models

from rollbackhub.executions.models import Execution


class Drill(models.Model):
    """A drill. What happened, how long it took and what it showed stand on its execution."""

    execution = models.OneToOneField(Execution, on_delete=models.CASCADE, primary_key=True, related_name="drill")
    idempotency_key = models.CharField(max_length=120, null=True)
    idempotency_owner = models.CharField(max_length=120, blank=True, help_text="Whose key it is")
    note = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["-execution__created_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["idempotency_owner", "idempotency_key"], condition=~models.Q(idempotency_key=None), name="drill_idempotency_key_once"
            ),
        ]

    def __str__(self) -> str:
        return f"Drill {str(self.pk)[:8]}"
