"""Calendar feeds as they are asked for and answered. The secret is answered once."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from drills.models import CalendarFeed
from rollbackhub.api.fields import ApiModelSerializer, ApiSerializer


class FeedFilters(ApiSerializer):
    """Query parameters of calendar feeds."""

    team = serializers.SlugField(required=False)


class FeedRequest(ApiSerializer):
    """A feed to make."""

    team = serializers.SlugField()
    name = serializers.CharField(max_length=100, help_text="Whose calendar it is, or where it is used")


class FeedRow(ApiModelSerializer):
    """A secret address at which calendars read a team's drills."""

    url = serializers.SerializerMethodField()
    team = serializers.CharField(source="team.slug")
    created_by = serializers.CharField(source="created_by.username")

    class Meta:
        model = CalendarFeed
        fields = ["id", "url", "team", "name", "created_by", "created_at", "last_used_at", "revoked_at"]

    @extend_schema_field(serializers.CharField())
    def get_url(self, feed: CalendarFeed) -> str:
        """Path of the API."""
        return f"/api/v1/calendar-feeds/{feed.pk}/"


class NewFeedRow(FeedRow):
    """A feed just made."""

    address = serializers.CharField(allow_null=True, help_text="For calendars; shown this once. Null when a kept answer is given again")

    class Meta(FeedRow.Meta):
        fields = [*FeedRow.Meta.fields, "address"]
