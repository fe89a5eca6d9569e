"""What is sent about rollbacks, roll-forwards and holds."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from rollbackhub.api.fields import ApiSerializer, Choice, Instant
from rollbackhub.registry.enums import ChangeType
from rollbackhub.rollbacks.domain.roll_forward import FAST_TRACK, GATES, MAX_STAGES
from rollbackhub.rollbacks.enums import RollbackState
from rollbackhub.rollbacks.rules import MAX_REASON

_BAD_VERSION = "The version to take out; without it the one in canary"


class RollbackFilters(ApiSerializer):
    """Query parameters of the list of rollbacks."""

    alias = serializers.SlugField(required=False, help_text="One of its aliases is this")
    environment = serializers.SlugField(required=False, help_text="This environment only")
    state = Choice(RollbackState.choices, required=False)
    change_type = Choice(ChangeType.choices, required=False, help_text="One of its aliases is of this change type")
    open = serializers.BooleanField(required=False, help_text="true: only those in which somebody still has to do or to look at something")
    created_after = Instant(required=False, help_text="Requested at this instant or later")
    created_before = Instant(required=False, help_text="Requested before this instant")


class RollbackSampleFilters(ApiSerializer):
    """Query parameters of a rollback's samples."""

    kind = serializers.CharField(required=False, max_length=30, help_text="traffic, gateways, metrics, routes or counters")
    alias = serializers.SlugField(required=False, help_text="Of this alias only")


class TargetRequest(ApiSerializer):
    """One alias of a coordinated rollback."""

    alias = serializers.SlugField(max_length=80)
    bad_version = serializers.CharField(required=False, allow_null=True, default=None, max_length=120, help_text=_BAD_VERSION)


class PlanRequest(ApiSerializer):
    """What would be rolled back: `alias`, or `aliases` in the order in which they are rolled back."""

    environment = serializers.SlugField(default="production", help_text="A production environment")
    alias = serializers.SlugField(required=False, allow_null=True, default=None, max_length=80, help_text="The alias to roll back, e.g. smart-reasoner")
    bad_version = serializers.CharField(required=False, allow_null=True, default=None, max_length=120, help_text=f"{_BAD_VERSION}; goes with alias")
    aliases = TargetRequest(many=True, required=False, allow_empty=False, help_text="Instead of alias: several together, in this order")
    coordinated = serializers.SlugField(
        required=False,
        allow_null=True,
        default=None,
        max_length=60,
        help_text="A coordinated procedure: all its aliases in its order, or those that aliases names, in that order",
    )
    strategic = serializers.BooleanField(required=False, default=False, help_text="It is strategic, even if no version is marked so")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """One way to name them, not two."""
        if attrs["coordinated"] and attrs["alias"]:
            raise serializers.ValidationError({"alias": ["A coordinated procedure names its aliases; name those that you want of it in aliases."]})
        if not attrs["coordinated"] and bool(attrs["alias"]) == bool(attrs.get("aliases")):
            raise serializers.ValidationError({"alias": ["Name the alias in alias, or several in aliases."]})
        if attrs["bad_version"] and not attrs["alias"]:
            raise serializers.ValidationError({"bad_version": ["Of several aliases, name it beside its alias in aliases."]})
        return attrs


class RollbackRequest(PlanRequest):
    """A rollback to start, or to ask approval for when it is above your authority."""

    reason = serializers.CharField(max_length=MAX_REASON, help_text="Why, for the record")
    detected_at = Instant(required=False, allow_null=True, default=None, help_text="When it was noticed; exposure is counted from here")
    detected_by = serializers.CharField(required=False, default="", max_length=200, allow_blank=True, help_text="How it was noticed, e.g. the name of an alert")
    break_glass_reason = serializers.CharField(
        required=False,
        default="",
        max_length=MAX_REASON,
        allow_blank=True,
        help_text="Start what would wait for approval; in a session only, every lead is told",
    )
    plan_hash = serializers.CharField(
        required=False, allow_null=True, default=None, max_length=64, help_text="Of the plan that you looked at: 409 plan_changed when it has changed"
    )


class ReasonRequest(ApiSerializer):
    """Why, for the record."""

    reason = serializers.CharField(max_length=MAX_REASON, help_text="Why, for the record")


class ApproveRequest(ApiSerializer):
    """An approval of the plan that was looked at."""

    plan_hash = serializers.CharField(max_length=64, help_text="Of the plan that you looked at")
    reason = serializers.CharField(required=False, default="", max_length=MAX_REASON, allow_blank=True)


class RejectRequest(ReasonRequest):
    """A rejection of the plan that was looked at."""

    plan_hash = serializers.CharField(max_length=64, help_text="Of the plan that you looked at")


class BreakGlassRequest(RejectRequest):
    """Starting a request that waits, alone."""


class ReviewRequest(ApiSerializer):
    """The signature under a break-glass."""

    note = serializers.CharField(max_length=MAX_REASON, help_text="What the review found")


class DetectionRequest(ReasonRequest):
    """A correction of when it was detected."""

    detected_at = Instant(help_text="Before the decision")


class GateRequest(ApiSerializer):
    """A gate that the fast track skips."""

    gate = Choice(list(GATES.items()))
    name = serializers.CharField(max_length=120, help_text="Who answers for skipping it")
    reason = serializers.CharField(max_length=500)


class RollForwardRequest(ApiSerializer):
    """A fix to ship instead of rolling back."""

    environment = serializers.SlugField(default="production", help_text="A production environment")
    alias = serializers.SlugField(max_length=80)
    bad_version = serializers.CharField(required=False, allow_null=True, default=None, max_length=120, help_text=_BAD_VERSION)
    fix_version = serializers.CharField(max_length=120, help_text="The label of the fixed version")
    reason = serializers.CharField(max_length=MAX_REASON, help_text="Why, for the record")
    skipped_gates = GateRequest(many=True, help_text="Each gate that is skipped, canary at least: the fast track shortens it")
    percents = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=100),
        required=False,
        default=list(FAST_TRACK),
        min_length=1,
        max_length=MAX_STAGES,
        help_text="The stages, rising to 100",
    )


class HoldFilters(ApiSerializer):
    """Query parameters of the list of holds."""

    artefact = serializers.SlugField(required=False, help_text="Versions of this artefact only")
