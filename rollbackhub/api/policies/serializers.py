"""Revisions of routing policies as they are asked for and answered."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from rollbackhub.api.aliases.queries import candidates_of
from rollbackhub.api.executions.serializers import WeightRow
from rollbackhub.api.fields import ApiSerializer, Instant
from rollbackhub.routing.models import PolicyRevision, RoutingPolicy
from rollbackhub.routing.rules import CandidateSpec

_LARGEST = 2**31 - 1


class CandidateRequest(ApiSerializer):
    """A candidate of the revision to append."""

    id = serializers.CharField(max_length=160, help_text="provider:model:region")
    version_pin = serializers.CharField(max_length=120, help_text="The label of a registered version")
    weight = serializers.IntegerField(min_value=0, max_value=100, help_text="Percent of the traffic; all together 100")

    def validate_weight(self, value: int) -> int:
        """A whole number, not a text or a truth that could be read as one."""
        given = self._given_weight
        if isinstance(given, bool) or not isinstance(given, int):
            raise serializers.ValidationError("A valid integer is required.")
        return value

    def to_internal_value(self, data: Any) -> Any:
        """Remembers the weight as it was sent."""
        self._given_weight = data.get("weight") if isinstance(data, dict) else None
        return super().to_internal_value(data)


class RevisionRequest(ApiSerializer):
    """A revision to append."""

    expected_revision = serializers.IntegerField(min_value=0, max_value=_LARGEST, help_text="The number of the present revision; 409 when it has moved")
    candidates = CandidateRequest(many=True, allow_empty=False)
    reason = serializers.CharField(max_length=300, help_text="Why, for the record")

    def specs(self) -> list[CandidateSpec]:
        """The candidates for the domain."""
        return specs_of(self.validated_data["candidates"])


def specs_of(rows: list[dict[str, Any]]) -> list[CandidateSpec]:
    """Candidates of a body for the domain."""
    return [CandidateSpec(candidate_id=row["id"], version_pin=row["version_pin"], weight=row["weight"]) for row in rows]


class RevisionRow(serializers.Serializer[Any]):
    """One immutable state of a routing policy."""

    alias = serializers.CharField()
    environment = serializers.CharField()
    number = serializers.IntegerField()
    url = serializers.CharField()
    routing_number = serializers.IntegerField(help_text="The environment's routing state that it made; gateways acknowledge this number")
    candidates = WeightRow(many=True)
    reason = serializers.CharField()
    changed_by = serializers.CharField()
    effect_key = serializers.CharField(allow_null=True, help_text="The step of an execution that wrote it; null when a person or a token did")
    created_at = Instant()


class ImportQuery(ApiSerializer):
    """Query parameters of an import."""

    reason = serializers.CharField(max_length=300, help_text="Why, for the record")


class ImportResult(serializers.Serializer[Any]):
    """What an import changed: one revision for each alias that differed."""

    environment = serializers.CharField()
    changed = RevisionRow(many=True)


class ExportQuery(ApiSerializer):
    """Query parameters of an export."""

    alias = serializers.SlugField(required=False, help_text="This alias only; all of the environment without it")


def revision_row(revision: PolicyRevision, *, policy: RoutingPolicy) -> dict[str, Any]:
    """What RevisionRow writes (candidates and their versions prefetched: no query)."""
    place = f"{policy.environment.slug}/{policy.alias}"
    return {
        "alias": policy.alias,
        "environment": policy.environment.slug,
        "number": revision.number,
        "url": f"/api/v1/policies/{place}/revisions/{revision.number}/",
        "routing_number": revision.routing_number,
        "candidates": candidates_of(revision),
        "reason": revision.reason,
        "changed_by": revision.actor_label,
        "effect_key": revision.effect_key,
        "created_at": revision.created_at,
    }
