"""What the drills of an alias say about it."""

from __future__ import annotations

from django.db import models


class AliasState(models.TextChoices):
    """Could we roll it back, as far as its last drill tells? In the order of urgency."""

    NEEDS_PERSON = "needs_person", "A drill needs a person"
    FAILED = "failed", "The last drill failed"
    UNPROVEN = "unproven", "The last drill proved nothing"
    MISSING = "missing", "Never drilled"
    OVERDUE = "overdue", "The last drill is too long ago"
    RUNNING = "running", "A drill is running"
    PASSED = "passed", "The last drill passed in time"
