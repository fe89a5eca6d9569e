"""What the continuous preflight found, and the readiness of every alias with its history."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now

from rollbackhub.executions.enums import FindingCode
from rollbackhub.readiness.enums import ReadinessState, RunState
from rollbackhub.registry.models import Environment
from rollbackhub.routing.models import RoutingPolicy


class PreflightRun(models.Model):
    """The continuous preflight of one environment: when it is due, and how the last one went."""

    environment = models.OneToOneField(Environment, on_delete=models.CASCADE, primary_key=True, related_name="preflight")
    due_at = models.DateTimeField(db_default=Now())
    claimed_until = models.DateTimeField(null=True, help_text="A process is at it until then")
    state = models.CharField(max_length=12, choices=RunState, default=RunState.NEVER)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    paths = models.PositiveIntegerField(default=0, help_text="Paths that were looked at")
    skipped = models.JSONField(default=list, help_text="Checks that could not run, with why")

    def __str__(self) -> str:
        return f"preflight of {self.environment}"


class PreflightFinding(models.Model):
    """Something that is not as the procedure expects. It closes by itself when a check finds it mended."""

    environment = models.ForeignKey(Environment, on_delete=models.CASCADE, related_name="preflight_findings")
    policy = models.ForeignKey(
        RoutingPolicy, null=True, on_delete=models.CASCADE, related_name="preflight_findings", help_text="Null: it concerns every alias of the environment"
    )
    check_name = models.CharField(max_length=40, help_text="Which check found it; only that check closes it")
    code = models.CharField(max_length=24, choices=FindingCode)
    subject = models.CharField(max_length=200)
    expected = models.TextField()
    found = models.TextField()
    remedy = models.TextField(blank=True)
    first_seen_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-first_seen_at", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["environment", "policy", "check_name", "code", "subject"],
                condition=models.Q(closed_at=None),
                nulls_distinct=False,
                name="preflight_finding_open_once",
            ),
        ]
        indexes = [models.Index(fields=["policy"], condition=models.Q(closed_at=None), name="preflight_finding_open")]

    def __str__(self) -> str:
        return f"{self.code}: {self.subject}"


class Readiness(models.Model):
    """The readiness of one alias in one environment, as it was last computed."""

    policy = models.OneToOneField(RoutingPolicy, on_delete=models.CASCADE, primary_key=True, related_name="readiness")
    state = models.CharField(max_length=10, choices=ReadinessState)
    rank = models.PositiveSmallIntegerField(help_text="0 is the most urgent")
    rollbackable = models.BooleanField(help_text="Its target is there, its path is proven, and nothing has changed since")
    proof_state = models.CharField(max_length=10)
    reasons = models.JSONField(default=list, help_text="code, severity, sentence, remedy, url; the most urgent first")
    since = models.DateTimeField(help_text="When it came to this state")
    computed_at = models.DateTimeField()

    class Meta:
        ordering = ["rank", "policy__alias"]
        verbose_name_plural = "readiness"
        indexes = [models.Index(fields=["rank", "state"], name="readiness_by_rank")]

    def __str__(self) -> str:
        return f"{self.policy}: {self.state}"


class ReadinessChange(models.Model):
    """One change of an alias's readiness. Never changed."""

    app_privileges = ("SELECT", "INSERT", "DELETE")

    policy = models.ForeignKey(RoutingPolicy, on_delete=models.CASCADE, related_name="readiness_changes")
    at = models.DateTimeField()
    state = models.CharField(max_length=10, choices=ReadinessState)
    rollbackable = models.BooleanField()
    codes = models.JSONField(default=list, help_text="Codes of the reasons, the most urgent first")
    sentence = models.TextField(blank=True, help_text="The most urgent reason in words")

    class Meta:
        ordering = ["-at", "-id"]
        indexes = [models.Index(fields=["policy", "-at"], name="readiness_change_by_policy"), models.Index(fields=["at"], name="readiness_change_by_time")]

    def __str__(self) -> str:
        return f"{self.policy} {self.state} at {self.at:%Y-%m-%d %H:%M}"
