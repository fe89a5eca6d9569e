"""Procedures, executions of them, and everything that an execution observed."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from rollbackhub.common.verdict import Verdict
from rollbackhub.executions.enums import ACTIVE_STATES, REHEARSES, ExecutionKind, ExecutionState, FindingCode, Segment, StepState
from rollbackhub.registry.enums import ChangeType
from rollbackhub.registry.models import Artefact, Environment, Version
from rollbackhub.routing.models import RoutingPolicy


class Procedure(models.Model):
    """A written rollback for a change type and a mechanism, or for one artefact. Its content stands in its versions."""

    slug = models.SlugField(unique=True)
    name = models.CharField(max_length=120)
    change_type = models.CharField(max_length=20, choices=ChangeType)
    connector = models.CharField(max_length=40, blank=True, default="", help_text="The connector that moves its aliases; empty: the gateways")
    artefact = models.ForeignKey(
        Artefact, null=True, blank=True, on_delete=models.CASCADE, related_name="procedures", help_text="Its own procedure; empty: all of the change type"
    )
    runbook_url = models.URLField(blank=True)
    runbook_hash = models.CharField(max_length=80, blank=True, editable=False, help_text="SHA-256 of what stood there when it was last read")
    runbook_read_at = models.DateTimeField(null=True, editable=False, help_text="When it was last read")
    runbook_tried_at = models.DateTimeField(null=True, editable=False)
    runbook_problem = models.CharField(max_length=300, blank=True, editable=False, help_text="Why it could not be read the last time")

    class Meta:
        ordering = ["slug"]
        constraints = [
            models.UniqueConstraint(
                fields=["change_type", "connector", "artefact"],
                nulls_distinct=False,
                name="procedure_once",
                violation_error_message="There is a procedure for this change type, connector and artefact already: write its next version.",
            )
        ]

    def __str__(self) -> str:
        return self.name


class ProcedureVersion(models.Model):
    """One immutable version of a procedure: its ordered steps, as data."""

    append_only = True

    procedure = models.ForeignKey(Procedure, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    steps = models.JSONField(help_text="Ordered steps: key, action, params, segment, kinds, always, starts_clock")
    content_hash = models.CharField(max_length=64, editable=False)
    author_label = models.CharField(max_length=200, blank=True, db_default="", editable=False, help_text="Who wrote it; empty: it came with RollbackHub")
    reason = models.CharField(max_length=300, blank=True, db_default="", editable=False, help_text="Why, as its author said")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["procedure", "-number"]
        constraints = [models.UniqueConstraint(fields=["procedure", "number"], name="procedure_version_once")]

    def __str__(self) -> str:
        return f"{self.procedure} v{self.number}"


class Execution(models.Model):
    """One run of a frozen procedure on one alias: a drill, a rollback or a rehearsal."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(max_length=12, choices=ExecutionKind)
    state = models.CharField(max_length=16, choices=ExecutionState, default=ExecutionState.QUEUED)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="executions")
    policy = models.ForeignKey(RoutingPolicy, on_delete=models.PROTECT, related_name="executions")
    procedure_version = models.ForeignKey(ProcedureVersion, on_delete=models.PROTECT, related_name="executions")
    change_type = models.CharField(max_length=20, choices=ChangeType)
    bad_version = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="+", help_text="The version that is taken out")
    plan = models.JSONField(help_text="Frozen at the start: steps, weights before, canary and after, connections, target")
    fingerprint = models.CharField(max_length=64)
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    requested_by_label = models.CharField(max_length=200)
    is_lab = models.BooleanField(default=False)

    # The claim (DESIGN.md §4.3). All of it by the database's clock.
    fence = models.PositiveIntegerField(default=0)
    lease_until = models.DateTimeField(null=True)
    claimed_by = models.CharField(max_length=120, blank=True)
    claims = models.PositiveIntegerField(default=0)
    published_at = models.DateTimeField(null=True, help_text="A worker was called for it then; null again once one claimed it")
    cancel_requested_at = models.DateTimeField(null=True)
    retried_at = models.DateTimeField(null=True, help_text="A person let it go on; attempts before do not count against it")

    # The clock. Every instant is observed, none is assumed.
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    started_at = models.DateTimeField(null=True)
    decided_at = models.DateTimeField(null=True, help_text="The clock of the rollback starts here")
    executed_at = models.DateTimeField(null=True, help_text="The flip was written")
    propagated_at = models.DateTimeField(null=True, help_text="The last live gateway acknowledged it")
    drained_at = models.DateTimeField(null=True, help_text="The bad version's traffic was first seen at zero, and stayed there")
    restored_at = models.DateTimeField(null=True)
    verified_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    rollback_seconds = models.FloatField(null=True, help_text="Decided to restored")
    target_seconds = models.PositiveIntegerField(null=True)

    verdict = models.CharField(max_length=12, choices=Verdict, blank=True)
    outcome = models.TextField(blank=True, help_text="In words: what happened, and what stands where")

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["environment", "policy"],
                condition=models.Q(state__in=ACTIVE_STATES),
                name="execution_one_active_per_target",
            ),
            models.CheckConstraint(
                condition=~models.Q(state=ExecutionState.FINISHED) | ~models.Q(verdict=""),
                name="execution_finished_has_verdict",
            ),
            models.CheckConstraint(
                condition=~models.Q(verdict=Verdict.PASSED) | models.Q(restored_at__isnull=False, verified_at__isnull=False),
                name="execution_passed_was_observed",
            ),
        ]
        indexes = [
            models.Index(fields=["lease_until"], condition=models.Q(state__in=ACTIVE_STATES), name="execution_leases"),
            models.Index(fields=["-created_at"], name="execution_newest"),
            models.Index(fields=["kind", "-created_at"], name="execution_by_kind"),
            models.Index(fields=["kind", "verdict", "-created_at"], name="execution_by_verdict"),
            models.Index(fields=["policy", "kind", "-created_at"], name="execution_by_policy"),
            # What proves a path is looked up for every alias at once: without statistics yet, the planner would read all verdicts for each.
            models.Index(
                fields=["policy", "-created_at"], condition=models.Q(kind__in=REHEARSES, state=ExecutionState.FINISHED), name="execution_by_policy_proof"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} of {self.plan.get('alias', '?')} {str(self.id)[:8]}"

    @property
    def is_active(self) -> bool:
        """Whether it still holds its target."""
        return self.state in ACTIVE_STATES


class StepAttempt(models.Model):
    """One attempt of one step, written before the step has its effect."""

    execution = models.ForeignKey(Execution, on_delete=models.CASCADE, related_name="attempts")
    position = models.PositiveSmallIntegerField(help_text="Place of the step in the frozen plan, from 0")
    key = models.CharField(max_length=40)
    action = models.CharField(max_length=40)
    segment = models.CharField(max_length=12, choices=Segment)
    number = models.PositiveSmallIntegerField(default=1)
    fence = models.PositiveIntegerField()
    worker = models.CharField(max_length=120)
    state = models.CharField(max_length=12, choices=StepState, default=StepState.STARTED)
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    verdict = models.CharField(max_length=12, choices=Verdict, blank=True)
    message = models.TextField(blank=True)
    result = models.JSONField(default=dict, help_text="What later steps need, and what it observed in short")

    class Meta:
        ordering = ["execution", "position", "number"]
        constraints = [
            models.UniqueConstraint(fields=["execution", "position", "number"], name="step_attempt_once"),
            models.UniqueConstraint(
                fields=["execution", "position"], condition=models.Q(state__in=(StepState.DONE, StepState.SKIPPED)), name="step_settled_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.key} ({self.number})"


class CheckResult(models.Model):
    """One check of a verification: its verdict, with the numbers behind it."""

    execution = models.ForeignKey(Execution, on_delete=models.CASCADE, related_name="checks")
    attempt = models.ForeignKey(StepAttempt, on_delete=models.CASCADE, related_name="checks")
    check_name = models.CharField(max_length=40)
    verdict = models.CharField(max_length=12, choices=Verdict)
    sentence = models.TextField()
    numbers = models.JSONField(default=dict)
    decided_at = models.DateTimeField()

    class Meta:
        ordering = ["execution", "id"]
        constraints = [models.UniqueConstraint(fields=["attempt", "check_name"], name="check_once_per_attempt")]

    def __str__(self) -> str:
        return f"{self.check_name}: {self.verdict}"


class Sample(models.Model):
    """One thing that was observed at one instant. Every sample is kept."""

    # Never changed. Deleting goes with an execution: what the lab made may be cleared away.
    app_privileges = ("SELECT", "INSERT", "DELETE")

    execution = models.ForeignKey(Execution, on_delete=models.CASCADE, related_name="samples")
    attempt = models.ForeignKey(StepAttempt, on_delete=models.CASCADE, related_name="samples")
    kind = models.CharField(max_length=30, help_text="traffic, gateways, metrics, policy")
    source = models.CharField(max_length=200, help_text="Where it was read")
    taken_at = models.DateTimeField()
    value = models.JSONField()

    class Meta:
        ordering = ["id"]
        indexes = [models.Index(fields=["execution", "kind", "taken_at"], name="sample_by_execution")]

    def __str__(self) -> str:
        return f"{self.kind} at {self.taken_at:%H:%M:%S}"


class Finding(models.Model):
    """What an execution or a preflight caught: expected this, found that."""

    execution = models.ForeignKey(Execution, on_delete=models.CASCADE, related_name="findings")
    attempt = models.ForeignKey(StepAttempt, null=True, on_delete=models.CASCADE, related_name="findings")
    code = models.CharField(max_length=24, choices=FindingCode)
    subject = models.CharField(max_length=200, help_text="The thing that is not as it should be")
    expected = models.TextField()
    found = models.TextField()
    remedy = models.TextField(blank=True)
    found_at = models.DateTimeField()
    mended_at = models.DateTimeField(null=True, help_text="When a later attempt of the same step no longer found it")

    class Meta:
        ordering = ["execution", "id"]
        constraints = [models.UniqueConstraint(fields=["execution", "code", "subject"], name="finding_once_per_execution")]

    def __str__(self) -> str:
        return f"{self.code}: {self.subject}"
