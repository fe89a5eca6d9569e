"""Gateways as they are answered."""

from __future__ import annotations

from rest_framework import serializers

from rollbackhub.api.fields import ApiModelSerializer, ApiSerializer
from rollbackhub.routing.domain.gateways import live_since
from rollbackhub.routing.models import Gateway


class GatewayFilters(ApiSerializer):
    """Query parameters of the list of gateways."""

    environment = serializers.SlugField(required=False)


class GatewayRow(ApiModelSerializer):
    """A process that serves by the environment's policies."""

    environment = serializers.CharField(source="environment.slug")
    wanted_number = serializers.SerializerMethodField(help_text="The environment's present routing state")
    acknowledged = serializers.SerializerMethodField(help_text="It has applied the present state")
    live = serializers.SerializerMethodField(help_text="It has asked for routes lately")

    class Meta:
        model = Gateway
        fields = [
            "node_id",
            "environment",
            "live",
            "acknowledged",
            "applied_number",
            "wanted_number",
            "applied_at",
            "first_seen_at",
            "last_seen_at",
            "address",
            "user_agent",
            "refused_number",
            "refused_at",
            "refusal",
        ]

    def get_wanted_number(self, gateway: Gateway) -> int:
        """0 before the first policy."""
        state = getattr(gateway.environment, "routing_state", None)
        return state.number if state else 0

    def get_acknowledged(self, gateway: Gateway) -> bool:
        """By what it said when it asked last."""
        return gateway.applied_number >= self.get_wanted_number(gateway)

    def get_live(self, gateway: Gateway) -> bool:
        """By the clock."""
        return gateway.last_seen_at >= live_since()
