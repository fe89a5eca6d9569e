"""Audit events as they are answered."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from rollbackhub.api.fields import ApiModelSerializer, ApiSerializer, Choice, Instant
from rollbackhub.audit.models import AuditEvent, AuditLeaf


class AuditFilters(ApiSerializer):
    """Query parameters of the list of audit events."""

    event = serializers.CharField(required=False, max_length=80, help_text="e.g. execution.requested")
    subject_type = serializers.CharField(required=False, max_length=60)
    subject_id = serializers.CharField(required=False, max_length=64, help_text="With subject_type")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """An id says nothing without its type."""
        if "subject_id" in attrs and "subject_type" not in attrs:
            raise serializers.ValidationError({"subject_id": ["Give subject_type as well."]})
        return attrs


class ActorRow(serializers.Serializer[Any]):
    """Who did it."""

    kind = Choice(["person", "token", "system"], source="actor_kind")
    label = serializers.CharField(source="actor_label")  # type: ignore[assignment]
    user_id = serializers.IntegerField(source="actor_user_id", allow_null=True)
    token_id = serializers.CharField(source="actor_token_id")


class LeafRow(serializers.Serializer[Any]):
    """The event's place in the Merkle log (RFC 6962)."""

    position = serializers.IntegerField(help_text="From 0, without gaps")
    leaf_hash = serializers.SerializerMethodField(help_text="SHA-256, hexadecimal")
    sequenced_at = Instant()

    def get_leaf_hash(self, leaf: AuditLeaf) -> str:
        """Hexadecimal."""
        return bytes(leaf.leaf_hash).hex()


class AuditEventRow(ApiModelSerializer):
    """One thing that was done."""

    url = serializers.SerializerMethodField()
    actor = ActorRow(source="*")
    data = serializers.DictField()  # type: ignore[assignment]
    leaf = serializers.SerializerMethodField(help_text="Null for the seconds until it is sequenced")

    class Meta:
        model = AuditEvent
        fields = ["id", "url", "at", "event", "actor", "subject_type", "subject_id", "data", "leaf"]

    @extend_schema_field(serializers.CharField())
    def get_url(self, event: AuditEvent) -> str:
        """Path of the API."""
        return f"/api/v1/audit/events/{event.pk}/"

    @extend_schema_field(LeafRow(allow_null=True))
    def get_leaf(self, event: AuditEvent) -> Any:
        """Selected together with the event: no query."""
        leaf = getattr(event, "leaf", None)
        return LeafRow(leaf).data if leaf is not None else None
