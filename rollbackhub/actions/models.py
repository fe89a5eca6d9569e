"""Actions: what somebody is to do by a day, out of a drill's finding or a review."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from rollbackhub.accounts.models import Team
from rollbackhub.actions.enums import ActionKind, ActionOrigin, ActionState


class Action(models.Model):
    """One thing to do, with its owner and the day by which it is due. What it came out of refers to it."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    title = models.CharField(max_length=200)
    detail = models.TextField(blank=True)
    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="actions")
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="actions")
    due_on = models.DateField(help_text="The last day, in the team's time zone")
    state = models.CharField(max_length=10, choices=ActionState, default=ActionState.OPEN)
    origin = models.CharField(max_length=10, choices=ActionOrigin)
    origin_label = models.CharField(max_length=200, help_text="What it came out of, in words")
    origin_url = models.CharField(max_length=300, help_text="Path of the page of what it came out of")
    kind = models.CharField(max_length=10, choices=ActionKind, blank=True, help_text="Of a postmortem's action: what it is good for")
    is_gating = models.BooleanField(default=False, help_text="Until it is closed, the version that was rolled back may not ship again")
    is_lab = models.BooleanField(default=False)
    created_by_label = models.CharField(max_length=200)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    closed_at = models.DateTimeField(null=True)
    closed_by_label = models.CharField(max_length=200, blank=True)
    closed_reason = models.TextField(blank=True, help_text="What was done, or why it will not be")

    class Meta:
        ordering = ["due_on", "created_at"]
        constraints = [
            models.CheckConstraint(condition=models.Q(state__in=ActionState.values), name="action_state_known"),
            models.CheckConstraint(condition=models.Q(state=ActionState.OPEN) ^ models.Q(closed_at__isnull=False), name="action_closed_has_instant"),
            models.CheckConstraint(condition=~models.Q(state=ActionState.NOT_DOING) | ~models.Q(closed_reason=""), name="action_not_doing_has_reason"),
            models.CheckConstraint(condition=models.Q(kind="") | models.Q(kind__in=ActionKind.values), name="action_kind_known"),
        ]
        indexes = [
            models.Index(fields=["team", "due_on"], condition=models.Q(state=ActionState.OPEN), name="action_open_by_team"),
            models.Index(fields=["owner", "due_on"], condition=models.Q(state=ActionState.OPEN), name="action_open_by_owner"),
            models.Index(fields=["team", "-closed_at"], name="action_closed_by_team"),
        ]

    def __str__(self) -> str:
        return self.title
