"""States and agenda of a quarterly review."""

from __future__ import annotations

from django.db import models


class ReviewState(models.TextChoices):
    """Where a review stands."""

    PREPARING = "preparing", "Being prepared"
    PREPARED = "prepared", "Prepared"
    HELD = "held", "Held, awaiting sign-off"
    SIGNED = "signed", "Signed off"


class Agenda(models.TextChoices):
    """The items, in the order that a meeting needs."""

    PROMISED = "promised", "What we promised last quarter"
    COMPLIANCE = "compliance", "Drills planned and done"
    MISSES = "misses", "Targets missed, by segment"
    PROOF = "proof", "Stale or missing proof"
    FINDINGS = "findings", "Failed drills and open findings"
    INCIDENTS = "incidents", "Incidents and postmortems"
    RETENTION = "retention", "Retention risks"
    DECISIONS = "decisions", "Decisions wanted"
