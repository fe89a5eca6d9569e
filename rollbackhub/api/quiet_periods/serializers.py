"""Quiet periods as they are asked for and answered."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from drills.models import QuietPeriod
from rollbackhub.api.fields import ApiModelSerializer, ApiSerializer, Instant


class QuietFilters(ApiSerializer):
    """Query parameters of quiet periods."""

    team = serializers.SlugField(required=False, help_text="Those of this team and of all teams")
    since = Instant(required=False, help_text="That end after this instant")
    until = Instant(required=False, help_text="That begin before this instant")


class QuietRequest(ApiSerializer):
    """A quiet period to make."""

    team = serializers.SlugField(required=False, allow_null=True, default=None, help_text="null: of all teams")
    starts_at = Instant()
    ends_at = Instant()
    reason = serializers.CharField(max_length=200, help_text="For example the name of the holiday")


class QuietRow(ApiModelSerializer):
    """A time in which no planned drill starts."""

    url = serializers.SerializerMethodField()
    team = serializers.CharField(source="team.slug", allow_null=True, default=None, help_text="null: of all teams")

    class Meta:
        model = QuietPeriod
        fields = ["id", "url", "team", "starts_at", "ends_at", "reason"]

    @extend_schema_field(serializers.CharField())
    def get_url(self, quiet: QuietPeriod) -> str:
        """Path of the API."""
        return f"/api/v1/quiet-periods/{quiet.pk}/"
