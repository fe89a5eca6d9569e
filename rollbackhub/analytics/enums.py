"""What analytics tell apart."""

from __future__ import annotations

from django.db import models


class RunKind(models.TextChoices):
    """What a measured run was. The values are those of executions."""

    DRILL = "drill", "Drill"
    REHEARSAL = "rehearsal", "Rehearsal"
    ROLLBACK = "rollback", "Rollback"
    ROLL_FORWARD = "roll_forward", "Roll-forward"


class RunSource(models.TextChoices):
    """Where a fact comes from."""

    HUB = "hub", "Run by RollbackHub"
    IMPORTED = "imported", "Imported from a file"
