"""Planned drills as they are asked for and answered. Unannounced ones that have not begun have no time here for anybody."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from drills.domain.programme_selectors import PlannedRow, row_of
from drills.enums import PlannedState
from rollbackhub.api.fields import ApiSerializer, Choice, Instant

LONGEST_REASON = 1000


class PlannedFilters(ApiSerializer):
    """Query parameters of planned drills."""

    team = serializers.SlugField(required=False, help_text="Drills of this team's plans only")
    plan = serializers.IntegerField(required=False, min_value=1, max_value=2**31 - 1, help_text="Of this plan only")
    state = Choice(PlannedState.choices, required=False)
    alias = serializers.SlugField(required=False)
    environment = serializers.SlugField(required=False)
    since = Instant(required=False, help_text="That may start at this instant or later")
    until = Instant(required=False, help_text="That may start before this instant")


class DrillExcuseRequest(ApiSerializer):
    """Why it is not held."""

    reason = serializers.CharField(max_length=LONGEST_REASON, help_text="For the record: excused is not passed")


class PlannedDrillRow(serializers.Serializer[Any]):
    """A planned drill."""

    id = serializers.IntegerField()
    url = serializers.SerializerMethodField()
    plan = serializers.IntegerField(source="plan.pk")
    plan_name = serializers.CharField(source="plan.name")
    team = serializers.CharField(source="plan.team.slug")
    owner = serializers.CharField(source="plan.owner.username")
    alias = serializers.CharField(allow_null=True, help_text="null while it is left to chance")
    environment = serializers.CharField()
    announced = serializers.BooleanField()
    state = Choice(PlannedState.choices)
    starts_at = Instant(allow_null=True, help_text="null: it is unannounced and has not begun; nobody is told")
    latest_at = Instant(allow_null=True, help_text="Until when it is caught up; null as above, or when it is over")
    period_starts_at = Instant()
    period_ends_at = Instant(help_text="What it stands for, exclusive")
    period_in_words = serializers.CharField(help_text="In the team's time zone")
    started_at = Instant(allow_null=True)
    ended_at = Instant(allow_null=True)
    why = serializers.CharField(help_text="Why it waits, failed, was missed or excused")
    excused_by = serializers.CharField(source="excused_by.username", allow_null=True, default=None)
    drill_url = serializers.SerializerMethodField(help_text="null before it has started")

    def to_representation(self, instance: Any) -> dict[str, Any]:
        """Of a row as it may be shown; one from the database becomes such a row first."""
        row = instance if isinstance(instance, PlannedRow) else row_of(instance)
        return dict(super().to_representation(row)) | {"alias": row.alias or None}

    @extend_schema_field(serializers.CharField())
    def get_url(self, row: PlannedRow) -> str:
        """Path of the API."""
        return f"/api/v1/planned-drills/{row.id}/"

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_drill_url(self, row: PlannedRow) -> str | None:
        """Path of the API."""
        return f"/api/v1/drills/{row.execution_id}/" if row.execution_id else None


class DrawRow(serializers.Serializer[Any]):
    """What chance decided, drawn again from what was recorded."""

    seed = serializers.CharField(help_text="Its SHA-256 stands in the audit event that wrote the drill down, as seed_sha256")
    recorded_time = Instant()
    drawn_time = Instant(allow_null=True, help_text="null: its time was announced, not drawn")
    recorded_alias = serializers.CharField()
    drawn_alias = serializers.CharField(help_text="Empty: the plan named its alias")
    eligible = serializers.ListField(child=serializers.CharField(), help_text="The aliases that it was drawn from")
    agrees = serializers.BooleanField(help_text="Whether what was recorded is what is drawn again")


class PlannedDrillDetail(PlannedDrillRow):
    """With what was left to chance, once that may be known."""

    draw = DrawRow(allow_null=True, help_text="null while nobody may know, or when nothing was drawn")
