"""States of an incident, how bad it is, where it came from, and what people may correct."""

from __future__ import annotations

from django.db import models


class IncidentState(models.TextChoices):
    """Where an incident stands. Stable (the harm was shown to be over) is not closed (a person has looked at all of it)."""

    OPEN = "open", "Open"
    STABLE = "stable", "Stable"
    CLOSED = "closed", "Closed"


class Severity(models.TextChoices):
    """How bad it is for those who use the aliases. The order is the order of harm."""

    SEV1 = "sev1", "SEV 1: critical"
    SEV2 = "sev2", "SEV 2: major"
    SEV3 = "sev3", "SEV 3: minor"
    SEV4 = "sev4", "SEV 4: low"

    @property
    def short(self) -> str:
        """`SEV 2`."""
        return str(self.label).partition(":")[0]


class Source(models.TextChoices):
    """What opened an incident."""

    PERSON = "person", "A person"
    ROLLBACK = "rollback", "A rollback"
    ALERT = "alert", "An alert"


class How(models.TextChoices):
    """What a rollback did to its incident."""

    OPENED = "opened", "Opened it"
    JOINED = "joined", "Joined it"


class Matter(models.TextChoices):
    """What a person may correct of an incident."""

    DETECTION = "detection", "Detection"
    EXPOSURE = "exposure", "Exposure"
    IMPACT = "impact", "What users saw"
