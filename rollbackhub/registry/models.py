"""Artefacts, their versions, environments and what those are connected to."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models.functions import Coalesce, Now, NullIf

from rollbackhub.accounts.models import Team
from rollbackhub.actions.models import Action
from rollbackhub.registry.enums import ChangeType, EnvironmentKind, Lifecycle, Stakes
from rollbackhub.registry.rules import DEFAULT_RETENTION_DAYS, LEAST_RETENTION_DAYS


class SpeedTarget(models.Model):
    """How long a rollback of a change type may take. Seeded from the chapter; editable in the admin."""

    change_type = models.CharField(max_length=20, choices=ChangeType, unique=True)
    seconds = models.PositiveIntegerField(null=True, blank=True, help_text="Empty: set per artefact (data sets)")

    class Meta:
        ordering = ["change_type"]
        constraints = [models.CheckConstraint(condition=models.Q(seconds__gt=0) | models.Q(seconds=None), name="speed_target_positive")]

    def __str__(self) -> str:
        return f"{self.get_change_type_display()}: {self.seconds or 'per artefact'}"


class RetentionRule(models.Model):
    """How long a superseded version of a change type is kept. Seeded with 90 days; editable in the admin."""

    change_type = models.CharField(max_length=20, choices=ChangeType, unique=True)
    days = models.PositiveIntegerField(default=DEFAULT_RETENTION_DAYS, help_text="Days for which a version is kept after it was superseded; 30 at least")

    class Meta:
        ordering = ["change_type"]
        constraints = [models.CheckConstraint(condition=models.Q(days__gte=LEAST_RETENTION_DAYS), name="retention_rule_at_least_30_days")]

    def __str__(self) -> str:
        return f"{self.get_change_type_display()}: {self.days} days"


class Artefact(models.Model):
    """A thing that is released."""

    slug = models.SlugField(unique=True)
    name = models.CharField(max_length=120)
    change_type = models.CharField(max_length=20, choices=ChangeType)
    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="artefacts")
    stakes = models.CharField(max_length=10, choices=Stakes, default=Stakes.STANDARD)
    target_seconds = models.PositiveIntegerField(null=True, blank=True, help_text="This artefact's own target; empty: its change type's")
    hold_days = models.PositiveSmallIntegerField(default=7, help_text="Days for which a version that was rolled back may not ship again")
    retention_days = models.PositiveIntegerField(
        null=True, blank=True, help_text="Days for which its superseded versions are kept (30 at least); empty: its change type's"
    )
    checks = models.JSONField(null=True, blank=True, help_text="What verifies a rollback of it; empty: the template of its change type")
    is_lab = models.BooleanField(default=False, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["slug"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(retention_days=None) | models.Q(retention_days__gte=LEAST_RETENTION_DAYS), name="artefact_retention_at_least_30_days"
            )
        ]

    def __str__(self) -> str:
        return self.name


class Version(models.Model):
    """One immutable version of an artefact. Only where it stands in its lifecycle, and when its provider retires it, may change."""

    artefact = models.ForeignKey(Artefact, on_delete=models.PROTECT, related_name="versions")
    label = models.CharField(max_length=120)
    digest = models.CharField(max_length=100, blank=True)
    uri = models.CharField(max_length=500, blank=True)
    changelog = models.TextField(blank=True)
    eval_reference = models.CharField(max_length=500, blank=True)
    author = models.CharField(max_length=200, blank=True, help_text="Who made it")
    parent = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT, related_name="children", help_text="The version that it was made from")
    lifecycle = models.CharField(max_length=20, choices=Lifecycle, default=Lifecycle.REGISTERED)
    is_strategic = models.BooleanField(default=False, help_text="Its release was a strategic decision: rolling it back is senior leadership's")
    superseded_at = models.DateTimeField(
        null=True, editable=False, help_text="When it last lost its traffic in production; null while it is live, or if it never was"
    )
    provider_retires_at = models.DateTimeField(null=True, blank=True, help_text="When its provider shuts it down, if that is known")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["artefact", "-created_at"]
        constraints = [models.UniqueConstraint(fields=["artefact", "label"], name="version_label_once")]
        indexes = [
            models.Index(fields=["superseded_at"], condition=models.Q(superseded_at__isnull=False), name="version_superseded"),
            models.Index(fields=["provider_retires_at"], condition=models.Q(provider_retires_at__isnull=False), name="version_provider_retires"),
        ]

    def __str__(self) -> str:
        return self.label


class RetirementWarning(models.Model):
    """That people were told of a provider's retirement date, so many days ahead. Once for each date and number of days."""

    version = models.ForeignKey(Version, on_delete=models.CASCADE, related_name="retirement_warnings")
    retires_at = models.DateTimeField()
    days = models.PositiveSmallIntegerField()
    told_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["version", "-told_at"]
        constraints = [models.UniqueConstraint(fields=["version", "retires_at", "days"], name="retirement_warning_once")]

    def __str__(self) -> str:
        return f"{self.version} retires in {self.days} days"


class Environment(models.Model):
    """Production or staging; what it is bound to stands in its connections."""

    slug = models.SlugField(unique=True)
    name = models.CharField(max_length=80)
    kind = models.CharField(max_length=12, choices=EnvironmentKind)
    releases_only = models.BooleanField(
        "new versions by release only",
        default=True,
        help_text="In production a version takes its first weight by a release, whose gate asks for a verified way back",
    )
    is_lab = models.BooleanField(default=False, editable=False)

    class Meta:
        ordering = ["slug"]

    def __str__(self) -> str:
        return self.name


class Connection(models.Model):
    """How an environment reaches one real system, by a connector. Settings hold no secret, only references to one."""

    environment = models.ForeignKey(Environment, on_delete=models.CASCADE, related_name="connections")
    connector = models.CharField(max_length=40, help_text="A connector's name, e.g. envoy or prometheus")
    name = models.SlugField(
        max_length=40, blank=True, default="", help_text="What tells it from others of its connector in the environment; empty: the connector's name"
    )
    settings = models.JSONField(default=dict, blank=True)

    class Meta:
        ordering = ["environment", "connector", "name"]
        constraints = [
            models.UniqueConstraint(
                "environment",
                Coalesce(NullIf("name", models.Value("")), "connector"),
                name="connection_once_per_environment",
                violation_error_message="The environment has a connection of this name.",
            ),
            # Gateways and metrics are looked up by their connector alone.
            models.CheckConstraint(
                condition=~models.Q(connector__in=["envoy", "prometheus"]) | models.Q(name=""),
                name="connection_of_gateways_unnamed",
                violation_error_message="An environment has one envoy and one prometheus connection, without a name.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.key} of {self.environment}"

    @property
    def key(self) -> str:
        """Its name within the environment."""
        return self.name or self.connector


class StabilityHold(models.Model):
    """After a rollback the version may get no weight in any production environment until the hold ends or a lead lifts it.

    It ends with its time, once no gating action of it is open (HoldGate).
    """

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


class HoldGate(models.Model):
    """An action that a hold waits for: while it is open and gating, the hold stands, whatever its time."""

    hold = models.ForeignKey(StabilityHold, on_delete=models.CASCADE, related_name="gates")
    action = models.ForeignKey(Action, on_delete=models.PROTECT, related_name="hold_gates")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["hold", "id"]
        constraints = [models.UniqueConstraint(fields=["hold", "action"], name="hold_gate_once")]

    def __str__(self) -> str:
        return f"{self.action} gates {self.hold}"
