"""What was live at an instant, as it is asked for and answered."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from rollbackhub.api.aliases.queries import candidates_of
from rollbackhub.api.executions.serializers import WeightRow
from rollbackhub.api.fields import ApiSerializer, Instant
from rollbackhub.routing.models import PolicyRevision


class LiveQuery(ApiSerializer):
    """The instant, and which aliases."""

    at = Instant(
        required=False,
        help_text="Now when left out. An instant that is past, e.g. 2026-11-23T01:20:00Z; in an address, the plus of another zone is %2B",
        error_messages={"invalid": "This is no instant. Write it as 2026-11-23T01:20:00Z; in an address, the plus of another zone is %2B."},
    )
    environment = serializers.SlugField(required=False, default="production", help_text="production when left out")
    alias = serializers.SlugField(required=False)
    artefact = serializers.SlugField(required=False)


class LiveRow(serializers.Serializer[Any]):
    """What one alias served at that instant."""

    alias = serializers.CharField()
    environment = serializers.CharField()
    artefact = serializers.CharField()
    revision = serializers.IntegerField()
    revision_url = serializers.CharField()
    since = Instant(help_text="When this revision was written")
    changed_by = serializers.CharField()
    reason = serializers.CharField()
    candidates = WeightRow(many=True, help_text="The weights then")


def live_row(revision: PolicyRevision) -> dict[str, Any]:
    """What LiveRow writes (from `live_revisions_at`: no query)."""
    policy = revision.policy
    return {
        "alias": policy.alias,
        "environment": policy.environment.slug,
        "artefact": policy.artefact.slug,
        "revision": revision.number,
        "revision_url": f"/api/v1/policies/{policy.environment.slug}/{policy.alias}/revisions/{revision.number}/",
        "since": revision.created_at,
        "changed_by": revision.actor_label,
        "reason": revision.reason,
        "candidates": candidates_of(revision),
    }
