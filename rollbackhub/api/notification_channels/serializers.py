"""Channels as they are asked for and answered. No address is ever taken or given, only where it is found."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from rollbackhub.api.fields import ApiModelSerializer, ApiSerializer
from rollbackhub.notifications.models import Channel


class ChannelFilters(ApiSerializer):
    """Query parameters of channels."""

    team = serializers.SlugField(required=False)


class NotificationChannelRequest(ApiSerializer):
    """A channel to make."""

    team = serializers.SlugField()
    name = serializers.CharField(max_length=100, help_text="Where it is read")
    address_ref = serializers.CharField(max_length=420, help_text="Where its Apprise address is found: env:NAME or file:/path. The address itself is refused")


class NotificationChannelChange(ApiSerializer):
    """What of a channel is to be another; what is left out stays."""

    name = serializers.CharField(required=False, max_length=100)
    address_ref = serializers.CharField(required=False, max_length=420)
    is_active = serializers.BooleanField(required=False, help_text="false: nothing goes there any more, what waits is discarded")


class NotificationChannelRow(ApiModelSerializer):
    """A place where a team reads, and how it does."""

    url = serializers.SerializerMethodField()
    team = serializers.CharField(source="team.slug")
    dead = serializers.IntegerField(help_text="Messages that could not be delivered there and wait for a person")

    class Meta:
        model = Channel
        fields = [
            *("id", "url", "team", "name", "address_ref", "is_active", "created_at"),
            *("last_delivered_at", "last_failed_at", "last_error", "failures", "paused_until", "dead"),
        ]

    @extend_schema_field(serializers.CharField())
    def get_url(self, channel: Channel) -> str:
        """Path of the API."""
        return f"/api/v1/notification-channels/{channel.pk}/"
