"""Drill plans as they are asked for and answered. The seed of what is left to chance is no part of an answer."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from drills.domain.plan_rules import LATE_HOURS
from drills.domain.programme_selectors import PlanRow
from drills.enums import Cadence
from rollbackhub.api.fields import ApiSerializer, Choice, Instant
from rollbackhub.api.planned_drills.serializers import PlannedDrillRow

LONGEST_REASON = 300


class DrillPlanFilters(ApiSerializer):
    """Query parameters of drill plans."""

    team = serializers.SlugField(required=False)
    active = serializers.BooleanField(required=False, help_text="Plans that drill, or those that have ended")
    owner = serializers.CharField(required=False, max_length=150, help_text="A username")


class DrillPlanChange(ApiSerializer):
    """What of a plan is to be another; what is left out stays."""

    name = serializers.CharField(required=False, max_length=120)
    owner = serializers.CharField(required=False, max_length=150, help_text="Username of the person who answers for it")
    team = serializers.SlugField(required=False, help_text="Left out of a new plan: the artefact's")
    alias = serializers.SlugField(required=False, max_length=80, help_text="The alias that is drilled")
    artefact = serializers.SlugField(required=False, help_text="In place of an alias: each time one of the artefact's aliases, by chance")
    environment = serializers.SlugField(required=False, help_text="A staging environment")
    cadence = Choice(Cadence.choices, required=False)
    cron = serializers.CharField(
        required=False, max_length=120, allow_blank=True, help_text="With the cadence cron: minute, hour, day of month, month, day of week, in the team's zone"
    )
    announced = serializers.BooleanField(required=False, help_text="false: at a random time within the team's working hours, which nobody is told before")
    late_hours = serializers.IntegerField(
        required=False, min_value=LATE_HOURS[0], max_value=LATE_HOURS[-1], help_text="For how long it is caught up; then it is missed"
    )
    active = serializers.BooleanField(required=False, help_text="true takes up a plan that has ended")


class DrillPlanRequest(DrillPlanChange):
    """A plan to make."""

    name = serializers.CharField(max_length=120)
    owner = serializers.CharField(max_length=150, help_text="Username of the person who answers for it")
    environment = serializers.SlugField(default="staging", help_text="A staging environment")
    active = None  # type: ignore[assignment]


class DrillPlanEndRequest(ApiSerializer):
    """Why it ends."""

    reason = serializers.CharField(required=False, default="", max_length=LONGEST_REASON, allow_blank=True)


class DrillPlanRow(serializers.Serializer[Any]):
    """A drill plan."""

    id = serializers.IntegerField(source="plan.pk")
    url = serializers.SerializerMethodField()
    name = serializers.CharField(source="plan.name")
    team = serializers.CharField(source="plan.team.slug")
    owner = serializers.CharField(source="plan.owner.username")
    environment = serializers.CharField(source="plan.environment.slug")
    alias = serializers.CharField(source="plan.policy.alias", allow_null=True, default=None)
    artefact = serializers.CharField(source="plan.artefact.slug", allow_null=True, default=None)
    target_in_words = serializers.CharField(source="target")
    cadence = Choice(Cadence.choices, source="plan.cadence")
    cron = serializers.CharField(source="plan.cron")
    cadence_in_words = serializers.CharField()
    announced = serializers.BooleanField(source="plan.announced")
    late_hours = serializers.IntegerField(source="plan.late_hours")
    active = serializers.BooleanField(source="plan.is_active")
    created_at = Instant(source="plan.created_at")
    next = PlannedDrillRow(allow_null=True, help_text="The earliest that is due or overdue")
    last = PlannedDrillRow(allow_null=True, help_text="The newest of the others")
    overdue = serializers.IntegerField()
    missed = serializers.IntegerField(help_text="Of all times")

    @extend_schema_field(serializers.CharField())
    def get_url(self, row: PlanRow) -> str:
        """Path of the API."""
        return f"/api/v1/drill-plans/{row.plan.pk}/"
