"""States of a release."""

from __future__ import annotations

from django.db import models


class ReleaseState(models.TextChoices):
    """Where a release stands."""

    PLANNED = "planned", "Planned"
    ROLLING_OUT = "rolling_out", "Rolling out"
    LIVE = "live", "Live"
    SUPERSEDED = "superseded", "Superseded"
    ROLLED_BACK = "rolled_back", "Rolled back"
    ABANDONED = "abandoned", "Abandoned"


OPEN_STATES = (ReleaseState.PLANNED, ReleaseState.ROLLING_OUT)
"""It may still go on: no second release of the alias in the environment may start."""
