"""Drills: rehearsals of a rollback in staging, on the engine that production rollbacks use; and the programme that plans them."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from drills.enums import OPEN_STATES, Cadence, PlannedState
from rollbackhub.accounts.models import Team
from rollbackhub.actions.models import Action
from rollbackhub.executions.models import Execution, Finding
from rollbackhub.registry.models import Artefact, Environment
from rollbackhub.routing.models import RoutingPolicy


class Drill(models.Model):
    """A drill. What happened, how long it took and what it showed stand on its execution."""

    execution = models.OneToOneField(Execution, on_delete=models.CASCADE, primary_key=True, related_name="drill")
    idempotency_key = models.CharField(max_length=120, null=True)
    idempotency_owner = models.CharField(max_length=120, blank=True, help_text="Whose key it is")
    note = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["-execution__created_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["idempotency_owner", "idempotency_key"], condition=~models.Q(idempotency_key=None), name="drill_idempotency_key_once"
            ),
        ]

    def __str__(self) -> str:
        return f"Drill {str(self.pk)[:8]}"


class DrillPlan(models.Model):
    """That an alias, or one of an artefact's aliases by chance, is drilled again and again."""

    name = models.CharField(max_length=120)
    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="drill_plans")
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="drill_plans", help_text="Who answers for it")
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="drill_plans")
    policy = models.ForeignKey(
        RoutingPolicy,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="drill_plans",
        help_text="The alias that is drilled; empty: one of the artefact's",
    )
    artefact = models.ForeignKey(
        Artefact, null=True, blank=True, on_delete=models.CASCADE, related_name="drill_plans", help_text="Each time one of its aliases, by chance"
    )
    cadence = models.CharField(max_length=10, choices=Cadence, default=Cadence.BY_STAKES)
    cron = models.CharField(max_length=120, blank=True, help_text="Minute, hour, day of month, month, day of week, in the team's time zone")
    announced = models.BooleanField(default=True, help_text="Unannounced: at a random time within the team's working hours, which nobody is told before")
    seed = models.BigIntegerField(help_text="What random times and choices are drawn from, so that they can be drawn again")
    late_hours = models.PositiveSmallIntegerField(
        default=24, help_text="Hours for which a drill that could not start at its time is caught up; then it is missed"
    )
    is_active = models.BooleanField(default=True)
    planned_until = models.DateTimeField(null=True, help_text="Its drills are written down until then")
    planned_by = models.CharField(max_length=300, blank=True, editable=False, help_text="The rhythm that they were written down by; another one plans anew")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["team__name", "name"]
        constraints = [
            models.UniqueConstraint(fields=["team", "name"], name="drill_plan_name_once"),
            models.CheckConstraint(condition=models.Q(policy=None) ^ models.Q(artefact=None), name="drill_plan_one_target"),
            models.CheckConstraint(condition=models.Q(cadence=Cadence.CRON) ^ models.Q(cron=""), name="drill_plan_cron_has_expression"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def target_artefact(self) -> Artefact:
        """The artefact whose rollback it drills."""
        found = self.policy.artefact if self.policy is not None else self.artefact
        assert found is not None, "a constraint wants one of the two"
        return found


class PlannedDrill(models.Model):
    """One drill of a plan: when it is due, and what became of it. Beat and people start it by the same function, once."""

    plan = models.ForeignKey(DrillPlan, on_delete=models.PROTECT, related_name="planned")
    slot = models.DateTimeField(help_text="Its name among the drills of its plan: a cron expression's time, or its month's or quarter's first day as of UTC")
    period_starts_at = models.DateTimeField(help_text="The first instant of the period that it stands for")
    period_ends_at = models.DateTimeField(help_text="The end of that period, exclusive")
    starts_at = models.DateTimeField(help_text="When it is to start; nobody is told while it is unannounced and has not begun")
    latest_at = models.DateTimeField(help_text="Not started by then, it is missed")
    state = models.CharField(max_length=10, choices=PlannedState, default=PlannedState.DUE)
    policy = models.ForeignKey(RoutingPolicy, null=True, on_delete=models.SET_NULL, related_name="planned_drills", help_text="The alias that was chosen")
    execution = models.OneToOneField(Execution, null=True, on_delete=models.SET_NULL, related_name="planned_drill")
    draw = models.JSONField(default=dict, help_text="What its time and its alias were drawn from, so that they can be drawn again")
    tried_at = models.DateTimeField(null=True, help_text="When it was last tried to start it")
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True, help_text="When it passed, failed, was missed or excused")
    why = models.TextField(blank=True, help_text="Why it waits, failed, was missed or excused, in words")
    excused_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    reminded_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["starts_at", "id"]
        constraints = [
            models.UniqueConstraint(fields=["plan", "slot"], name="planned_drill_slot_once"),
            models.CheckConstraint(condition=models.Q(state__in=PlannedState.values), name="planned_drill_state_known"),
            models.CheckConstraint(
                condition=~models.Q(state__in=(PlannedState.PASSED, PlannedState.FAILED, PlannedState.RUNNING)) | models.Q(started_at__isnull=False),
                name="planned_drill_result_was_started",
            ),
            models.CheckConstraint(
                condition=~models.Q(state=PlannedState.EXCUSED) | (models.Q(excused_by__isnull=False) & ~models.Q(why="")),
                name="planned_drill_excused_says_why",
            ),
        ]
        indexes = [
            models.Index(fields=["starts_at"], condition=models.Q(state__in=OPEN_STATES), name="planned_drill_open"),
            models.Index(fields=["state", "starts_at"], name="planned_drill_by_state"),
            models.Index(fields=["plan", "-slot"], name="planned_drill_by_plan"),
        ]

    def __str__(self) -> str:
        return f"{self.plan}, {self.slot:%Y-%m-%d}"

    @property
    def is_hidden(self) -> bool:
        """Whether nobody is told its time: unannounced, and not begun."""
        return not self.plan.announced and self.state in OPEN_STATES


class QuietPeriod(models.Model):
    """A time in which no planned drill starts: a freeze, a holiday."""

    team = models.ForeignKey(Team, null=True, blank=True, on_delete=models.CASCADE, related_name="quiet_periods", help_text="Empty: all teams")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    reason = models.CharField(max_length=200)

    class Meta:
        ordering = ["starts_at"]
        constraints = [models.CheckConstraint(condition=models.Q(ends_at__gt=models.F("starts_at")), name="quiet_period_ends_after_start")]

    def __str__(self) -> str:
        return self.reason


class CalendarFeed(models.Model):
    """A secret address at which calendars read a team's drills. The secret is shown once and stored as a hash."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="calendar_feeds")
    name = models.CharField(max_length=100, help_text="Whose calendar, or where it is used")
    secret_hash = models.CharField(max_length=64, unique=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    last_used_at = models.DateTimeField(null=True)
    etag = models.CharField(max_length=64, blank=True, help_text="Of what was answered last")
    changed_at = models.DateTimeField(null=True, help_text="When the answer was first another one")
    revoked_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["team__name", "name"]

    def __str__(self) -> str:
        return f"{self.team}: {self.name}"


class FindingAction(models.Model):
    """The action for what drills of an alias caught: opened by the first of them, closed by a drill that no longer finds it."""

    action = models.OneToOneField(Action, on_delete=models.CASCADE, primary_key=True, related_name="finding_link")
    finding = models.OneToOneField(Finding, on_delete=models.CASCADE, related_name="action_link", help_text="The finding that it was opened for")
    policy = models.ForeignKey(RoutingPolicy, on_delete=models.CASCADE, related_name="finding_actions")
    code = models.CharField(max_length=24)
    subject = models.CharField(max_length=200)
    last_seen_execution = models.ForeignKey(Execution, on_delete=models.CASCADE, related_name="+", help_text="The newest drill that found it")
    times_seen = models.PositiveIntegerField(default=1)
    recurrences = models.PositiveIntegerField(default=0, help_text="How often it was found again after it had been mended")
    closing_execution = models.ForeignKey(Execution, null=True, on_delete=models.SET_NULL, related_name="+", help_text="The drill that no longer found it")

    class Meta:
        ordering = ["policy", "code"]
        indexes = [models.Index(fields=["policy", "code", "subject"], name="finding_action_by_path")]

    def __str__(self) -> str:
        return f"{self.code}: {self.subject}"


class DrillFollowUp(models.Model):
    """That a drill's or rehearsal's findings have become actions: each is followed once."""

    execution = models.OneToOneField(Execution, on_delete=models.CASCADE, primary_key=True, related_name="follow_up")
    followed_at = models.DateTimeField(db_default=Now(), editable=False)

    def __str__(self) -> str:
        return f"follow-up of {str(self.pk)[:8]}"
