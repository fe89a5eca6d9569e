"""Cadences of drill plans, and states of planned drills."""

from __future__ import annotations

from django.db import models


class Cadence(models.TextChoices):
    """How often a plan drills."""

    BY_STAKES = "by_stakes", "By stakes (high: monthly, standard: quarterly)"
    MONTHLY = "monthly", "Monthly"
    QUARTERLY = "quarterly", "Quarterly"
    CRON = "cron", "By a cron expression"


class PlannedState(models.TextChoices):
    """Where a planned drill stands."""

    DUE = "due", "Due"
    OVERDUE = "overdue", "Overdue"
    RUNNING = "running", "Running"
    PASSED = "passed", "Passed"
    FAILED = "failed", "Failed"
    MISSED = "missed", "Missed"
    EXCUSED = "excused", "Excused"


OPEN_STATES = (PlannedState.DUE, PlannedState.OVERDUE)
"""It may still be started, or excused."""
