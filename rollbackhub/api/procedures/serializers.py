"""Procedures as they are asked for, answered and written."""

from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from rollbackhub.api.fields import ApiModelSerializer, ApiSerializer, Choice, Instant
from rollbackhub.executions.domain.procedures import MAX_REASON, MAX_STEPS
from rollbackhub.executions.enums import ExecutionKind, Segment
from rollbackhub.executions.models import Procedure, ProcedureVersion
from rollbackhub.registry.enums import ChangeType


class ProcedureFilters(ApiSerializer):
    """Query parameters of the list."""

    change_type = Choice(choices=ChangeType.choices, required=False)
    connector = serializers.CharField(max_length=40, required=False, allow_blank=True, help_text="What moves the aliases; empty: the gateways")
    artefact = serializers.SlugField(required=False, help_text="Its own procedures only")


class ProcedureStepRow(serializers.Serializer[Any]):
    """One step, with everything that it leaves to the defaults."""

    key = serializers.CharField()
    title = serializers.CharField()
    action = serializers.CharField()
    params = serializers.DictField(help_text="As they were written; what is not there has its default")
    segment = Choice(choices=Segment.choices)
    kinds = serializers.ListField(child=Choice(choices=ExecutionKind.choices), help_text="In which kinds of execution it runs")
    always = serializers.BooleanField(help_text="It runs also after an earlier step failed")
    starts_clock = serializers.BooleanField()


class ProcedureVersionRow(ApiModelSerializer):
    """One version. It never changes."""

    steps = serializers.SerializerMethodField()
    author = serializers.CharField(source="author_label", help_text="Empty: it came with RollbackHub, or was written before authors were kept")

    class Meta:
        model = ProcedureVersion
        fields = ["number", "steps", "content_hash", "author", "reason", "created_at"]

    @extend_schema_field(ProcedureStepRow(many=True))
    def get_steps(self, version: ProcedureVersion) -> list[dict[str, Any]]:
        """In their order."""
        return [step_row(step) for step in version.steps]


class ProcedureSummary(ApiModelSerializer):
    """A procedure, without its steps."""

    artefact = serializers.SlugField(source="artefact.slug", default=None, allow_null=True, help_text="Its own procedure; null: all of the change type")
    current_version = serializers.SerializerMethodField(help_text="null: nothing is written yet")
    step_count = serializers.SerializerMethodField()
    aliases = serializers.SerializerMethodField(help_text="How many go back by it, over all environments")
    url = serializers.SerializerMethodField()
    runbook_problem = serializers.CharField(help_text="Why it could not be read the last time; empty: it could")
    runbook_read_at = Instant(allow_null=True)

    class Meta:
        model = Procedure
        fields = [
            "slug",
            "name",
            "change_type",
            "connector",
            "artefact",
            "current_version",
            "step_count",
            "aliases",
            "runbook_url",
            "runbook_read_at",
            "runbook_problem",
            "url",
        ]

    @extend_schema_field({"type": "integer", "nullable": True})
    def get_current_version(self, procedure: Procedure) -> int | None:
        """From the context: no query a row."""
        found = self.context["current"].get(procedure.pk)
        return found.number if found else None

    def get_step_count(self, procedure: Procedure) -> int:
        """Of the present version."""
        found = self.context["current"].get(procedure.pk)
        return len(found.steps) if found else 0

    def get_aliases(self, procedure: Procedure) -> int:
        """From the context: no query a row."""
        return int(self.context["users"].get(procedure.pk, 0))

    @extend_schema_field(OpenApiTypes.STR)
    def get_url(self, procedure: Procedure) -> str:
        """In this API."""
        return f"/api/v1/procedures/{procedure.slug}/"


class ProcedureDetail(ProcedureSummary):
    """A procedure with its versions, newest first."""

    versions = ProcedureVersionRow(many=True)

    class Meta(ProcedureSummary.Meta):
        fields = [*ProcedureSummary.Meta.fields, "versions"]


class RemarkRow(serializers.Serializer[Any]):
    """Something that is probably not meant."""

    code = serializers.CharField()
    sentence = serializers.CharField()
    step = serializers.IntegerField(allow_null=True, help_text="The step's place from 0; null: about the whole")


class WrittenVersion(serializers.Serializer[Any]):
    """The version that was written, or the present one when nothing changed."""

    procedure = serializers.SlugField()
    version = ProcedureVersionRow()
    warnings = RemarkRow(many=True)
    url = serializers.CharField()


@extend_schema_field(
    {
        "type": "object",
        "required": ["key", "title", "action", "segment"],
        "properties": {
            "key": {"type": "string", "pattern": "^[a-z][a-z0-9_]{0,39}$"},
            "title": {"type": "string", "maxLength": 120},
            "action": {"type": "string"},
            "params": {"type": "object", "additionalProperties": True},
            "segment": {"type": "string"},
            "kinds": {"type": "array", "items": {"type": "string"}},
            "always": {"type": "boolean", "default": False},
            "starts_clock": {"type": "boolean", "default": False},
        },
    }
)
class StepField(serializers.JSONField):
    """One step as it is sent; the domain says what is wrong with it, member by member."""


class ProcedureVersionRequest(ApiSerializer):
    """The next version of a procedure."""

    steps = serializers.ListField(child=StepField(), max_length=MAX_STEPS, help_text="All steps, in their order")
    based_on = serializers.IntegerField(min_value=0, max_value=2**31 - 1, help_text="The version that you began from (0: none); 409 when there is a newer one")
    reason = serializers.CharField(max_length=MAX_REASON, help_text="Why; kept with the version")


def step_row(step: dict[str, Any]) -> dict[str, Any]:
    """What ProcedureStepRow writes, also of a step that could not run any more."""
    kinds = step.get("kinds")
    return {
        "key": step["key"],
        "title": step.get("title", ""),
        "action": step["action"],
        "params": step.get("params") or {},
        "segment": step["segment"],
        "kinds": list(kinds) if kinds is not None else [kind.value for kind in (ExecutionKind.DRILL, ExecutionKind.ROLLBACK, ExecutionKind.REHEARSAL)],
        "always": bool(step.get("always", False)),
        "starts_clock": bool(step.get("starts_clock", False)),
    }
