"""The production decision: rollbacks with their parts, the authority table, approvals, roll-forwards."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from rollbackhub.accounts.enums import Role
from rollbackhub.executions.models import Execution, ProcedureVersion
from rollbackhub.registry.models import Environment, Version
from rollbackhub.rollbacks.enums import AuthorisedBy, AuthoritySubject, Decision, RollbackState, RollForwardState, Via
from rollbackhub.rollbacks.rules import LEVELS
from rollbackhub.routing.models import RoutingPolicy


class AuthorityRule(models.Model):
    """Who decides alone about a kind of rollback. Seeded from the chapter; editable in the admin."""

    subject = models.CharField(max_length=20, choices=AuthoritySubject, unique=True)
    role = models.CharField(max_length=20, choices=[(role.value, role.label) for role in LEVELS])
    tell_next_after_seconds = models.PositiveIntegerField(default=300, help_text="When nobody has decided after this time, the next level is told too")
    expires_after_seconds = models.PositiveIntegerField(default=3600, help_text="A request that nobody decided expires after this time")

    class Meta:
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(condition=models.Q(role__in=LEVELS), name="authority_role_known"),
            models.CheckConstraint(
                condition=models.Q(tell_next_after_seconds__gt=0, expires_after_seconds__gt=models.F("tell_next_after_seconds")),
                name="authority_times_in_order",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_subject_display()}: {self.get_role_display()}"


class CoordinatedProcedure(models.Model):
    """Several aliases of one environment that go back together, in this order. Changes are audited; a request freezes what it says."""

    slug = models.SlugField(max_length=60, unique=True)
    name = models.CharField(max_length=120)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="coordinated_procedures")
    number = models.PositiveIntegerField(default=1, help_text="Counts its changes: nobody writes over another's unknowingly")
    no_return_at = models.PositiveSmallIntegerField(null=True, help_text="The position of the alias from which on nothing is put back; null: everything can be")
    no_return_because = models.TextField(blank=True)
    author_label = models.CharField(max_length=200)
    updated_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["environment", "slug"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(no_return_at=None, no_return_because="") | (models.Q(no_return_at__isnull=False) & ~models.Q(no_return_because="")),
                name="no_return_says_why",
            )
        ]

    def __str__(self) -> str:
        return self.name


class CoordinatedStep(models.Model):
    """One alias of a coordinated procedure, in its place."""

    procedure = models.ForeignKey(CoordinatedProcedure, on_delete=models.CASCADE, related_name="steps")
    position = models.PositiveSmallIntegerField()
    policy = models.ForeignKey(RoutingPolicy, on_delete=models.PROTECT, related_name="coordinated_steps")
    why = models.CharField(max_length=300, blank=True, help_text="Why it has this place")

    class Meta:
        ordering = ["procedure", "position"]
        constraints = [
            models.UniqueConstraint(fields=["procedure", "position"], name="coordinated_position_once"),
            models.UniqueConstraint(fields=["procedure", "policy"], name="coordinated_alias_once"),
        ]

    def __str__(self) -> str:
        return f"{self.position + 1}. {self.policy.alias} of {self.procedure}"


class Rollback(models.Model):
    """One decision to roll back in production: one alias, or several in order. What is done stands on its parts' executions."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    number = models.PositiveIntegerField(default=0, help_text="Counts its changes: who follows it sees what is new")
    state = models.CharField(max_length=20, choices=RollbackState)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="rollbacks")
    is_strategic = models.BooleanField(default=False)
    coordination = models.JSONField(null=True, help_text="Of a coordinated procedure: its order and its point of no return, as they were when it was asked for")
    reason = models.TextField()
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", help_text="The account that asked")
    principal = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", help_text="The person behind it")
    requested_by_label = models.CharField(max_length=200)
    requested_via = models.CharField(max_length=10, choices=Via)
    idempotency_key = models.CharField(max_length=120, null=True)
    idempotency_owner = models.CharField(max_length=120, blank=True, help_text="Whose key it is")
    request_hash = models.CharField(max_length=64, help_text="What was asked for: the same key with another request is refused")
    is_lab = models.BooleanField(default=False)

    # Authority.
    plan_hash = models.CharField(max_length=64, help_text="Over all parts' frozen plans; an approval holds for this hash only")
    plan_number = models.PositiveSmallIntegerField(default=1, help_text="Counts the plans while it waits for approval")
    required_role = models.CharField(max_length=20, choices=Role)
    required_because = models.CharField(max_length=20, choices=AuthoritySubject)
    authorised_how = models.CharField(max_length=12, choices=AuthorisedBy, blank=True)
    authorised_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    tell_next_at = models.DateTimeField(null=True)
    next_told_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True)
    break_glass_reason = models.TextField(blank=True)
    reviewed_at = models.DateTimeField(null=True, help_text="When a lead signed the review of the break-glass")
    reviewed_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    review_note = models.TextField(blank=True)

    # The clock. What the gateways showed stands on the executions too; these are the whole's.
    detected_at = models.DateTimeField(null=True, help_text="As given; a lead may correct it")
    detected_by = models.CharField(max_length=200, blank=True, help_text="How it was noticed")
    decided_at = models.DateTimeField()
    authorised_at = models.DateTimeField(null=True)
    started_at = models.DateTimeField(null=True)
    executed_at = models.DateTimeField(null=True)
    propagated_at = models.DateTimeField(null=True)
    drained_at = models.DateTimeField(null=True)
    restored_at = models.DateTimeField(null=True)
    verified_at = models.DateTimeField(null=True)
    closed_at = models.DateTimeField(null=True)
    rollback_seconds = models.FloatField(null=True, help_text="Decided to restored")
    target_seconds = models.PositiveIntegerField(null=True)

    exposure_observed = models.PositiveBigIntegerField(null=True, help_text="Requests that the bad version served, by counters")
    exposure_estimated = models.PositiveBigIntegerField(null=True, help_text="Requests before the counters were first read, by rate")
    exposure_basis = models.TextField(blank=True)

    outcome = models.TextField(blank=True, help_text="In words: what happened, what stands where, and what to do")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["idempotency_owner", "idempotency_key"], condition=~models.Q(idempotency_key=None), name="rollback_idempotency_key_once"
            ),
            models.CheckConstraint(
                condition=models.Q(restored_at=None) | models.Q(propagated_at__isnull=False, drained_at__isnull=False), name="rollback_restored_was_observed"
            ),
            models.CheckConstraint(
                condition=~models.Q(state__in=(RollbackState.RESTORED, RollbackState.VERIFIED)) | models.Q(restored_at__isnull=False),
                name="rollback_state_restored_was_observed",
            ),
            models.CheckConstraint(
                condition=~models.Q(state=RollbackState.VERIFIED) | models.Q(verified_at__isnull=False), name="rollback_state_verified_was_observed"
            ),
            models.CheckConstraint(
                condition=models.Q(started_at=None) | (models.Q(authorised_by__isnull=False, authorised_at__isnull=False) & ~models.Q(authorised_how="")),
                name="rollback_started_was_authorised",
            ),
            models.CheckConstraint(
                condition=~models.Q(authorised_how=AuthorisedBy.APPROVAL) | ~models.Q(authorised_by=models.F("principal")),
                name="rollback_not_approved_by_requester",
            ),
            models.CheckConstraint(
                condition=~models.Q(authorised_how=AuthorisedBy.BREAK_GLASS) | ~models.Q(break_glass_reason=""), name="rollback_break_glass_has_reason"
            ),
        ]
        indexes = [
            models.Index(fields=["-created_at"], name="rollback_newest"),
            models.Index(fields=["state", "-created_at"], name="rollback_by_state"),
            models.Index(fields=["expires_at"], condition=models.Q(state=RollbackState.AWAITING_APPROVAL), name="rollback_waiting"),
            models.Index(fields=["decided_at"], condition=models.Q(authorised_how=AuthorisedBy.BREAK_GLASS, reviewed_at=None), name="rollback_review_open"),
        ]

    def __str__(self) -> str:
        return f"Rollback {str(self.id)[:8]}"

    @property
    def is_break_glass(self) -> bool:
        """Whether it was started above the requester's authority, alone."""
        return self.authorised_how == AuthorisedBy.BREAK_GLASS

    @property
    def review_is_open(self) -> bool:
        """Whether a lead still has to sign the review of the break-glass."""
        return self.is_break_glass and self.reviewed_at is None


class RollbackPart(models.Model):
    """One alias of a rollback, in its order, with the plan that was shown and is approved."""

    rollback = models.ForeignKey(Rollback, on_delete=models.CASCADE, related_name="parts")
    position = models.PositiveSmallIntegerField()
    policy = models.ForeignKey(RoutingPolicy, on_delete=models.PROTECT, related_name="rollback_parts")
    bad_version = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="+")
    procedure_version = models.ForeignKey(ProcedureVersion, on_delete=models.PROTECT, related_name="+")
    plan = models.JSONField()
    fingerprint = models.CharField(max_length=64)
    execution = models.OneToOneField(Execution, null=True, on_delete=models.PROTECT, related_name="rollback_part")
    earlier_executions = models.JSONField(default=list, help_text="Ids of executions of earlier plans of this part")
    holds_alias = models.BooleanField(default=True, help_text="The rollback keeps others from this alias")

    class Meta:
        ordering = ["rollback", "position"]
        constraints = [
            models.UniqueConstraint(fields=["rollback", "position"], name="part_position_once"),
            models.UniqueConstraint(fields=["rollback", "policy"], name="part_alias_once"),
            models.UniqueConstraint(fields=["policy"], condition=models.Q(holds_alias=True), name="part_one_active_rollback_per_alias"),
        ]

    def __str__(self) -> str:
        return f"{self.plan.get('alias', '?')} ({self.position + 1})"


class Approval(models.Model):
    """What somebody decided about a request. It holds for the plan with this hash and for no other."""

    append_only = True

    rollback = models.ForeignKey(Rollback, on_delete=models.PROTECT, related_name="approvals")
    plan_hash = models.CharField(max_length=64)
    decision = models.CharField(max_length=10, choices=Decision)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    role = models.CharField(max_length=20, choices=Role, help_text="The role by which they decided")
    reason = models.TextField(blank=True)
    via = models.CharField(max_length=10, choices=Via)
    reauthenticated_at = models.DateTimeField(help_text="When they last entered their password")
    decided_at = models.DateTimeField()

    class Meta:
        ordering = ["decided_at", "id"]
        constraints = [models.UniqueConstraint(fields=["rollback", "plan_hash"], name="approval_one_per_plan")]

    def __str__(self) -> str:
        return f"{self.get_decision_display()} by {self.user}"


class RollForward(models.Model):
    """The other way out: a fixed version on a fast track. The gates that it skipped are on the record."""

    rollback = models.ForeignKey(Rollback, on_delete=models.CASCADE, related_name="roll_forwards")
    part = models.ForeignKey(RollbackPart, on_delete=models.CASCADE, related_name="roll_forwards")
    fix_version = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="+")
    execution = models.OneToOneField(Execution, on_delete=models.PROTECT, related_name="roll_forward")
    state = models.CharField(max_length=10, choices=RollForwardState, default=RollForwardState.RUNNING)
    canary_percents = models.JSONField(help_text="The shortened canary: percent of the traffic at each stage")
    skipped_gates = models.JSONField(help_text="Each gate that was skipped: gate, name of who answers for it, reason")
    reason = models.TextField()
    started_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    outcome = models.TextField(blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["rollback", "created_at"]
        constraints = [
            models.UniqueConstraint(fields=["rollback"], condition=models.Q(state=RollForwardState.RUNNING), name="roll_forward_one_at_a_time"),
        ]

    def __str__(self) -> str:
        return f"Roll-forward to {self.fix_version}"


class HeldTraffic(models.Model):
    """The gateways were seen to give traffic to a version under hold: somebody went around the hub. Evidence, never changed."""

    append_only = True

    rollback = models.ForeignKey(Rollback, on_delete=models.PROTECT, related_name="held_traffic")
    version = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="+")
    seen_at = models.DateTimeField()
    requests = models.PositiveBigIntegerField(help_text="Requests between two looks")
    seconds = models.FloatField(help_text="Between the two looks")
    per_gateway = models.JSONField()

    class Meta:
        ordering = ["-seen_at"]
        indexes = [models.Index(fields=["rollback", "-seen_at"], name="held_traffic_newest")]

    def __str__(self) -> str:
        return f"{self.requests} requests to {self.version}"
