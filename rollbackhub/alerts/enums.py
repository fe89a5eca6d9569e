"""Ways in, states of alerts and of what they propose, and why a post is refused."""

from __future__ import annotations

from django.db import models


class HookKind(models.TextChoices):
    """Whose posts a hook takes."""

    ALERTMANAGER = "alertmanager", "Prometheus Alertmanager"
    PAGERDUTY = "pagerduty", "PagerDuty"
    STANDARD = "standard", "Standard Webhooks"


class AlertState(models.TextChoices):
    """What the system that sends it said last."""

    FIRING = "firing", "Firing"
    RESOLVED = "resolved", "Resolved"


class Became(models.TextChoices):
    """What came of an alert."""

    WAITING = "waiting", "Not looked at yet"
    NO_RULE = "no_rule", "No rule fits"
    NOTED = "noted", "Only noted, by its rule"
    NO_ALIAS = "no_alias", "Names no alias of ours"
    OPENED = "opened", "Opened an incident"
    JOINED = "joined", "Joined an incident"


class SuggestedAction(models.TextChoices):
    """What a rule suggests."""

    ROLL_BACK = "roll_back", "Propose a rollback"
    PAGE_ONLY = "page_only", "Open an incident and tell the on-call engineers"
    NONE = "none", "Only note it"


class ProposalState(models.TextChoices):
    """Where a proposed rollback stands."""

    OPEN = "open", "Waits for a decision"
    CONFIRMED = "confirmed", "Confirmed"
    DISMISSED = "dismissed", "Dismissed"
    SUPERSEDED = "superseded", "Superseded"
    EXPIRED = "expired", "Expired"


class Counted(models.TextChoices):
    """What is counted of the posts of a hook: how many were taken, and why others were refused."""

    TAKEN = "taken", "Taken"
    UNKNOWN_HOOK = "unknown_hook", "No such hook"
    FORGED = "forged", "Signature missing or wrong"
    STALE = "stale", "Too old"
    REPLAYED = "replayed", "Sent again"
    TOO_LARGE = "too_large", "Too large"
    MALFORMED = "malformed", "Not readable"
    UNUSABLE = "unusable", "Not what the hook takes"
    SECRET_MISSING = "secret_missing", "The hook's secret is not there"
