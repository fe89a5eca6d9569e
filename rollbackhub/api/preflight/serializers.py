"""The continuous preflight as it is asked for and answered."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from rollbackhub.api.fields import ApiModelSerializer, ApiSerializer, Choice, Instant
from rollbackhub.executions.enums import FindingCode
from rollbackhub.readiness.models import PreflightFinding, PreflightRun


class FindingFilters(ApiSerializer):
    """Query parameters of findings."""

    environment = serializers.SlugField(required=False)
    alias = serializers.SlugField(required=False, help_text="Its own findings, and those of its environments")
    code = Choice(FindingCode.choices, required=False)
    closed = serializers.BooleanField(required=False, help_text="Those that have closed, too")


class RunRequest(ApiSerializer):
    """What is to be looked at."""

    environment = serializers.SlugField(required=False, help_text="This one only; all of them when it is left out")


class PreflightRunRow(ApiModelSerializer):
    """The preflight of one environment."""

    environment = serializers.CharField(source="environment.slug")
    open_findings = serializers.IntegerField()
    skipped = serializers.ListField(child=serializers.CharField(), help_text="What the last run could not check, and why")

    class Meta:
        model = PreflightRun
        fields = ["environment", "state", "due_at", "started_at", "finished_at", "paths", "open_findings", "skipped"]


class PreflightFindingRow(ApiModelSerializer):
    """Something that is not as the procedure expects."""

    environment = serializers.CharField(source="environment.slug")
    alias = serializers.SerializerMethodField(help_text="Null: it concerns every alias of the environment")
    check = serializers.CharField(source="check_name", help_text="Which check found it; that check closes it")

    class Meta:
        model = PreflightFinding
        fields = ["id", "environment", "alias", "check", "code", "subject", "expected", "found", "remedy", "first_seen_at", "last_seen_at", "closed_at"]

    def get_alias(self, finding: PreflightFinding) -> str | None:
        """Of the policy."""
        return finding.policy.alias if finding.policy else None


class PreflightReport(ApiSerializer):
    """Runs, and what is open."""

    runs = PreflightRunRow(many=True)
    open_findings = serializers.IntegerField(help_text="How many are open altogether")
    findings = PreflightFindingRow(many=True, help_text="The 100 that were opened last; all of them: findings_url")
    findings_url = serializers.CharField()


class RunAccepted(ApiSerializer):
    """What will be looked at."""

    environments = serializers.ListField(child=serializers.CharField())
    requested_at = Instant()
    url = serializers.CharField(help_text="Ask here until each run's started_at is later than requested_at and its state is not running")

    def to_representation(self, instance: Any) -> dict[str, Any]:
        """As a plain dict: it is kept for replays."""
        return dict(super().to_representation(instance))
