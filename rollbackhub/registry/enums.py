"""Change types, stakes, environments and the lifecycle of a version."""

from __future__ import annotations

from django.db import models


class ChangeType(models.TextChoices):
    """What kind of thing is released."""

    PROMPT = "prompt", "Prompt"
    MODEL = "model", "Model"
    AGENT_CODE = "agent_code", "Agent code"
    EVAL_SET = "eval_set", "Eval set"
    DATASET = "dataset", "Data set"


class Stakes(models.TextChoices):
    """How much hangs on an artefact: decides how often its rollback is drilled."""

    HIGH = "high", "High (drilled monthly)"
    STANDARD = "standard", "Standard (drilled quarterly)"


class EnvironmentKind(models.TextChoices):
    """Where something runs."""

    PRODUCTION = "production", "Production"
    STAGING = "staging", "Staging"


class Lifecycle(models.TextChoices):
    """Where a version stands."""

    REGISTERED = "registered", "Registered"
    CANARY = "canary", "Canary"
    LIVE = "live", "Live"
    SUPERSEDED = "superseded", "Superseded"
    ARCHIVED = "archived", "Archived"
    RETIRED = "retired", "Retired"
    ROLLED_BACK = "rolled_back", "Rolled back"
