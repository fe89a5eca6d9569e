"""Retention as it is asked for and answered."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field, inline_serializer
from rest_framework import serializers

from rollbackhub.api.fields import ApiSerializer, Choice, Instant
from rollbackhub.registry.domain.retention import Retention, RetentionState
from rollbackhub.registry.enums import ChangeType, Lifecycle

LONGEST_REASON = 1000


class RetentionFilters(ApiSerializer):
    """Query parameters of retention."""

    artefact = serializers.SlugField(required=False, help_text="Versions of this artefact only")
    team = serializers.SlugField(required=False)
    change_type = Choice(ChangeType.choices, required=False)
    state = Choice([(state.value, state.label) for state in RetentionState], required=False)
    since = Instant(required=False, help_text="The history of the share from this instant on; without it the last 90 days")


class VersionReasonRequest(ApiSerializer):
    """Why, for the record."""

    reason = serializers.CharField(max_length=LONGEST_REASON, help_text="Why, for the record")


class ProviderRetirementRequest(ApiSerializer):
    """When the provider shuts a version down."""

    at = Instant(allow_null=True, help_text="null: no such date is known (any more)")


class InterlockRow(serializers.Serializer[object]):
    """One reason against retiring a version."""

    code = serializers.CharField(help_text="serves, rollback_target, only_proven_target, within_window, stability_hold or open_incident")
    sentence = serializers.CharField()
    until = Instant(allow_null=True, help_text="When it ends by itself; null: not by time")


class RetentionRow(serializers.Serializer[Any]):
    """How long a version is kept, and why."""

    id = serializers.IntegerField(source="version.pk")
    version_url = serializers.SerializerMethodField()
    artefact = serializers.CharField(source="version.artefact.slug")
    change_type = Choice(ChangeType.choices, source="version.artefact.change_type")
    team = serializers.CharField(source="version.artefact.team.slug")
    version = serializers.CharField(source="version.label")
    lifecycle = Choice(Lifecycle.choices, source="version.lifecycle")
    live_since = Instant(allow_null=True, help_text="Its first weight in production")
    superseded_at = Instant(allow_null=True, source="version.superseded_at")
    window_days = serializers.IntegerField(source="days")
    retained_until = Instant(allow_null=True, help_text="The end of its window; null while it serves, or if it never did")
    provider_retires_at = Instant(allow_null=True, source="version.provider_retires_at")
    next_at = Instant(allow_null=True, help_text="What comes next of the two")
    interlocks = InterlockRow(many=True, help_text="Every reason against retiring it; empty: it may be retired")

    @extend_schema_field(serializers.CharField())
    def get_version_url(self, row: Retention) -> str:
        """Path of the API."""
        return f"/api/v1/artefacts/{row.version.artefact.slug}/versions/{row.version.pk}/"


class ShareRow(serializers.Serializer[object]):
    """How many live aliases could be rolled back at an instant."""

    at = Instant()
    rollbackable = serializers.IntegerField()
    total = serializers.IntegerField(help_text="Aliases in production")
    percent = serializers.FloatField(allow_null=True, help_text="null while there is no alias")


RetentionPage = inline_serializer(
    "RetentionPage",
    {
        "next": serializers.URLField(allow_null=True, help_text="The following page; null on the last"),
        "previous": serializers.URLField(allow_null=True),
        "results": RetentionRow(many=True),
        "share": ShareRow(help_text="Right now"),
        "share_history": ShareRow(many=True, help_text="From each instant until the next; the first may be older than what was asked for"),
    },
)
