"""Hooks, what they took in, the alerts that it was about, the rules, and the rollbacks that were proposed."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from incidents.enums import Severity
from incidents.models import Incident
from rollbackhub.accounts.models import Team
from rollbackhub.alerts.enums import AlertState, Became, Counted, HookKind, ProposalState, SuggestedAction
from rollbackhub.registry.models import Environment
from rollbackhub.rollbacks.models import Rollback
from rollbackhub.routing.models import RoutingPolicy

SLOTS = 16
"""A count has so many rows a day: posts that are refused at once seldom wait for each other."""


class AlertHook(models.Model):
    """An address at which another system posts its alerts about one environment."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(max_length=15, choices=HookKind)
    name = models.CharField(max_length=100)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="alert_hooks")
    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="alert_hooks")
    token_hash = models.CharField(max_length=64, unique=True, null=True, help_text="Of the secret in an Alertmanager's address; the secret is kept nowhere")
    signing_ref = models.CharField(max_length=420, blank=True, help_text="Of a signed hook: where its secret is found, env:NAME or file:/path")
    is_active = models.BooleanField(default=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    ended_at = models.DateTimeField(null=True)
    last_seen_at = models.DateTimeField(null=True, help_text="When a post was last taken")

    class Meta:
        ordering = ["name", "created_at"]
        constraints = [
            models.CheckConstraint(condition=models.Q(kind__in=HookKind.values), name="alert_hook_kind_known"),
            models.CheckConstraint(
                condition=models.Q(kind=HookKind.ALERTMANAGER, token_hash__isnull=False, signing_ref="")
                | (~models.Q(kind=HookKind.ALERTMANAGER) & models.Q(token_hash=None) & ~models.Q(signing_ref="")),
                name="alert_hook_has_its_secret",
            ),
            models.CheckConstraint(condition=models.Q(is_active=True) ^ models.Q(ended_at__isnull=False), name="alert_hook_ended_has_instant"),
        ]

    def __str__(self) -> str:
        return self.name


class AlertPost(models.Model):
    """A post that was taken and is to be looked at. Of one that was looked at only its id is left, so that it is not taken again."""

    id = models.BigAutoField(primary_key=True)
    hook = models.ForeignKey(AlertHook, on_delete=models.PROTECT, related_name="posts")
    delivery_id = models.CharField(max_length=200, null=True, help_text="What the sender calls this post; None: it has no name")
    entries = models.JSONField(help_text="The alerts in it, in our own form")
    received_at = models.DateTimeField(db_default=Now(), editable=False)
    processed_at = models.DateTimeField(null=True)
    problem = models.CharField(max_length=300, blank=True, help_text="Why it could not be worked on")

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["hook", "delivery_id"], condition=~models.Q(delivery_id=None), name="alert_post_once")]
        indexes = [
            models.Index(fields=["id"], condition=models.Q(processed_at=None), name="alert_post_to_process"),
            models.Index(fields=["processed_at"], condition=models.Q(processed_at__isnull=False), name="alert_post_processed"),
        ]

    def __str__(self) -> str:
        return f"post {self.pk} of {self.hook}"


class PostCount(models.Model):
    """How many posts of a hook were taken, or refused for a reason, on a day (UTC). Nothing else is kept of what was refused."""

    hook = models.ForeignKey(AlertHook, null=True, on_delete=models.CASCADE, related_name="counts", help_text="None: posts to an address that is no hook's")
    counted = models.CharField(max_length=15, choices=Counted)
    day = models.DateField()
    slot = models.PositiveSmallIntegerField(default=0)
    count = models.BigIntegerField(default=0)

    class Meta:
        ordering = ["-day", "hook", "counted", "slot"]
        constraints = [
            models.UniqueConstraint(fields=["hook", "counted", "day", "slot"], nulls_distinct=False, name="post_count_once"),
            models.CheckConstraint(condition=models.Q(counted__in=Counted.values), name="post_count_known"),
            models.CheckConstraint(condition=models.Q(hook__isnull=False) | models.Q(counted=Counted.UNKNOWN_HOOK), name="post_count_of_a_hook"),
        ]

    def __str__(self) -> str:
        return f"{self.count} {self.get_counted_display().lower()} on {self.day}"


class AlertRule(models.Model):
    """What is done about alerts with certain labels. The first rule that fits counts."""

    name = models.CharField(max_length=100)
    position = models.PositiveIntegerField(help_text="Rules are tried in this order")
    hook = models.ForeignKey(AlertHook, null=True, blank=True, on_delete=models.PROTECT, related_name="rules", help_text="None: of every hook")
    matchers = models.JSONField(default=list, help_text="Each: label, op (=, !=, =~, !~), value; all must fit")
    alias = models.CharField(max_length=80, blank=True, help_text="The alias that it is about")
    alias_label = models.CharField(max_length=100, blank=True, help_text="Or the label that names the alias")
    severity = models.CharField(max_length=4, choices=Severity, default=Severity.SEV2)
    action = models.CharField(max_length=10, choices=SuggestedAction)
    is_active = models.BooleanField(default=True)
    changed_by_label = models.CharField(max_length=200)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["position", "id"]
        constraints = [
            models.CheckConstraint(condition=models.Q(action__in=SuggestedAction.values), name="alert_rule_action_known"),
            models.CheckConstraint(condition=models.Q(severity__in=Severity.values), name="alert_rule_severity_known"),
            models.CheckConstraint(
                condition=models.Q(action=SuggestedAction.NONE) | (models.Q(alias="") ^ models.Q(alias_label="")), name="alert_rule_names_one_alias"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Proposal(models.Model):
    """A rollback that alerts propose: the plan as it was then. A person confirms it, or dismisses it."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    state = models.CharField(max_length=12, choices=ProposalState, default=ProposalState.OPEN)
    policy = models.ForeignKey(RoutingPolicy, on_delete=models.PROTECT, related_name="alert_proposals")
    incident = models.ForeignKey(Incident, on_delete=models.PROTECT, related_name="alert_proposals")
    plan = models.JSONField(help_text="What would have been done, as it was looked at when the alert came")
    plan_hash = models.CharField(max_length=64)
    detected_at = models.DateTimeField(help_text="When the first of its alerts began to fire")
    detected_by = models.CharField(max_length=200)
    severity = models.CharField(max_length=4, choices=Severity)
    made_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    judged_at = models.DateTimeField(null=True, help_text="When it was decided whether RollbackHub confirms it by itself")
    not_automatic = models.TextField(blank=True, help_text="Why it was not carried out by itself where that is turned on")
    automatic = models.BooleanField(default=False, help_text="RollbackHub itself confirmed it")
    ended_at = models.DateTimeField(null=True)
    ended_by_label = models.CharField(max_length=200, blank=True)
    ended_because = models.TextField(blank=True)
    rollback = models.OneToOneField(Rollback, null=True, on_delete=models.PROTECT, related_name="alert_proposal")

    class Meta:
        ordering = ["-made_at"]
        constraints = [
            models.UniqueConstraint(fields=["policy"], condition=models.Q(state=ProposalState.OPEN), name="proposal_one_open_per_alias"),
            models.CheckConstraint(condition=models.Q(state__in=ProposalState.values), name="proposal_state_known"),
            models.CheckConstraint(condition=models.Q(state=ProposalState.OPEN) ^ models.Q(ended_at__isnull=False), name="proposal_ended_has_instant"),
            models.CheckConstraint(
                condition=~models.Q(state=ProposalState.CONFIRMED) | models.Q(rollback__isnull=False), name="proposal_confirmed_has_rollback"
            ),
            models.CheckConstraint(condition=~models.Q(state=ProposalState.DISMISSED) | ~models.Q(ended_because=""), name="proposal_dismissed_has_reason"),
            models.CheckConstraint(condition=models.Q(automatic=False) | models.Q(state=ProposalState.CONFIRMED), name="proposal_automatic_is_confirmed"),
        ]
        indexes = [
            models.Index(fields=["-made_at"], name="proposal_newest"),
            models.Index(fields=["made_at"], condition=models.Q(state=ProposalState.OPEN), name="proposal_open"),
            models.Index(fields=["ended_at"], condition=models.Q(automatic=True), name="proposal_automatic"),
        ]

    def __str__(self) -> str:
        return f"Proposal {str(self.id)[:8]}"


class Alert(models.Model):
    """One thing that another system alerts about, by its fingerprint there. It may fire again and again."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    hook = models.ForeignKey(AlertHook, on_delete=models.PROTECT, related_name="alerts")
    fingerprint = models.CharField(max_length=200)
    name = models.CharField(max_length=200)
    labels = models.JSONField(default=dict)
    annotations = models.JSONField(default=dict)
    state = models.CharField(max_length=10, choices=AlertState)
    starts_at = models.DateTimeField(help_text="When it began to fire the last time; never later than when that was heard")
    sender_starts_at = models.DateTimeField(help_text="The same by the sender's clock, which may be ahead: which firing a post is about")
    resolved_at = models.DateTimeField(null=True, help_text="When the sender said that it is over")
    first_seen_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()
    times_seen = models.PositiveIntegerField(default=1, help_text="In how many posts it stood")
    times_fired = models.PositiveIntegerField(default=1, help_text="How often it began to fire")

    # What came of it.
    to_do = models.BooleanField(default=True, help_text="It is to be looked at")
    acted_on = models.DateTimeField(null=True, help_text="The beginning of the firing that was acted on last")
    noted_resolved_at = models.DateTimeField(null=True)
    became = models.CharField(max_length=10, choices=Became, default=Became.WAITING)
    outcome = models.TextField(blank=True, help_text="In words: what came of it")
    rule = models.ForeignKey(AlertRule, null=True, on_delete=models.SET_NULL, related_name="alerts")
    policy = models.ForeignKey(RoutingPolicy, null=True, on_delete=models.PROTECT, related_name="alerts")
    incident = models.ForeignKey(Incident, null=True, on_delete=models.PROTECT, related_name="alerts")
    proposal = models.ForeignKey(Proposal, null=True, on_delete=models.PROTECT, related_name="alerts")

    class Meta:
        ordering = ["-last_seen_at"]
        constraints = [
            models.UniqueConstraint(fields=["hook", "fingerprint"], name="alert_once"),
            models.CheckConstraint(condition=models.Q(state__in=AlertState.values), name="alert_state_known"),
            models.CheckConstraint(condition=models.Q(became__in=Became.values), name="alert_became_known"),
            models.CheckConstraint(condition=models.Q(state=AlertState.FIRING) ^ models.Q(resolved_at__isnull=False), name="alert_resolved_has_instant"),
        ]
        indexes = [
            models.Index(fields=["-last_seen_at"], name="alert_newest"),
            models.Index(fields=["first_seen_at"], condition=models.Q(to_do=True), name="alert_to_do"),
        ]

    def __str__(self) -> str:
        return self.name


class Automation(models.Model):
    """Whether RollbackHub may confirm proposals by itself at all. One row."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    is_stopped = models.BooleanField(default=False, help_text="The kill switch")
    per_day = models.PositiveSmallIntegerField(default=3, help_text="Automatic rollbacks within 24 hours at most, of all aliases")
    changed_at = models.DateTimeField(null=True)
    changed_by_label = models.CharField(max_length=200, blank=True)
    reason = models.TextField(blank=True)

    class Meta:
        verbose_name_plural = "automation"
        constraints = [
            models.CheckConstraint(condition=models.Q(id=1), name="automation_one"),
            models.CheckConstraint(condition=models.Q(is_stopped=False) | ~models.Q(reason=""), name="automation_stopped_says_why"),
        ]

    def __str__(self) -> str:
        return "stopped" if self.is_stopped else "not stopped"


class AutoRollback(models.Model):
    """An alias whose proposals RollbackHub may confirm by itself, in the name of a service account."""

    policy = models.OneToOneField(RoutingPolicy, on_delete=models.PROTECT, related_name="auto_rollback")
    is_on = models.BooleanField(default=True)
    account = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", help_text="The service account that asks")
    per_day = models.PositiveSmallIntegerField(default=1, help_text="Within 24 hours at most")
    reason = models.TextField(help_text="Why it was turned on, or off")
    changed_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    changed_at = models.DateTimeField()

    class Meta:
        ordering = ["policy"]
        constraints = [models.CheckConstraint(condition=models.Q(per_day__gte=1, per_day__lte=24), name="auto_rollback_per_day")]

    def __str__(self) -> str:
        return f"{self.policy}: {'on' if self.is_on else 'off'}"
