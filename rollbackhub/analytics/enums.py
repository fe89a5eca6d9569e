"""What analytics tell apart."""

from __future__ import annotations

from django.db import models


class RunKind(models.TextChoices):
    """What a measured run was. The values are those of executions."""

    DRILL = "drill", "Drill"
    REHEARSAL = "rehearsal", "Rehearsal"
    ROLLBACK = "rollback", "Rollback"
    ROLL_FORWARD = "roll_forward", "Roll-forward"


REHEARSED = (RunKind.DRILL, RunKind.REHEARSAL)
"""In staging, before it is needed: figures call both of them drills."""

ROLLED_BACK = (RunKind.ROLLBACK,)
"""In production. A roll-forward is another way out and is not counted among them."""

IN_PRODUCTION = (RunKind.ROLLBACK, RunKind.ROLL_FORWARD)
"""Decided by somebody: what has authority, exposure, and users who waited."""

COMPARABLE = (*REHEARSED, *ROLLED_BACK)
"""Runs of a rollback's procedure: what drills and production are compared by."""


class RunGroup(models.TextChoices):
    """What figures set side by side."""

    DRILLS = "drills", "Drills"
    PRODUCTION = "production", "Production"
    TOGETHER = "together", "Together"


class RunSource(models.TextChoices):
    """Where a fact comes from."""

    HUB = "hub", "Run by RollbackHub"
    IMPORTED = "imported", "Imported from a file"


class Measure(models.TextChoices):
    """What is measured in seconds: the whole, and its segments in their order. `<value>_seconds` is a fact's column."""

    ROLLBACK = "rollback", "Rollback time"
    DETECT = "detect", "Detect"
    DECIDE = "decide", "Decide"
    AUTHORISE = "authorise", "Authorise"
    EXECUTE = "execute", "Execute"
    PROPAGATE = "propagate", "Propagate"
    DRAIN = "drain", "Drain"
    VERIFY = "verify", "Verify"


SEGMENTS = tuple(measure for measure in Measure if measure != Measure.ROLLBACK)
"""The clock of a rollback, in its order."""


class ProductionMeasure(models.TextChoices):
    """What only production has: how long people took, and how long users waited."""

    DETECT = "detect", "Decision: detected to decided"
    AUTHORISE = "authorise", "Approval: decided to authorised"
    RECOVERY = "recovery", "Recovery: detected to restored"
    RECOVERY_FROM_DECISION = "decided_recovery", "Recovery: decided to restored, since no detection is recorded"
    EXPOSURE = "exposure", "Exposure: requests, not seconds"


class Span(models.TextChoices):
    """How much time a row of a rollup stands for."""

    MONTH = "month", "Month"
    YEAR = "year", "Year"
