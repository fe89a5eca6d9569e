"""Rollbacks and holds as they are answered."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from rollbackhub.accounts.enums import Role
from rollbackhub.api.executions.serializers import ProcedureRow, SampleRow, WeightRow
from rollbackhub.api.fields import ApiModelSerializer, Choice, ChoiceOrNull, Instant, Seconds
from rollbackhub.common.verdict import Verdict
from rollbackhub.executions.enums import ExecutionKind, ExecutionState, FindingCode, Segment, StepState
from rollbackhub.executions.models import Sample
from rollbackhub.registry.domain.holds import describe_hold, gates_of
from rollbackhub.registry.enums import ChangeType
from rollbackhub.registry.models import StabilityHold
from rollbackhub.rollbacks.enums import AuthorisedBy, AuthoritySubject, Decision, RollbackState, RollForwardState, Via
from rollbackhub.rollbacks.models import Approval, Rollback, RollForward

SCOPES = ("single", "coordinated")


class SecondsPerSegment(serializers.DictField):
    """Seconds by the name of the segment; null while it lasts."""

    child = serializers.FloatField(allow_null=True)


class PersonRow(serializers.Serializer[Any]):
    """A person."""

    username = serializers.CharField()
    name = serializers.CharField()


class BothWeights(serializers.Serializer[Any]):
    """The policy before and after."""

    before = WeightRow(many=True)
    rolled_back = WeightRow(many=True)


class RollbackRow(ApiModelSerializer):
    """A rollback in a list."""

    url = serializers.SerializerMethodField(help_text="Its address in this API")
    page = serializers.SerializerMethodField(help_text="Its page for people")
    state = Choice(RollbackState.choices)
    environment = serializers.CharField(source="environment.slug")
    aliases = serializers.SerializerMethodField(help_text="In their order")
    bad_versions = serializers.SerializerMethodField(help_text="The version that is taken out of each alias, in the same order")
    scope = serializers.SerializerMethodField()
    strategic = serializers.BooleanField(source="is_strategic")
    requested_by = serializers.CharField(source="requested_by_label")
    requested_via = Choice(Via.choices)
    required_role = Choice(Role.choices, help_text="The authority that it needs")
    authorised_how = ChoiceOrNull(AuthorisedBy.choices, help_text="Null until it is authorised")
    rollback_seconds = Seconds(allow_null=True, help_text="Decided to restored")

    class Meta:
        model = Rollback
        fields = [
            "id",
            "url",
            "page",
            "state",
            "outcome",
            "environment",
            "aliases",
            "bad_versions",
            "scope",
            "strategic",
            "reason",
            "requested_by",
            "requested_via",
            "required_role",
            "authorised_how",
            "rollback_seconds",
            "target_seconds",
            "detected_at",
            "decided_at",
            "restored_at",
            "verified_at",
            "closed_at",
            "created_at",
            "is_lab",
        ]

    @extend_schema_field(serializers.CharField())
    def get_url(self, rollback: Rollback) -> str:
        """Path of the API."""
        return rollback_path(rollback.pk)

    @extend_schema_field(serializers.CharField())
    def get_page(self, rollback: Rollback) -> str:
        """Path of the page."""
        return f"/rollbacks/{rollback.pk}/"

    @extend_schema_field(serializers.ListField(child=serializers.CharField()))
    def get_aliases(self, rollback: Rollback) -> list[str]:
        """Prefetched: no query."""
        return [part.policy.alias for part in _in_order(rollback)]

    @extend_schema_field(serializers.ListField(child=serializers.CharField()))
    def get_bad_versions(self, rollback: Rollback) -> list[str]:
        """Prefetched: no query."""
        return [part.bad_version.label for part in _in_order(rollback)]

    @extend_schema_field(Choice(SCOPES))
    def get_scope(self, rollback: Rollback) -> str:
        """One alias or several."""
        return SCOPES[len(rollback.parts.all()) > 1]


class AuthorityRow(serializers.Serializer[Any]):
    """By whose authority it runs, or whose it waits for."""

    required_role = Choice(Role.choices)
    because = Choice(AuthoritySubject.choices, help_text="The row of the authority table that says so")
    how = Choice(AuthorisedBy.choices, allow_null=True)
    by = serializers.CharField(allow_null=True)
    break_glass_reason = serializers.CharField(allow_null=True)
    review_signed_by = serializers.CharField(allow_null=True)


class ClockRow(serializers.Serializer[Any]):
    """The whole clock; null is not reached (detected: not given)."""

    detected = Instant(allow_null=True)
    decided = Instant()
    authorised = Instant(allow_null=True)
    started = Instant(allow_null=True)
    executed = Instant(allow_null=True)
    propagated = Instant(allow_null=True, help_text="Every live gateway has acknowledged")
    drained = Instant(allow_null=True, help_text="The bad version's share is zero")
    restored = Instant(allow_null=True)
    verified = Instant(allow_null=True)
    closed = Instant(allow_null=True)


class ExposureRow(serializers.Serializer[Any]):
    """Requests that the bad version served between detection and drain."""

    observed = serializers.IntegerField(
        allow_null=True, help_text="By the gateways' counters or the callers' metrics, whichever show more: the basis says which"
    )
    estimated = serializers.IntegerField(allow_null=True, help_text="Before the counters were first read, by rate")
    basis = serializers.CharField(allow_null=True, help_text="What the numbers rest on")


class ReportFinding(serializers.Serializer[Any]):
    """What was caught."""

    code = Choice(FindingCode.choices)
    subject = serializers.CharField()
    expected = serializers.CharField()
    found = serializers.CharField()
    remedy = serializers.CharField()
    mended_at = Instant(allow_null=True, help_text="When a later attempt of the same step no longer found it")


class ReportCheck(serializers.Serializer[Any]):
    """A check of the verification."""

    check_name = serializers.CharField()
    verdict = Choice(Verdict.choices)
    sentence = serializers.CharField()
    numbers = serializers.DictField()


class ReportStep(serializers.Serializer[Any]):
    """One attempt of a step."""

    key = serializers.CharField()
    attempt = serializers.IntegerField()
    state = Choice(StepState.choices)
    verdict = Choice(Verdict.choices, allow_null=True)
    seconds = serializers.FloatField(allow_null=True)
    message = serializers.CharField()


class ReportExecution(serializers.Serializer[Any]):
    """The execution of one alias."""

    id = serializers.UUIDField()
    url = serializers.CharField()
    kind = Choice(ExecutionKind.choices)
    alias = serializers.CharField()
    environment = serializers.CharField()
    change_type = Choice(ChangeType.choices)
    state = Choice(ExecutionState.choices)
    verdict = Choice(Verdict.choices, allow_null=True)
    outcome = serializers.CharField()
    bad_version = serializers.CharField()
    good_versions = serializers.ListField(child=serializers.CharField())
    segments = SecondsPerSegment()
    rollback_seconds = serializers.FloatField(allow_null=True)
    target_seconds = serializers.IntegerField(allow_null=True)
    findings = ReportFinding(many=True)
    checks = ReportCheck(many=True)
    steps = ReportStep(many=True, help_text="Every attempt, in order")
    samples = serializers.IntegerField(help_text="How many there are")
    fingerprint = serializers.CharField()
    procedure = ProcedureRow()
    requested_by = serializers.CharField()
    created_at = Instant()
    finished_at = Instant(allow_null=True)
    is_lab = serializers.BooleanField()


class ReportPart(serializers.Serializer[Any]):
    """One alias: what was planned, where it stands, what ran."""

    alias = serializers.CharField()
    bad_version = serializers.CharField()
    stands = serializers.CharField(help_text="What was changed and what was not")
    weights = BothWeights()
    execution = ReportExecution(allow_null=True)


class ApprovalRow(ApiModelSerializer):
    """What somebody decided about a plan."""

    decision = Choice(Decision.choices)
    by = serializers.CharField(source="user.username")
    role = Choice(Role.choices)
    via = Choice(Via.choices)

    class Meta:
        model = Approval
        fields = ["decision", "by", "role", "reason", "plan_hash", "via", "decided_at"]


class SkippedGateRow(serializers.Serializer[Any]):
    """A gate that the fast track skipped."""

    gate = serializers.CharField()
    name = serializers.CharField()
    reason = serializers.CharField()


class RollForwardRow(ApiModelSerializer):
    """A fix that was shipped instead."""

    fix_version = serializers.CharField(source="fix_version.label")
    state = Choice(RollForwardState.choices)
    canary_percents = serializers.ListField(child=serializers.IntegerField())
    skipped_gates = SkippedGateRow(many=True)
    started_by = serializers.CharField(source="started_by.username")
    execution_url = serializers.SerializerMethodField()

    class Meta:
        model = RollForward
        fields = ["fix_version", "state", "outcome", "canary_percents", "skipped_gates", "reason", "started_by", "created_at", "ended_at", "execution_url"]

    @extend_schema_field(serializers.CharField())
    def get_execution_url(self, forward: RollForward) -> str:
        """Path of the API."""
        return f"/api/v1/executions/{forward.execution_id}/"


class CoordinationRow(serializers.Serializer[Any]):
    """What a coordinated procedure says about a rollback."""

    slug = serializers.CharField()
    name = serializers.CharField()
    number = serializers.IntegerField(help_text="Which change of the procedure it was")
    order = serializers.ListField(child=serializers.CharField(), help_text="All its aliases")
    left_out = serializers.ListField(child=serializers.CharField(), help_text="Those that the rollback does not touch")
    no_return_before = serializers.CharField(help_text="From this alias on nothing is put back; empty: no such point")
    no_return_because = serializers.CharField()


class RollbackDetail(serializers.Serializer[Any]):
    """A rollback with everything but its samples."""

    id = serializers.UUIDField()
    url = serializers.CharField()
    page = serializers.CharField()
    samples_url = serializers.CharField()
    state = Choice(RollbackState.choices)
    outcome = serializers.CharField(help_text="In words: what happened, what stands where, and what to do")
    environment = serializers.CharField()
    aliases = serializers.ListField(child=serializers.CharField())
    scope = Choice(SCOPES)
    strategic = serializers.BooleanField()
    coordination = CoordinationRow(allow_null=True, help_text="The coordinated procedure that it follows, as it was when it was asked for")
    reason = serializers.CharField()
    requested_by = serializers.CharField()
    requested_via = Choice(Via.choices)
    created_at = Instant()
    authority = AuthorityRow()
    plan_hash = serializers.CharField(help_text="An approval holds for this plan only")
    expires_at = Instant(allow_null=True, help_text="While it waits for approval")
    approvers = PersonRow(many=True, help_text="While it waits for approval: who may decide")
    approvals = ApprovalRow(many=True)
    review_is_open = serializers.BooleanField(help_text="A lead still has to sign the review of the break-glass")
    clock = ClockRow()
    segments = SecondsPerSegment()
    rollback_seconds = serializers.FloatField(allow_null=True, help_text="Decided to restored")
    target_seconds = serializers.IntegerField(allow_null=True)
    missed_target_by = Choice(Segment.choices, allow_null=True, help_text="The segment that cost most, when the target was missed")
    exposure = ExposureRow()
    bad_version_share = serializers.FloatField(allow_null=True, help_text="0 to 1, in the newest sample of the traffic")
    parts = ReportPart(many=True)
    roll_forwards = RollForwardRow(many=True)
    is_lab = serializers.BooleanField()


class RollbackSampleRow(SampleRow):
    """One thing that was observed at one instant."""

    alias = serializers.CharField(source="execution.policy.alias")

    class Meta(SampleRow.Meta):
        model = Sample
        fields = [*SampleRow.Meta.fields, "execution_id", "alias"]


class ExpectationRow(serializers.Serializer[Any]):
    """How long it took before; `runs` passed of `tried`. Null: never measured."""

    in_words = serializers.CharField()
    runs = serializers.IntegerField()
    tried = serializers.IntegerField()
    median_seconds = Seconds(allow_null=True)
    shortest_seconds = Seconds(allow_null=True)
    longest_seconds = Seconds(allow_null=True)


class BothWays(serializers.Serializer[Any]):
    """Back, and forward with a fix."""

    rollback = ExpectationRow()
    roll_forward = ExpectationRow()


class ProofRow(serializers.Serializer[Any]):
    """The last drill of the path."""

    in_words = serializers.CharField()
    drill_id = serializers.UUIDField(allow_null=True)
    verdict = Choice(Verdict.choices, allow_null=True)
    rollback_seconds = Seconds(allow_null=True)
    finished_at = Instant(allow_null=True)


class PlannedStep(serializers.Serializer[Any]):
    """A step that would run."""

    key = serializers.CharField()
    title = serializers.CharField()
    segment = Choice(Segment.choices)


class PlannedPart(serializers.Serializer[Any]):
    """What would be done to one alias."""

    alias = serializers.CharField()
    artefact = serializers.CharField()
    change_type = Choice(ChangeType.choices)
    bad_version = serializers.CharField()
    good_versions = serializers.ListField(child=serializers.CharField())
    revision = serializers.IntegerField(help_text="The policy's present revision")
    weights = BothWeights()
    retention = serializers.CharField(help_text="What keeps the versions to go back to")
    proof = ProofRow()
    target_seconds = serializers.IntegerField(allow_null=True)
    steps = PlannedStep(many=True)
    expected = BothWays()


class PlannedAuthority(serializers.Serializer[Any]):
    """Who decides it."""

    required_role = Choice(Role.choices)
    because = Choice(AuthoritySubject.choices)
    in_words = serializers.CharField()
    alone = serializers.BooleanField(help_text="You may start it at once")


class PlanDetail(serializers.Serializer[Any]):
    """What a rollback would do now. Nothing was changed."""

    environment = serializers.CharField()
    aliases = serializers.ListField(child=serializers.CharField())
    scope = Choice(SCOPES)
    strategic = serializers.BooleanField()
    coordination = CoordinationRow(allow_null=True, help_text="The coordinated procedure that it follows, as it was when it was asked for")
    plan_hash = serializers.CharField(help_text="Send it with the request: another plan is refused then")
    target_seconds = serializers.IntegerField(allow_null=True)
    authority = PlannedAuthority()
    approvers = PersonRow(many=True, help_text="Who may approve your request")
    parts = PlannedPart(many=True)


class HoldRow(ApiModelSerializer):
    """A stability hold: the version may get no weight in production."""

    artefact = serializers.CharField(source="version.artefact.slug")
    version = serializers.CharField(source="version.label")
    rollback_url = serializers.SerializerMethodField()
    lift_url = serializers.SerializerMethodField()
    sentence = serializers.SerializerMethodField(help_text="What it forbids, and what to do")
    gating_actions = serializers.SerializerMethodField(help_text="Ids of the open actions that it waits for, beside its time")
    lifted_by = serializers.CharField(source="lifted_by.username", allow_null=True, default=None)

    class Meta:
        model = StabilityHold
        fields = [
            "id",
            "artefact",
            "version",
            "rollback_id",
            "rollback_url",
            "lift_url",
            "sentence",
            "started_at",
            "ends_at",
            "gating_actions",
            "lifted_at",
            "lifted_by",
            "lift_reason",
        ]

    @extend_schema_field(serializers.CharField())
    def get_rollback_url(self, hold: StabilityHold) -> str:
        """Path of the API."""
        return rollback_path(hold.rollback_id)

    @extend_schema_field(serializers.CharField())
    def get_lift_url(self, hold: StabilityHold) -> str:
        """Path of the API."""
        return f"/api/v1/holds/{hold.pk}/lift/"

    @extend_schema_field(serializers.CharField())
    def get_sentence(self, hold: StabilityHold) -> str:
        """In words."""
        return describe_hold(hold) if hold.lifted_at is None else f"Lifted: {hold.version.label} may ship again."

    @extend_schema_field(serializers.ListField(child=serializers.UUIDField()))
    def get_gating_actions(self, hold: StabilityHold) -> list[str]:
        """Until all of them are closed it stands."""
        return [str(gate.action_id) for gate in gates_of(hold)]


def rollback_path(rollback_id: Any) -> str:
    """A rollback's address in the API."""
    return f"/api/v1/rollbacks/{rollback_id}/"


def _in_order(rollback: Rollback) -> list[Any]:
    return sorted(rollback.parts.all(), key=lambda part: part.position)
