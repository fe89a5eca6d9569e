"""Artefacts, their versions, environments and what those are connected to."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from rollbackhub.accounts.models import Team
from rollbackhub.registry.enums import ChangeType, EnvironmentKind, Lifecycle, Stakes


class SpeedTarget(models.Model):
    """How long a rollback of a change type may take. Seeded from the chapter; editable in the admin."""

    change_type = models.CharField(max_length=20, choices=ChangeType, unique=True)
    seconds = models.PositiveIntegerField(null=True, blank=True, help_text="Empty: set per artefact (data sets)")

    class Meta:
        ordering = ["change_type"]
        constraints = [models.CheckConstraint(condition=models.Q(seconds__gt=0) | models.Q(seconds=None), name="speed_target_positive")]

    def __str__(self) -> str:
        return f"{self.get_change_type_display()}: {self.seconds or 'per artefact'}"


class Artefact(models.Model):
    """A thing that is released."""

    slug = models.SlugField(unique=True)
    name = models.CharField(max_length=120)
    change_type = models.CharField(max_length=20, choices=ChangeType)
    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="artefacts")
    stakes = models.CharField(max_length=10, choices=Stakes, default=Stakes.STANDARD)
    target_seconds = models.PositiveIntegerField(null=True, blank=True, help_text="This artefact's own target; empty: its change type's")
    hold_days = models.PositiveSmallIntegerField(default=7, help_text="Days for which a version that was rolled back may not ship again")
    is_lab = models.BooleanField(default=False, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["slug"]

    def __str__(self) -> str:
        return self.name


class Version(models.Model):
    """One immutable version of an artefact."""

    artefact = models.ForeignKey(Artefact, on_delete=models.PROTECT, related_name="versions")
    label = models.CharField(max_length=120)
    digest = models.CharField(max_length=100, blank=True)
    uri = models.CharField(max_length=500, blank=True)
    changelog = models.TextField(blank=True)
    eval_reference = models.CharField(max_length=500, blank=True)
    lifecycle = models.CharField(max_length=20, choices=Lifecycle, default=Lifecycle.REGISTERED)
    is_strategic = models.BooleanField(default=False, help_text="Its release was a strategic decision: rolling it back is senior leadership's")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["artefact", "-created_at"]
        constraints = [models.UniqueConstraint(fields=["artefact", "label"], name="version_label_once")]

    def __str__(self) -> str:
        return self.label


class Environment(models.Model):
    """Production or staging; what it is bound to stands in its connections."""

    slug = models.SlugField(unique=True)
    name = models.CharField(max_length=80)
    kind = models.CharField(max_length=12, choices=EnvironmentKind)
    is_lab = models.BooleanField(default=False, editable=False)

    class Meta:
        ordering = ["slug"]

    def __str__(self) -> str:
        return self.name


class Connection(models.Model):
    """How an environment reaches one real system, by a connector. Settings hold no secret, only references to one."""

    environment = models.ForeignKey(Environment, on_delete=models.CASCADE, related_name="connections")
    connector = models.CharField(max_length=40, help_text="A connector's name, e.g. envoy or prometheus")
    settings = models.JSONField(default=dict)

    class Meta:
        ordering = ["environment", "connector"]
        constraints = [models.UniqueConstraint(fields=["environment", "connector"], name="connection_once_per_environment")]

    def __str__(self) -> str:
        return f"{self.connector} of {self.environment}"


class StabilityHold(models.Model):
    """After a rollback the version may get no weight in any production environment until the hold ends or a lead lifts it."""

    version = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="holds")
    rollback_id = models.UUIDField(help_text="The rollback that took the version out")
    started_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    lifted_at = models.DateTimeField(null=True)
    lifted_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    lift_reason = models.TextField(blank=True)

    class Meta:
        ordering = ["-started_at"]
        constraints = [
            models.UniqueConstraint(fields=["version"], condition=models.Q(lifted_at=None), name="hold_one_per_version"),
            models.CheckConstraint(condition=models.Q(ends_at__gt=models.F("started_at")), name="hold_ends_after_start"),
            models.CheckConstraint(
                condition=models.Q(lifted_at=None, lift_reason="") | (models.Q(lifted_at__isnull=False) & ~models.Q(lift_reason="")),
                name="hold_lifted_with_reason",
            ),
        ]
        indexes = [models.Index(fields=["ends_at"], condition=models.Q(lifted_at=None), name="hold_standing")]

    def __str__(self) -> str:
        return f"hold on {self.version} until {self.ends_at:%Y-%m-%d}"
