"""States and origins of actions."""

from __future__ import annotations

from django.db import models


class ActionState(models.TextChoices):
    """Where an action stands."""

    OPEN = "open", "Open"
    DONE = "done", "Done"
    NOT_DOING = "not_doing", "Not doing"


class ActionOrigin(models.TextChoices):
    """What it came out of."""

    DRILL = "drill", "A drill's finding"
    REVIEW = "review", "A quarterly review"
    POSTMORTEM = "postmortem", "A postmortem"


class ActionKind(models.TextChoices):
    """What an action is good for."""

    PREVENT = "prevent", "Prevent"
    DETECT = "detect", "Detect"
    MITIGATE = "mitigate", "Mitigate"
    PROCESS = "process", "Process"
