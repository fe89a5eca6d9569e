"""States of an incident, and how a rollback came to it."""

from __future__ import annotations

from django.db import models


class IncidentState(models.TextChoices):
    """Where an incident stands. Stable (the harm was shown to be over) is not closed (a person has looked at all of it)."""

    OPEN = "open", "Open"
    STABLE = "stable", "Stable"
    CLOSED = "closed", "Closed"


class How(models.TextChoices):
    """What a rollback did to its incident."""

    OPENED = "opened", "Opened it"
    JOINED = "joined", "Joined it"
