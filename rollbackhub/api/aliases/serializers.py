"""Aliases as they are answered."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from rollbackhub.api.executions.serializers import WeightRow
from rollbackhub.api.fields import ApiSerializer, Choice, Instant, Seconds
from rollbackhub.api.policies.serializers import CandidateRequest
from rollbackhub.common.verdict import Verdict
from rollbackhub.executions.enums import ExecutionKind, ExecutionState, FindingCode, ProofState
from rollbackhub.readiness.enums import ReadinessState, ReasonCode
from rollbackhub.registry.enums import ChangeType, Lifecycle

REASON_CODES = [*dict.fromkeys([*ReasonCode.values, *FindingCode.values])]


class AliasFilters(ApiSerializer):
    """Query parameters of the list of aliases."""

    alias = serializers.SlugField(required=False)
    environment = serializers.SlugField(required=False)
    change_type = Choice(ChangeType.choices, required=False)


class BindingRequest(ApiSerializer):
    """What brings an alias to the system that serves it."""

    connection = serializers.CharField(
        max_length=40, allow_null=True, help_text="The name of a connection of the environment that moves versions; null: gateways take it from the hub"
    )
    target = serializers.JSONField(required=False, help_text="What of that system is moved, as its connector wants it")
    reason = serializers.CharField(max_length=300, help_text="Why, for the record")

    def validate_target(self, value: Any) -> dict[str, Any]:
        """An object."""
        if not isinstance(value, dict):
            raise serializers.ValidationError("Send an object.")
        return value


class AliasRequest(BindingRequest):
    """An alias to make, with its first weights."""

    alias = serializers.SlugField(max_length=80)
    environment = serializers.SlugField()
    artefact = serializers.SlugField()
    connection = serializers.CharField(max_length=40, allow_null=True, required=False, help_text="As of a binding; left out: the gateways")
    candidates = CandidateRequest(many=True, allow_empty=False)


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
    kind = Choice(ExecutionKind.choices)
    state = Choice(ExecutionState.choices)


class LastDrillRow(serializers.Serializer[Any]):
    """The newest drill that has a verdict."""

    id = serializers.UUIDField()
    url = serializers.CharField()
    verdict = Choice(Verdict.choices)
    rollback_seconds = Seconds(allow_null=True)
    target_seconds = serializers.IntegerField(allow_null=True, help_text="The target when it was requested")
    finished_at = Instant()


class DeliveryRow(serializers.Serializer[Any]):
    """How far an alias that no gateway serves has reached what serves it."""

    connection = serializers.CharField(help_text="The connection's name in the environment")
    connector = serializers.CharField()
    target = serializers.JSONField(help_text="What of that system is moved")
    revision = serializers.IntegerField(help_text="The revision that the system was last brought to; 0: none yet")
    current = serializers.BooleanField(help_text="That is the present revision")
    delivered_at = Instant(allow_null=True)
    problem = serializers.CharField(help_text="Why the present revision could not be delivered", allow_blank=True)


class AliasRow(serializers.Serializer[Any]):
    """An alias in an environment."""

    alias = serializers.CharField()
    environment = serializers.CharField()
    url = serializers.CharField()
    revisions_url = serializers.CharField()
    artefact = serializers.CharField()
    change_type = Choice(ChangeType.choices)
    target_seconds = serializers.IntegerField(allow_null=True, help_text="How long its rollback may take at present")
    revision = serializers.IntegerField(help_text="The present revision's number: `expected_revision` of the next")
    changed_at = Instant(allow_null=True)
    changed_by = serializers.CharField()
    reason = serializers.CharField()
    candidates = WeightRow(many=True)
    gateways = AcknowledgedRow(help_text="None are counted for an alias that a connection moves: see delivery")
    delivery = DeliveryRow(allow_null=True, help_text="null: gateways take the alias from the hub")
    active = ActiveRow(allow_null=True)
    last_drill = LastDrillRow(allow_null=True)
    is_lab = serializers.BooleanField()


class AliasDetail(AliasRow):
    """With its gateways one by one."""

    gateways = AcknowledgedDetail()


class ReadinessFilters(ApiSerializer):
    """Query parameters of an alias's readiness."""

    environment = serializers.SlugField(required=False, help_text="production, unless said otherwise")


class ReasonRow(serializers.Serializer[Any]):
    """One thing that speaks against rolling back now."""

    code = Choice(REASON_CODES)
    severity = Choice(ReadinessState.choices)
    sentence = serializers.CharField()
    remedy = serializers.CharField(help_text="What to do")
    url = serializers.CharField(help_text="The page where it is done", allow_blank=True)


class ProofChangeRow(serializers.Serializer[Any]):
    """One thing that is not as it was when the path was proven."""

    part = serializers.CharField(help_text="procedure, target, alias, candidates, connections or runbook")
    what = serializers.CharField()
    old = serializers.CharField()
    new = serializers.CharField()


class ProofRunRow(serializers.Serializer[Any]):
    """The drill or rehearsal that the proof rests on."""

    id = serializers.UUIDField()
    url = serializers.CharField(help_text="Its page")
    kind = Choice(ExecutionKind.choices)
    verdict = Choice(Verdict.choices)
    finished_at = Instant()
    rollback_seconds = Seconds(allow_null=True)
    environment = serializers.CharField()


class ProofDetail(serializers.Serializer[Any]):
    """What is proven about the path."""

    state = Choice(ProofState.choices)
    in_words = serializers.CharField()
    expires_at = Instant(allow_null=True)
    changes = ProofChangeRow(many=True)
    run = ProofRunRow(allow_null=True)


class TargetRow(serializers.Serializer[Any]):
    """A version that would serve after the rollback."""

    version = serializers.CharField()
    lifecycle = Choice(Lifecycle.choices)
    provider_retires_at = Instant(allow_null=True)


class ReadinessDetail(serializers.Serializer[Any]):
    """The readiness of one alias in one environment."""

    alias = serializers.CharField()
    environment = serializers.CharField()
    artefact = serializers.CharField()
    state = Choice(ReadinessState.choices)
    rollbackable = serializers.BooleanField(help_text="Its target is there, its path is proven, and nothing has changed since")
    reasons = ReasonRow(many=True, help_text="The most urgent first; empty when it is ready")
    proof = ProofDetail()
    bad_version = serializers.CharField(allow_null=True, help_text="The version that would be taken out")
    targets = TargetRow(many=True)
    target_seconds = serializers.IntegerField(allow_null=True, help_text="How long a rollback may take")
    judged_at = Instant()
    last_computed_at = Instant(allow_null=True, help_text="When the board last judged it")
