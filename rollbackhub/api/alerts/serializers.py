"""Alerts and what they propose, as they are asked for and answered."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from incidents.enums import Severity
from rollbackhub.alerts.enums import AlertState, Became, ProposalState
from rollbackhub.alerts.models import Alert, Proposal
from rollbackhub.api.fields import ApiModelSerializer, ApiSerializer, Choice
from rollbackhub.rollbacks.rules import MAX_REASON


class AlertFilters(ApiSerializer):
    """Query parameters of alerts."""

    state = Choice(AlertState.choices, required=False)
    became = Choice(Became.choices, required=False)
    environment = serializers.SlugField(required=False)
    alias = serializers.SlugField(required=False, max_length=80)
    hook = serializers.UUIDField(required=False)
    query = serializers.CharField(required=False, max_length=80, help_text="A part of the alert's name")


class ProposalFilters(ApiSerializer):
    """Query parameters of proposals."""

    state = Choice(ProposalState.choices, required=False)
    environment = serializers.SlugField(required=False)
    alias = serializers.SlugField(required=False, max_length=80)


class ConfirmRequest(ApiSerializer):
    """A confirmation of the plan that was looked at."""

    plan_hash = serializers.CharField(max_length=64, help_text="Of the plan that you looked at: POST /api/v1/rollbacks/plan/, or the proposal's own")
    reason = serializers.CharField(required=False, default="", max_length=MAX_REASON, allow_blank=True, help_text="Empty: the alert's name")


class DismissRequest(ApiSerializer):
    """Why nothing is to be rolled back."""

    reason = serializers.CharField(max_length=MAX_REASON)


class AlertRow(ApiModelSerializer):
    """Something that another system alerts about."""

    url = serializers.SerializerMethodField()
    state = Choice(AlertState.choices)
    became = Choice(Became.choices)
    hook = serializers.UUIDField(source="hook_id")
    environment = serializers.CharField(source="hook.environment.slug")
    alias = serializers.CharField(source="policy.alias", allow_null=True, default=None)
    labels = serializers.DictField(child=serializers.CharField())
    annotations = serializers.DictField(child=serializers.CharField())
    incident_id = serializers.UUIDField(allow_null=True)
    proposal_id = serializers.UUIDField(allow_null=True)
    rule = serializers.CharField(source="rule.name", allow_null=True, default=None)

    class Meta:
        model = Alert
        fields = [
            *("id", "url", "name", "fingerprint", "hook", "environment", "state", "labels", "annotations"),
            *("starts_at", "resolved_at", "first_seen_at", "last_seen_at", "times_seen", "times_fired"),
            *("became", "outcome", "rule", "alias", "incident_id", "proposal_id"),
        ]

    @extend_schema_field(serializers.CharField())
    def get_url(self, alert: Alert) -> str:
        """Path of the API."""
        return f"/api/v1/alerts/{alert.pk}/"


class ProposalRow(ApiModelSerializer):
    """A rollback that alerts propose."""

    url = serializers.SerializerMethodField()
    state = Choice(ProposalState.choices)
    severity = Choice(Severity.choices)
    environment = serializers.CharField(source="policy.environment.slug")
    alias = serializers.CharField(source="policy.alias")
    incident_id = serializers.UUIDField()
    rollback_id = serializers.UUIDField(allow_null=True)
    bad_version = serializers.SerializerMethodField()
    good_versions = serializers.SerializerMethodField()
    ended_by = serializers.CharField(source="ended_by_label")

    class Meta:
        model = Proposal
        fields = [
            *("id", "url", "state", "environment", "alias", "incident_id", "severity", "detected_at", "detected_by", "bad_version", "good_versions"),
            *("plan_hash", "made_at", "expires_at", "not_automatic", "automatic", "ended_at", "ended_by", "ended_because", "rollback_id"),
        ]

    @extend_schema_field(serializers.CharField())
    def get_url(self, proposal: Proposal) -> str:
        """Path of the API."""
        return f"/api/v1/alert-proposals/{proposal.pk}/"

    @extend_schema_field(serializers.CharField())
    def get_bad_version(self, proposal: Proposal) -> str:
        """What would be taken out, as it was proposed."""
        return str(_part(proposal)["bad_version"])

    @extend_schema_field(serializers.ListField(child=serializers.CharField()))
    def get_good_versions(self, proposal: Proposal) -> list[str]:
        """What would serve then, as it was proposed."""
        return list(_part(proposal)["good_versions"])


def _part(proposal: Proposal) -> dict[str, Any]:
    part: dict[str, Any] = proposal.plan["parts"][0]
    return part
