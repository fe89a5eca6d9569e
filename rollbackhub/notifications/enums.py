"""What is told, how soon, and what becomes of a message."""

from __future__ import annotations

from django.db import models


class Topic(models.TextChoices):
    """What messages are about. A team says for each where it wants them."""

    ROLLBACK_REQUESTED = "rollback_requested", "Rollback requested"
    APPROVAL_WANTED = "approval_wanted", "Rollback waits for approval"
    ROLLBACK_AUTHORISED = "rollback_authorised", "Rollback authorised"
    ROLLBACK_NOT_STARTED = "rollback_not_started", "Rollback rejected, expired or withdrawn"
    GLASS_BROKEN = "glass_broken", "Rollback without approval (break-glass)"
    ROLLBACK_RESTORED = "rollback_restored", "Rollback restored"
    ROLLBACK_VERIFIED = "rollback_verified", "Rollback verified"
    PARTIALLY_RESTORED = "partially_restored", "Rollback partially restored"
    VERIFICATION_FAILED = "verification_failed", "Rollback not verified"
    NEEDS_HUMAN = "needs_human", "Rollback needs a person"
    DRILL_FAILED = "drill_failed", "Planned drill failed"
    DRILL_MISSED = "drill_missed", "Planned drill missed"
    HOLD_LIFTED = "hold_lifted", "Stability hold lifted"
    GATE_BYPASSED = "gate_bypassed", "Release gate bypassed"
    INCIDENT_OPENED = "incident_opened", "Incident opened"
    INCIDENT_STABLE = "incident_stable", "Incident stable"
    INCIDENT_REOPENED = "incident_reopened", "Incident open again"
    INCIDENT_CLOSED = "incident_closed", "Incident closed"
    ALERT_FIRED = "alert_fired", "Alert fired"
    PROPOSAL_MADE = "proposal_made", "Rollback proposed by an alert"
    POSTMORTEM_PUBLISHED = "postmortem_published", "Postmortem published"
    POSTMORTEM_OVERDUE = "postmortem_overdue", "Postmortem overdue"
    ACTION_OVERDUE = "action_overdue", "Action overdue"
    TEST = "test", "Test message"


class Digest(models.TextChoices):
    """How soon a message goes out."""

    AT_ONCE = "at_once", "Each at once"
    QUARTER_HOUR = "quarter_hour", "Every 15 min"
    HOURLY = "hourly", "Hourly"
    DAILY = "daily", "Daily"


class DeliveryState(models.TextChoices):
    """Where a message on its way to a channel stands."""

    PENDING = "pending", "Waiting"
    SENDING = "sending", "Being sent"
    RETRYING = "retrying", "To be tried again"
    DELIVERED = "delivered", "Delivered"
    DEAD = "dead", "Not delivered"
    DISCARDED = "discarded", "Discarded"


class AttemptOutcome(models.TextChoices):
    """What one attempt came to."""

    RUNNING = "running", "Under way"
    DELIVERED = "delivered", "Delivered"
    FAILED = "failed", "Failed"
    REFUSED = "refused", "Refused"
    LOST = "lost", "Unknown"
