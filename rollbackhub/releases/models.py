"""Releases: moving an alias to a new version through canary steps, with the way back verified first."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from rollbackhub.executions.models import Execution
from rollbackhub.registry.models import Version
from rollbackhub.releases.enums import OPEN_STATES, ReleaseState
from rollbackhub.routing.models import PolicyRevision, RoutingPolicy


class Release(models.Model):
    """Moving an alias in production from one version to another. `from_version` is what a rollback would go back to."""

    policy = models.ForeignKey(RoutingPolicy, on_delete=models.PROTECT, related_name="releases")
    from_version = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="+", help_text="What a rollback goes back to")
    to_version = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="releases")
    candidate_id = models.CharField(max_length=160, help_text="The candidate that serves the new version: provider:model:region")
    steps = models.JSONField(help_text="Percent of the traffic at each canary step; the last is 100")
    next_step = models.PositiveSmallIntegerField(default=0, help_text="Index of the step that comes next")
    state = models.CharField(max_length=12, choices=ReleaseState, default=ReleaseState.PLANNED)
    note = models.CharField(max_length=300, blank=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_by_label = models.CharField(max_length=200)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    started_at = models.DateTimeField(null=True, help_text="First weight in production")
    live_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True, help_text="When it was rolled back or abandoned")
    end_reason = models.TextField(blank=True)
    bypassed_at = models.DateTimeField(null=True)
    bypassed_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    bypass_reason = models.TextField(blank=True)
    bypassed_conditions = models.JSONField(default=list, help_text="The gate's conditions that did not hold when a lead let it pass")
    gate_answer = models.JSONField(default=dict, help_text="The gate's answer, with its evidence, when the first weight was given")
    idempotency_key = models.CharField(max_length=120, null=True)
    idempotency_owner = models.CharField(max_length=120, blank=True)

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            models.UniqueConstraint(fields=["policy"], condition=models.Q(state__in=OPEN_STATES), name="release_one_open_per_policy"),
            models.UniqueConstraint(
                fields=["idempotency_owner", "idempotency_key"], condition=~models.Q(idempotency_key=None), name="release_idempotency_key_once"
            ),
            models.CheckConstraint(condition=~models.Q(from_version=models.F("to_version")), name="release_moves"),
            models.CheckConstraint(
                condition=models.Q(bypassed_at=None, bypass_reason="")
                | (models.Q(bypassed_at__isnull=False, bypassed_by__isnull=False) & ~models.Q(bypass_reason="")),
                name="release_bypass_has_reason",
            ),
        ]
        indexes = [models.Index(fields=["state", "-created_at"], name="release_by_state")]

    def __str__(self) -> str:
        return f"release {self.pk}: {self.from_version} → {self.to_version}"


class ReleaseStep(models.Model):
    """One canary step that was taken. Never changed."""

    append_only = True

    release = models.ForeignKey(Release, on_delete=models.PROTECT, related_name="taken_steps")
    number = models.PositiveSmallIntegerField()
    percent = models.PositiveSmallIntegerField()
    revision = models.OneToOneField(PolicyRevision, on_delete=models.PROTECT, related_name="+")
    actor_label = models.CharField(max_length=200)
    taken_at = models.DateTimeField()

    class Meta:
        ordering = ["release", "number"]
        constraints = [models.UniqueConstraint(fields=["release", "number"], name="release_step_once")]

    def __str__(self) -> str:
        return f"step {self.number} of {self.release_id}"


class ReleaseRehearsal(models.Model):
    """A rehearsal in staging that was started from a release's gate."""

    release = models.ForeignKey(Release, on_delete=models.CASCADE, related_name="rehearsals")
    execution = models.OneToOneField(Execution, on_delete=models.CASCADE, related_name="release_rehearsal")

    class Meta:
        ordering = ["-execution__created_at"]

    def __str__(self) -> str:
        return f"rehearsal of {self.release_id}"
