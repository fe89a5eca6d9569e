"""Incidents, and the rollbacks that belong to them."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from incidents.enums import How, IncidentState
from rollbackhub.registry.models import Environment
from rollbackhub.rollbacks.enums import RollbackState
from rollbackhub.rollbacks.models import Rollback
from rollbackhub.routing.models import RoutingPolicy


class Incident(models.Model):
    """Something went wrong for those who use some aliases of an environment. What its rollbacks know is filled in from them."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    title = models.CharField(max_length=200)
    state = models.CharField(max_length=10, choices=IncidentState, default=IncidentState.OPEN)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="incidents")
    aliases = models.ManyToManyField(RoutingPolicy, related_name="incidents")
    is_lab = models.BooleanField(default=False)
    opened_at = models.DateTimeField()
    stable_at = models.DateTimeField(null=True, help_text="When it was shown that the harm is over")
    closed_at = models.DateTimeField(null=True, help_text="When a person had looked at all of it")

    # Filled in from the rollbacks.
    detected_at = models.DateTimeField(null=True, help_text="The earliest that a rollback names")
    detected_by = models.CharField(max_length=200, blank=True)
    decided_at = models.DateTimeField(null=True, help_text="The first decision that was carried out; until then the first that was taken")
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    authorised_at = models.DateTimeField(null=True)
    authorised_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    authority = models.TextField(blank=True, help_text="In words: by what authority")
    restored_at = models.DateTimeField(null=True, help_text="When the last of the rollbacks was restored")
    verified_at = models.DateTimeField(null=True, help_text="When the last of them was verified")
    exposure_observed = models.PositiveBigIntegerField(null=True, help_text="Requests that bad versions served, by counters")
    exposure_estimated = models.PositiveBigIntegerField(null=True, help_text="Requests before the counters were first read, by rate")
    exposure_basis = models.TextField(blank=True)
    outcome = models.TextField(blank=True, help_text="What the rollbacks say of themselves")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["-opened_at"]
        constraints = [
            models.CheckConstraint(condition=models.Q(state__in=IncidentState.values), name="incident_state_known"),
            models.CheckConstraint(condition=models.Q(state=IncidentState.CLOSED) ^ models.Q(closed_at=None), name="incident_closed_has_instant"),
            models.CheckConstraint(condition=~models.Q(state=IncidentState.STABLE) | models.Q(stable_at__isnull=False), name="incident_stable_has_instant"),
            models.CheckConstraint(condition=~models.Q(state=IncidentState.OPEN) | models.Q(stable_at=None), name="incident_open_is_not_stable"),
        ]
        indexes = [
            models.Index(fields=["-opened_at"], name="incident_newest"),
            models.Index(fields=["environment", "-opened_at"], condition=~models.Q(state=IncidentState.CLOSED), name="incident_not_closed"),
        ]

    def __str__(self) -> str:
        return self.title


class IncidentRollback(models.Model):
    """A rollback of an incident, and how far it was followed."""

    incident = models.ForeignKey(Incident, on_delete=models.PROTECT, related_name="rollback_links")
    rollback = models.OneToOneField(Rollback, on_delete=models.PROTECT, related_name="incident_link")
    how = models.CharField(max_length=10, choices=How)
    followed_number = models.PositiveIntegerField(help_text="The rollback's number when it was looked at last")
    followed_state = models.CharField(max_length=20, choices=RollbackState)
    over_at = models.DateTimeField(null=True, help_text="When this rollback showed that the harm is over")
    changes_no_more = models.BooleanField(default=False, help_text="The rollback has reached its last state")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["incident", "created_at", "id"]
        indexes = [models.Index(fields=["rollback"], condition=models.Q(changes_no_more=False), name="incident_rollback_to_follow")]

    def __str__(self) -> str:
        return f"{self.rollback} of {self.incident}"
