"""Artefacts and versions as they are answered."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from rollbackhub.accounts.models import Team
from rollbackhub.api.fields import ApiModelSerializer, ApiSerializer, Choice, Instant
from rollbackhub.registry.domain.checks import MAX_REASON
from rollbackhub.registry.enums import ChangeType, Lifecycle, Stakes
from rollbackhub.registry.models import Artefact, Version


class ArtefactFilters(ApiSerializer):
    """Query parameters of the list of artefacts."""

    change_type = Choice(ChangeType.choices, required=False)
    team = serializers.SlugField(required=False)


class VersionFilters(ApiSerializer):
    """Query parameters of the list of versions."""

    label = serializers.CharField(required=False, max_length=120)  # type: ignore[assignment]
    lifecycle = Choice(Lifecycle.choices, required=False)


class TeamRow(ApiModelSerializer):
    """Who owns an artefact."""

    class Meta:
        model = Team
        fields = ["slug", "name"]


class ArtefactRow(ApiModelSerializer):
    """A thing that is released."""

    url = serializers.SerializerMethodField()
    versions_url = serializers.SerializerMethodField()
    change_type = Choice(ChangeType.choices)
    stakes = Choice(Stakes.choices)
    team = TeamRow()
    target_seconds = serializers.IntegerField(allow_null=True, help_text="Its own speed target; null: its change type's")

    class Meta:
        model = Artefact
        fields = ["slug", "url", "versions_url", "name", "change_type", "team", "stakes", "target_seconds", "is_lab", "created_at"]

    @extend_schema_field(serializers.CharField())
    def get_url(self, artefact: Artefact) -> str:
        """Path of the API."""
        return f"/api/v1/artefacts/{artefact.slug}/"

    @extend_schema_field(serializers.CharField())
    def get_versions_url(self, artefact: Artefact) -> str:
        """Path of the API."""
        return f"/api/v1/artefacts/{artefact.slug}/versions/"


class VersionRow(ApiModelSerializer):
    """One immutable version, as `list_versions` gives it."""

    url = serializers.SerializerMethodField()
    artefact = serializers.CharField(source="artefact.slug")
    lifecycle = Choice(Lifecycle.choices)
    author = serializers.CharField(help_text="Who made it; empty when nobody said")
    parent = serializers.CharField(  # type: ignore[assignment]
        source="parent.label", allow_null=True, default=None, help_text="The label of the version that it was made from"
    )
    is_strategic = serializers.BooleanField(help_text="Rolling it back is senior leadership's")
    superseded_at = Instant(allow_null=True, help_text="When it last lost its traffic in production; null while it is live, or if it never was")
    retained_until = Instant(source="window_ends_at", allow_null=True, help_text="The end of its retention window; null while it has none")
    provider_retires_at = Instant(allow_null=True, help_text="When its provider shuts it down; null when that is not known")

    class Meta:
        model = Version
        fields = [
            "id",
            "url",
            "artefact",
            "label",
            "lifecycle",
            "digest",
            "uri",
            "changelog",
            "eval_reference",
            "author",
            "parent",
            "is_strategic",
            "superseded_at",
            "retained_until",
            "provider_retires_at",
            "created_at",
        ]

    @extend_schema_field(serializers.CharField())
    def get_url(self, version: Version) -> str:
        """Path of the API."""
        return f"/api/v1/artefacts/{version.artefact.slug}/versions/{version.pk}/"


class WantedCheckRow(serializers.Serializer[Any]):
    """One check, in words and with all its settings."""

    key = serializers.CharField()
    kind = serializers.CharField()
    title = serializers.CharField()
    sentences = serializers.ListField(child=serializers.CharField(), help_text="What it demands")
    warnings = serializers.ListField(child=serializers.CharField(), help_text="What it would let pass that is wider than is usual; saved all the same")
    settings = serializers.DictField(help_text="As they can be sent back; null: not set")


class ChecksRow(serializers.Serializer[Any]):
    """What verifies a rollback of an artefact."""

    artefact = serializers.SlugField()
    is_own = serializers.BooleanField(help_text="False: the template of its change type")
    digest = serializers.CharField(help_text="To send as based_on")
    checks = WantedCheckRow(many=True)
    verifies = serializers.ListField(child=serializers.CharField(), help_text="Aliases that are verified by them")
    verified_otherwise = serializers.ListField(child=serializers.CharField(), help_text="Aliases whose procedure looks at what is served instead")
    without_procedure = serializers.ListField(child=serializers.CharField(), help_text="Aliases that nothing verifies yet: they have no procedure")


class ChecksRequest(ApiSerializer):
    """Other checks."""

    checks = serializers.JSONField(allow_null=True, help_text="A list of checks with kind, key and settings; null: the template again")
    based_on = serializers.CharField(max_length=16, help_text="The digest of what was seen")
    reason = serializers.CharField(max_length=MAX_REASON)
