"""Aliases as they are answered."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from rollbackhub.api.executions.serializers import WeightRow
from rollbackhub.api.fields import ApiSerializer, Instant, Seconds
from rollbackhub.common.verdict import Verdict
from rollbackhub.executions.enums import ExecutionKind, ExecutionState
from rollbackhub.registry.enums import ChangeType


class AliasFilters(ApiSerializer):
    """Query parameters of the list of aliases."""

    alias = serializers.SlugField(required=False)
    environment = serializers.SlugField(required=False)
    change_type = serializers.ChoiceField(ChangeType.choices, required=False)


class NodeRow(serializers.Serializer[Any]):
    """A live gateway, and whether it serves the present revision."""

    node_id = serializers.CharField()
    acknowledged = serializers.BooleanField()


class AcknowledgedRow(serializers.Serializer[Any]):
    """What the live gateways of the environment serve."""

    live = serializers.IntegerField()
    acknowledged = serializers.IntegerField(help_text="Of the live ones: have applied the present revision")


class AcknowledgedDetail(AcknowledgedRow):
    """With each gateway."""

    nodes = NodeRow(many=True)


class ActiveRow(serializers.Serializer[Any]):
    """What runs on the alias now."""

    id = serializers.UUIDField()
    url = serializers.CharField()
    kind = serializers.ChoiceField(ExecutionKind.choices)
    state = serializers.ChoiceField(ExecutionState.choices)


class LastDrillRow(serializers.Serializer[Any]):
    """The newest drill that has a verdict."""

    id = serializers.UUIDField()
    url = serializers.CharField()
    verdict = serializers.ChoiceField(Verdict.choices)
    rollback_seconds = Seconds(allow_null=True)
    target_seconds = serializers.IntegerField(allow_null=True, help_text="The target when it was requested")
    finished_at = Instant()


class AliasRow(serializers.Serializer[Any]):
    """An alias in an environment."""

    alias = serializers.CharField()
    environment = serializers.CharField()
    url = serializers.CharField()
    revisions_url = serializers.CharField()
    artefact = serializers.CharField()
    change_type = serializers.ChoiceField(ChangeType.choices)
    target_seconds = serializers.IntegerField(allow_null=True, help_text="How long its rollback may take at present")
    revision = serializers.IntegerField(help_text="The present revision's number: `expected_revision` of the next")
    changed_at = Instant(allow_null=True)
    changed_by = serializers.CharField()
    reason = serializers.CharField()
    candidates = WeightRow(many=True)
    gateways = AcknowledgedRow()
    active = ActiveRow(allow_null=True)
    last_drill = LastDrillRow(allow_null=True)
    is_lab = serializers.BooleanField()


class AliasDetail(AliasRow):
    """With its gateways one by one."""

    gateways = AcknowledgedDetail()
