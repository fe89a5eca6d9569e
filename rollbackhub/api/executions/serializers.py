"""Executions as they are answered."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from rollbackhub.api.fields import ApiModelSerializer, ApiSerializer, Choice, ChoiceOrNull, Instant, Seconds
from rollbackhub.common import clock
from rollbackhub.common.verdict import Verdict
from rollbackhub.executions.domain.selectors import segments_of
from rollbackhub.executions.enums import DECIDED_BY_PEOPLE, REHEARSES, ExecutionKind, ExecutionState, FindingCode, Segment, StepState
from rollbackhub.executions.models import CheckResult, Execution, Finding, Sample, StepAttempt
from rollbackhub.registry.enums import ChangeType


class ExecutionFilters(ApiSerializer):
    """Query parameters of lists of executions."""

    alias = serializers.SlugField(required=False, help_text="This alias only")
    environment = serializers.SlugField(required=False, help_text="This environment only")
    verdict = Choice(Verdict.choices, required=False)
    state = Choice(ExecutionState.choices, required=False)
    change_type = Choice(ChangeType.choices, required=False)
    created_after = Instant(required=False, help_text="Requested at this instant or later")
    created_before = Instant(required=False, help_text="Requested before this instant")


class KindFilters(ExecutionFilters):
    """With the kind, where a list has several."""

    kind = Choice(ExecutionKind.choices, required=False)


class SampleFilters(ApiSerializer):
    """Query parameters of samples."""

    kind = serializers.CharField(required=False, max_length=30, help_text="traffic, gateways, metrics or policy")


class StopRequest(ApiSerializer):
    """Why an execution is stopped, let go on or closed."""

    reason = serializers.CharField(required=False, default="", max_length=300, allow_blank=True)


class WeightRow(serializers.Serializer[Any]):
    """A candidate with its share of the traffic."""

    id = serializers.CharField(help_text="provider:model:region")
    version_pin = serializers.CharField()
    weight = serializers.IntegerField(min_value=0, max_value=100, help_text="Percent of the traffic")


class WeightsRow(serializers.Serializer[Any]):
    """The policies that an execution moves between."""

    before = WeightRow(many=True, source="weights_before")
    canary = WeightRow(many=True, source="weights_canary", allow_null=True, default=None, help_text="Null in a roll-forward")
    rolled_back = WeightRow(many=True, source="weights_rolled_back", allow_null=True, default=None, help_text="Null in a roll-forward")
    stages = serializers.SerializerMethodField(help_text="Of a roll-forward, in their order; empty otherwise")

    @extend_schema_field(serializers.ListField(child=WeightRow(many=True)))
    def get_stages(self, plan: dict[str, Any]) -> list[Any]:
        """Numbered from 1 in the plan."""
        found: list[Any] = []
        while (key := f"weights_forward_{len(found) + 1}") in plan:
            found.append(plan[key])
        return found


class ProcedureRow(serializers.Serializer[Any]):
    """The frozen procedure."""

    slug = serializers.CharField()
    version = serializers.IntegerField()
    hash = serializers.CharField(help_text="SHA-256 of its steps")


class SegmentRow(serializers.Serializer[Any]):
    """A part of the clock that was reached. Its end and seconds are null while it lasts."""

    segment = Choice(Segment.choices)
    started_at = Instant(source="start")
    ended_at = Instant(source="end", allow_null=True)
    duration_seconds = Seconds(source="seconds", allow_null=True)


class AttemptRow(ApiModelSerializer):
    """One attempt of a step."""

    state = Choice(StepState.choices)
    verdict = ChoiceOrNull(Verdict.choices)
    duration_seconds = serializers.SerializerMethodField()

    class Meta:
        model = StepAttempt
        fields = ["number", "state", "verdict", "started_at", "ended_at", "duration_seconds", "message"]

    @extend_schema_field(serializers.FloatField(allow_null=True))
    def get_duration_seconds(self, attempt: StepAttempt) -> float | None:
        """Null while it runs."""
        seconds = clock.seconds_between(attempt.started_at, attempt.ended_at)
        return None if seconds is None else round(seconds, 4)


class StepRow(serializers.Serializer[Any]):
    """A step of the frozen procedure, with what was tried. `state` is null until its first attempt."""

    position = serializers.IntegerField(help_text="From 0")
    key = serializers.CharField()
    title = serializers.CharField()
    action = serializers.CharField()
    segment = Choice(Segment.choices)
    always = serializers.BooleanField(help_text="It runs also after an earlier step failed")
    starts_clock = serializers.BooleanField(help_text="The rollback's clock starts with it")
    state = Choice(StepState.choices, allow_null=True, help_text="Of the newest attempt")
    attempts = AttemptRow(many=True)


class CheckRow(ApiModelSerializer):
    """A check of a verification."""

    name = serializers.CharField(source="check_name")
    verdict = Choice(Verdict.choices)
    step = serializers.CharField(source="attempt.key")
    numbers = serializers.DictField(help_text="What the verdict rests on")

    class Meta:
        model = CheckResult
        fields = ["name", "verdict", "sentence", "numbers", "step", "decided_at"]


class FindingRow(ApiModelSerializer):
    """What was caught."""

    code = Choice(FindingCode.choices)
    title = serializers.CharField(source="get_code_display")

    class Meta:
        model = Finding
        fields = ["code", "title", "subject", "expected", "found", "remedy", "found_at", "mended_at"]


class SampleRow(ApiModelSerializer):
    """One thing that was observed at one instant."""

    step = serializers.CharField(source="attempt.key")
    value = serializers.DictField()

    class Meta:
        model = Sample
        fields = ["id", "kind", "source", "step", "taken_at", "value"]


class ExecutionRow(ApiModelSerializer):
    """An execution in a list."""

    url = serializers.SerializerMethodField(help_text="Its address in this API")
    page = serializers.SerializerMethodField(help_text="Its page for people")
    kind = Choice(ExecutionKind.choices)
    alias = serializers.CharField(source="policy.alias")
    environment = serializers.CharField(source="environment.slug")
    artefact = serializers.CharField(source="policy.artefact.slug")
    change_type = Choice(ChangeType.choices)
    state = Choice(ExecutionState.choices)
    verdict = ChoiceOrNull(Verdict.choices, help_text="Null until it has ended; also when it was cancelled before it began")
    bad_version = serializers.CharField(source="bad_version.label", help_text="The version that is taken out")
    requested_by = serializers.CharField(source="requested_by_label")
    rollback_seconds = Seconds(allow_null=True, help_text="Decided to restored")

    class Meta:
        model = Execution
        fields = [
            "id",
            "url",
            "page",
            "kind",
            "alias",
            "environment",
            "artefact",
            "change_type",
            "state",
            "verdict",
            "outcome",
            "bad_version",
            "rollback_seconds",
            "target_seconds",
            "requested_by",
            "cancel_requested_at",
            "created_at",
            "started_at",
            "finished_at",
            "fingerprint",
            "is_lab",
        ]

    @extend_schema_field(serializers.CharField())
    def get_url(self, execution: Execution) -> str:
        """Path of the API."""
        return execution_path(execution)

    @extend_schema_field(serializers.CharField())
    def get_page(self, execution: Execution) -> str:
        """Path of the page."""
        return page_path(execution)


class ExecutionDetail(ExecutionRow):
    """An execution with everything but its samples."""

    good_versions = serializers.ListField(child=serializers.CharField(), source="plan.good_versions")
    revision_before = serializers.IntegerField(source="plan.revision", help_text="The policy's revision when it was requested")
    weights = WeightsRow(source="plan")
    procedure = ProcedureRow(source="plan.procedure")
    segments = serializers.SerializerMethodField()
    steps = serializers.SerializerMethodField()
    checks = CheckRow(many=True)
    findings = FindingRow(many=True)
    samples_url = serializers.SerializerMethodField()

    class Meta(ExecutionRow.Meta):
        fields = [
            *ExecutionRow.Meta.fields,
            "good_versions",
            "revision_before",
            "weights",
            "procedure",
            "decided_at",
            "executed_at",
            "propagated_at",
            "drained_at",
            "restored_at",
            "verified_at",
            "segments",
            "steps",
            "checks",
            "findings",
            "samples_url",
        ]

    @extend_schema_field(SegmentRow(many=True))
    def get_segments(self, execution: Execution) -> Any:
        """Those that were reached, in their order."""
        return SegmentRow(segments_of(execution), many=True).data

    @extend_schema_field(StepRow(many=True))
    def get_steps(self, execution: Execution) -> Any:
        """The frozen steps with their attempts."""
        attempts: dict[int, list[StepAttempt]] = {}
        for attempt in execution.attempts.all():
            attempts.setdefault(attempt.position, []).append(attempt)
        rows = []
        for position, step in enumerate(execution.plan["steps"]):
            found = attempts.get(position, [])
            rows.append({**step, "position": position, "attempts": found, "state": found[-1].state if found else None})
        return StepRow(rows, many=True).data

    @extend_schema_field(serializers.CharField())
    def get_samples_url(self, execution: Execution) -> str:
        """Where the samples stand."""
        return f"{execution_path(execution)}samples/"


def execution_path(execution: Execution) -> str:
    """An execution's address in the API: drills are a resource of their own, and rehearsals stand among them."""
    resource = "drills" if execution.kind in REHEARSES else "executions"
    return f"/api/v1/{resource}/{execution.pk}/"


def page_path(execution: Execution) -> str:
    """Where people follow it: what was decided for production has its page with the rollback that decided it."""
    if execution.kind not in DECIDED_BY_PEOPLE:
        return f"/drills/{execution.pk}/"
    owner = getattr(execution, "rollback_part", None) or getattr(execution, "roll_forward", None)
    return f"/rollbacks/{owner.rollback_id}/" if owner else "/rollbacks/"
