"""Coordinated procedures as they are asked for, answered and written."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from rollbackhub.api.fields import ApiModelSerializer, ApiSerializer, Choice
from rollbackhub.registry.enums import ChangeType
from rollbackhub.rollbacks.domain.coordination import MAX_BECAUSE, MAX_WHY
from rollbackhub.rollbacks.models import CoordinatedProcedure
from rollbackhub.rollbacks.rules import MAX_PARTS


class CoordinatedFilters(ApiSerializer):
    """Query parameters of the list."""

    environment = serializers.SlugField(required=False, help_text="Of this environment only")


class CoordinatedStepRow(serializers.Serializer[Any]):
    """One alias in its place."""

    alias = serializers.CharField(source="policy.alias")
    artefact = serializers.CharField(source="policy.artefact.slug")
    change_type = Choice(ChangeType.choices, source="policy.artefact.change_type")
    why = serializers.CharField(help_text="Why it has this place")


class CoordinatedRow(ApiModelSerializer):
    """A coordinated procedure."""

    url = serializers.SerializerMethodField()
    page = serializers.SerializerMethodField(help_text="Its page for people")
    environment = serializers.CharField(source="environment.slug")
    steps = CoordinatedStepRow(many=True, help_text="In their order")
    no_return_before = serializers.SerializerMethodField(help_text="From this alias on nothing is put back; empty: no such point")
    author = serializers.CharField(source="author_label", help_text="Of the last change")

    class Meta:
        model = CoordinatedProcedure
        fields = ["slug", "name", "environment", "number", "steps", "no_return_before", "no_return_because", "author", "updated_at", "url", "page"]

    @extend_schema_field(serializers.CharField())
    def get_url(self, procedure: CoordinatedProcedure) -> str:
        """In this API."""
        return address(procedure.slug)

    @extend_schema_field(serializers.CharField())
    def get_page(self, procedure: CoordinatedProcedure) -> str:
        """Path of the page."""
        return f"/rollbacks/coordinated/{procedure.slug}/"

    @extend_schema_field(serializers.CharField())
    def get_no_return_before(self, procedure: CoordinatedProcedure) -> str:
        """Prefetched: no query."""
        return next((step.policy.alias for step in procedure.steps.all() if step.position == procedure.no_return_at), "")


class CoordinatedStepRequest(ApiSerializer):
    """One alias in its place."""

    alias = serializers.SlugField(max_length=80)
    why = serializers.CharField(required=False, default="", allow_blank=True, max_length=MAX_WHY, help_text="Why it has this place")


class CoordinatedContent(ApiSerializer):
    """The whole of a coordinated procedure: what is not sent is not kept."""

    name = serializers.CharField(max_length=120)
    steps = CoordinatedStepRequest(many=True, help_text=f"2 to {MAX_PARTS}, in their order")
    no_return_before = serializers.CharField(required=False, default="", allow_blank=True, max_length=80, help_text="One of the aliases; empty: no such point")
    no_return_because = serializers.CharField(required=False, default="", allow_blank=True, max_length=MAX_BECAUSE, help_text="Needed with no_return_before")


class CoordinatedRequest(CoordinatedContent):
    """A new one."""

    slug = serializers.SlugField(max_length=60, help_text="Its short name; it stays")
    environment = serializers.SlugField(default="production", help_text="A production environment; it stays")


class CoordinatedChange(CoordinatedContent):
    """A change of one."""

    based_on = serializers.IntegerField(min_value=1, max_value=2**31 - 1, help_text="The number that you began from; 409 when somebody changed it meanwhile")


def address(slug: str) -> str:
    """Path in this API."""
    return f"/api/v1/coordinated-procedures/{slug}/"
