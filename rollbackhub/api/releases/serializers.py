"""Releases as they are answered."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from rollbackhub.api.executions.serializers import WeightRow, execution_path, page_path
from rollbackhub.api.fields import ApiModelSerializer, Choice, ChoiceOrNull, Instant
from rollbackhub.common.verdict import Verdict
from rollbackhub.executions.enums import ExecutionState
from rollbackhub.registry.enums import ChangeType
from rollbackhub.releases.domain.gate import check_gate
from rollbackhub.releases.domain.planning import next_percent
from rollbackhub.releases.domain.selectors import rehearsals_of, weights_now
from rollbackhub.releases.enums import ReleaseState
from rollbackhub.releases.models import Release, ReleaseStep


class ConditionRow(serializers.Serializer[Any]):
    """One thing that must hold before the first weight."""

    code = serializers.CharField(help_text="target_retained, target_reachable, procedure_present, rehearsed or authority_known")
    holds = serializers.BooleanField()
    sentence = serializers.CharField()
    evidence = serializers.DictField(help_text="What says so")
    remedy = serializers.CharField(help_text="What to do when it does not hold; empty when it does")
    url = serializers.CharField(help_text="The page of the evidence; may be empty")


class GateDetail(serializers.Serializer[Any]):
    """The release gate's answer."""

    passes = serializers.BooleanField(help_text="Every condition holds")
    open = serializers.BooleanField(help_text="The first weight may be given: every condition holds, or a lead has bypassed the gate")
    bypassed = serializers.BooleanField()
    conditions = ConditionRow(many=True)


class BypassRow(serializers.Serializer[Any]):
    """The gate was closed, and a lead let the release pass."""

    at = Instant(source="bypassed_at")
    by = serializers.CharField(source="bypassed_by.username")
    reason = serializers.CharField(source="bypass_reason")
    conditions = ConditionRow(many=True, source="bypassed_conditions", help_text="Those that did not hold")


class StepTakenRow(ApiModelSerializer):
    """A canary step that was taken."""

    revision = serializers.IntegerField(source="revision.number", help_text="The policy's revision that it wrote")
    by = serializers.CharField(source="actor_label")

    class Meta:
        model = ReleaseStep
        fields = ["number", "percent", "revision", "by", "taken_at"]


class RehearsalRow(serializers.Serializer[Any]):
    """A rehearsal in staging that was started from the gate."""

    id = serializers.UUIDField(source="pk")
    url = serializers.SerializerMethodField(help_text="Its address in this API")
    page = serializers.SerializerMethodField(help_text="Its page for people")
    environment = serializers.CharField(source="environment.slug")
    state = Choice(ExecutionState.choices)
    verdict = ChoiceOrNull(Verdict.choices, help_text="Null until it has ended")
    created_at = Instant()
    finished_at = Instant(allow_null=True)

    @extend_schema_field(serializers.CharField())
    def get_url(self, execution: Any) -> str:
        """Path of the API."""
        return execution_path(execution)

    @extend_schema_field(serializers.CharField())
    def get_page(self, execution: Any) -> str:
        """Path of the page."""
        return page_path(execution)


class ReleaseRow(ApiModelSerializer):
    """A release in a list."""

    url = serializers.SerializerMethodField(help_text="Its address in this API")
    page = serializers.SerializerMethodField(help_text="Its page for people")
    state = Choice(ReleaseState.choices)
    environment = serializers.CharField(source="policy.environment.slug")
    alias = serializers.CharField(source="policy.alias")
    artefact = serializers.CharField(source="policy.artefact.slug")
    change_type = Choice(ChangeType.choices, source="policy.artefact.change_type")
    from_version = serializers.CharField(source="from_version.label", help_text="What a rollback goes back to")
    to_version = serializers.CharField(source="to_version.label")
    steps = serializers.ListField(child=serializers.IntegerField(), help_text="Percent of the traffic at each canary step")
    next_step = serializers.IntegerField(help_text="Index of the step that comes next: the expected_step of a promotion")
    next_percent = serializers.SerializerMethodField(help_text="Percent at the step that comes next; null when every step is taken")
    bypassed = serializers.SerializerMethodField(help_text="A lead let it through its closed gate")
    created_by = serializers.CharField(source="created_by_label")
    is_lab = serializers.BooleanField(source="policy.artefact.is_lab")

    class Meta:
        model = Release
        fields = [
            "id",
            "url",
            "page",
            "state",
            "environment",
            "alias",
            "artefact",
            "change_type",
            "from_version",
            "to_version",
            "candidate_id",
            "steps",
            "next_step",
            "next_percent",
            "bypassed",
            "note",
            "created_by",
            "created_at",
            "started_at",
            "live_at",
            "ended_at",
            "is_lab",
        ]

    @extend_schema_field(serializers.CharField())
    def get_url(self, release: Release) -> str:
        """Path of the API."""
        return release_path(release.pk)

    @extend_schema_field(serializers.CharField())
    def get_page(self, release: Release) -> str:
        """Path of the page."""
        return f"/releases/{release.pk}/"

    @extend_schema_field(serializers.IntegerField(allow_null=True))
    def get_next_percent(self, release: Release) -> int | None:
        """None at the end."""
        return next_percent(release)

    @extend_schema_field(serializers.BooleanField())
    def get_bypassed(self, release: Release) -> bool:
        """For its whole life."""
        return release.bypassed_at is not None


class ReleaseDetail(ReleaseRow):
    """A release with its gate, its steps and the weights now."""

    end_reason = serializers.CharField(help_text="Why it ended; empty until then")
    bypass = serializers.SerializerMethodField(help_text="Who let it through its closed gate, and why; null when nobody did")
    gate = serializers.SerializerMethodField(help_text="Asked now while it is planned; afterwards as it was when the first weight was given")
    steps_taken = StepTakenRow(many=True)
    weights_now = serializers.SerializerMethodField(help_text="The policy's weights at present")
    rehearsals = serializers.SerializerMethodField(help_text="The newest first")

    class Meta(ReleaseRow.Meta):
        fields = [*ReleaseRow.Meta.fields, "end_reason", "bypass", "gate", "steps_taken", "weights_now", "rehearsals"]

    def to_representation(self, instance: Release) -> Any:
        """With the steps fetched in one query."""
        instance.steps_taken = list(instance.taken_steps.select_related("revision").order_by("number"))  # type: ignore[attr-defined]
        return super().to_representation(instance)

    @extend_schema_field(BypassRow(allow_null=True))
    def get_bypass(self, release: Release) -> Any:
        """None when nobody did."""
        return None if release.bypassed_at is None else BypassRow(release).data

    @extend_schema_field(GateDetail(allow_null=True))
    def get_gate(self, release: Release) -> Any:
        """None when it was given up before anything asked."""
        found = gate_answer_of(release)
        return None if found is None else GateDetail(found).data

    @extend_schema_field(WeightRow(many=True))
    def get_weights_now(self, release: Release) -> Any:
        """One query."""
        return WeightRow(weights_now(release), many=True).data

    @extend_schema_field(RehearsalRow(many=True))
    def get_rehearsals(self, release: Release) -> Any:
        """One query."""
        return RehearsalRow([rehearsal.execution for rehearsal in rehearsals_of(release)], many=True).data


def gate_answer_of(release: Release) -> dict[str, Any] | None:
    """The gate now, while the release is planned; afterwards the answer with which the first weight was given. None: it ended before that."""
    if release.state == ReleaseState.PLANNED:
        return check_gate(release).as_dict()
    return release.gate_answer or None


def release_path(release_id: int) -> str:
    """A release's address in the API."""
    return f"/api/v1/releases/{release_id}/"
