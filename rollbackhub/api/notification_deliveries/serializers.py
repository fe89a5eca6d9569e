"""Deliveries as they are asked for and answered."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from rollbackhub.api.fields import ApiModelSerializer, ApiSerializer, Choice, Seconds
from rollbackhub.notifications.enums import AttemptOutcome, DeliveryState, Topic
from rollbackhub.notifications.models import DeliveryAttempt, MessageDelivery


class DeliveryFilters(ApiSerializer):
    """Query parameters of deliveries."""

    state = Choice(DeliveryState.choices, required=False)
    team = serializers.SlugField(required=False)
    channel = serializers.UUIDField(required=False)
    topic = Choice(Topic.choices, required=False)
    incident = serializers.UUIDField(required=False)


class DiscardRequest(ApiSerializer):
    """Why a message is given up."""

    reason = serializers.CharField(max_length=300)


class DeliveryAttemptRow(ApiModelSerializer):
    """One try."""

    outcome = Choice(AttemptOutcome.choices)
    seconds = Seconds(allow_null=True, help_text="How long it took")

    class Meta:
        model = DeliveryAttempt
        fields = ["started_at", "ended_at", "seconds", "outcome", "together", "error"]


class MessageDeliveryRow(ApiModelSerializer):
    """A message on its way to a channel."""

    url = serializers.SerializerMethodField()
    message = serializers.UUIDField(source="message.pk", help_text="Stands in the message: the same twice is the same message")
    team = serializers.CharField(source="message.team.slug")
    channel = serializers.UUIDField(source="channel.pk")
    channel_name = serializers.CharField(source="channel.name")
    topic = Choice(Topic.choices, source="message.topic")
    subject = serializers.CharField(source="message.subject")
    incident = serializers.UUIDField(source="message.incident_id", allow_null=True)
    state = Choice(DeliveryState.choices)

    class Meta:
        model = MessageDelivery
        fields = [
            *("id", "url", "message", "team", "channel", "channel_name", "topic", "subject", "incident", "state", "is_bundled"),
            *("created_at", "due_at", "attempt_count", "delivered_at", "error", "ended_by_label", "ended_reason"),
        ]

    @extend_schema_field(serializers.CharField())
    def get_url(self, delivery: MessageDelivery) -> str:
        """Path of the API."""
        return f"/api/v1/notification-deliveries/{delivery.pk}/"


class MessageDeliveryWhole(MessageDeliveryRow):
    """With its text and every try."""

    body = serializers.CharField(source="message.body")
    attempts = DeliveryAttemptRow(many=True)

    class Meta(MessageDeliveryRow.Meta):
        fields = [*MessageDeliveryRow.Meta.fields, "body", "attempts"]
