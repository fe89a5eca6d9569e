"""Drills as they are asked for and answered."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from rollbackhub.api.executions.serializers import ExecutionDetail, ExecutionFilters, ExecutionRow
from rollbackhub.api.fields import ApiSerializer, Choice
from rollbackhub.executions.enums import REHEARSES


class DrillFilters(ExecutionFilters):
    """Query parameters of the list of drills."""

    kind = Choice([(kind.value, kind.label) for kind in REHEARSES], required=False, help_text="drill, or rehearsal: asked for by a release")


class NoteField(serializers.CharField):
    """A drill's note; a rehearsal has none."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(read_only=True, help_text="Empty for a rehearsal", **kwargs)

    def get_attribute(self, instance: Any) -> str:
        """Fetched with the execution: no query."""
        drill = getattr(instance, "drill", None)
        return drill.note if drill is not None else ""


class DrillRequest(ApiSerializer):
    """A drill to start."""

    alias = serializers.SlugField(max_length=80, help_text="The alias to drill, e.g. smart-reasoner")
    environment = serializers.SlugField(default="staging", help_text="Its environment; drills run in staging")
    bad_version = serializers.CharField(
        required=False,
        allow_null=True,
        default=None,
        max_length=120,
        help_text="The version to take out; without it the one in canary, else the newest",
    )
    note = serializers.CharField(required=False, default="", max_length=300, allow_blank=True, help_text="Why, for the record")


class DrillRow(ExecutionRow):
    """A drill, or a rehearsal that a release asked for, in a list."""

    note = NoteField()

    class Meta(ExecutionRow.Meta):
        fields = [*ExecutionRow.Meta.fields, "note"]


class DrillDetail(ExecutionDetail):
    """A drill with everything but its samples."""

    note = NoteField()

    class Meta(ExecutionDetail.Meta):
        fields = [*ExecutionDetail.Meta.fields, "note"]
