"""The lab's switches. Everything else that the lab has is in its processes, or in the registry marked is_lab."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now

from rollbackhub.lab.enums import SwitchName
from rollbackhub.registry.models import Environment


class LabSwitch(models.Model):
    """A fault that is wanted in an environment of the lab. The lab process follows within a second and says so here."""

    environment = models.ForeignKey(Environment, on_delete=models.CASCADE, related_name="lab_switches")
    name = models.CharField(max_length=20, choices=SwitchName)
    is_on = models.BooleanField(default=False)
    changed_at = models.DateTimeField(db_default=Now())
    applied_at = models.DateTimeField(null=True, help_text="When the lab had followed; empty while it has not")

    class Meta:
        ordering = ["environment", "name"]
        verbose_name_plural = "lab switches"
        constraints = [
            models.UniqueConstraint(fields=["environment", "name"], name="lab_switch_once"),
            models.CheckConstraint(condition=models.Q(name__in=SwitchName.values), name="lab_switch_known"),
        ]

    def __str__(self) -> str:
        return f"{self.name} {'on' if self.is_on else 'off'} in {self.environment}"
