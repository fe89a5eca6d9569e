"""Drills as they are asked for and answered."""

from __future__ import annotations

from rest_framework import serializers

from rollbackhub.api.executions.serializers import ExecutionDetail, ExecutionRow
from rollbackhub.api.fields import ApiSerializer


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
    """A drill in a list."""

    note = serializers.CharField(source="drill.note")

    class Meta(ExecutionRow.Meta):
        fields = [*ExecutionRow.Meta.fields, "note"]


class DrillDetail(ExecutionDetail):
    """A drill with everything but its samples."""

    note = serializers.CharField(source="drill.note")

    class Meta(ExecutionDetail.Meta):
        fields = [*ExecutionDetail.Meta.fields, "note"]
