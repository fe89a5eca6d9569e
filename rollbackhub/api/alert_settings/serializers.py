"""Hooks, rules and automation, as they are asked for and answered. A hook's secret address is answered once."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from incidents.enums import Severity
from rollbackhub.alerts.domain.automation import MOST_PER_DAY
from rollbackhub.alerts.enums import HookKind, SuggestedAction
from rollbackhub.alerts.models import AlertHook, AlertRule, AutoRollback
from rollbackhub.alerts.rules import OPERATORS
from rollbackhub.api.fields import ApiModelSerializer, ApiSerializer, Choice, Instant
from rollbackhub.rollbacks.rules import MAX_REASON


class HookFilters(ApiSerializer):
    """Query parameters of hooks."""

    kind = Choice(HookKind.choices, required=False)
    active = serializers.BooleanField(required=False)


class HookRequest(ApiSerializer):
    """A hook to make."""

    kind = Choice(HookKind.choices)
    name = serializers.CharField(max_length=100)
    environment = serializers.SlugField(help_text="What its alerts are about")
    team = serializers.SlugField()
    signing_ref = serializers.CharField(
        required=False, default="", max_length=420, allow_blank=True, help_text="Of a signed hook: env:NAME or file:/path. Never the secret itself"
    )


class HookRow(ApiModelSerializer):
    """An address at which another system posts its alerts."""

    url = serializers.SerializerMethodField()
    kind = Choice(HookKind.choices)
    environment = serializers.CharField(source="environment.slug")
    team = serializers.CharField(source="team.slug")
    created_by = serializers.CharField(source="created_by.username")
    counts = serializers.DictField(source="counted_posts", child=serializers.IntegerField(), help_text="Posts taken, and refused by reason, since it was made")

    class Meta:
        model = AlertHook
        fields = [
            "id",
            "url",
            "kind",
            "name",
            "environment",
            "team",
            "signing_ref",
            "is_active",
            "created_by",
            "created_at",
            "ended_at",
            "last_seen_at",
            "counts",
        ]

    @extend_schema_field(serializers.CharField())
    def get_url(self, hook: AlertHook) -> str:
        """Path of the API."""
        return f"/api/v1/alert-hooks/{hook.pk}/"


class NewHookRow(HookRow):
    """A hook just made."""

    address = serializers.CharField(
        allow_null=True, help_text="Where to post; an Alertmanager's holds its secret and is shown this once. Null when a kept answer is given again"
    )

    class Meta(HookRow.Meta):
        fields = [*HookRow.Meta.fields, "address"]


class MatcherField(ApiSerializer):
    """One condition on a label."""

    label = serializers.CharField(max_length=100)  # type: ignore[assignment]  # a serializer has one of its own
    op = Choice(list(OPERATORS.items()))
    value = serializers.CharField(max_length=300, allow_blank=True)


class RuleRequest(ApiSerializer):
    """A rule."""

    name = serializers.CharField(max_length=100)
    hook = serializers.UUIDField(required=False, allow_null=True, default=None, help_text="null: of every hook")
    matchers = MatcherField(many=True, required=False, default=list, help_text="All must fit; none: every alert")
    alias = serializers.CharField(required=False, default="", max_length=80, allow_blank=True)
    alias_label = serializers.CharField(required=False, default="", max_length=100, allow_blank=True, help_text="Or the label that names the alias")
    severity = Choice(Severity.choices, default=Severity.SEV2.value)
    action = Choice(SuggestedAction.choices)
    is_active = serializers.BooleanField(default=True)


class RuleRow(ApiModelSerializer):
    """What is done about alerts with certain labels."""

    url = serializers.SerializerMethodField()
    hook = serializers.UUIDField(source="hook_id", allow_null=True)
    matchers = MatcherField(many=True)
    severity = Choice(Severity.choices)
    action = Choice(SuggestedAction.choices)
    changed_by = serializers.CharField(source="changed_by_label")

    class Meta:
        model = AlertRule
        fields = ["id", "url", "name", "position", "hook", "matchers", "alias", "alias_label", "severity", "action", "is_active", "changed_by", "created_at"]

    @extend_schema_field(serializers.CharField())
    def get_url(self, rule: AlertRule) -> str:
        """Path of the API."""
        return f"/api/v1/alert-rules/{rule.pk}/"


class AutoRow(ApiModelSerializer):
    """An alias whose proposed rollbacks may run by themselves."""

    environment = serializers.CharField(source="policy.environment.slug")
    alias = serializers.CharField(source="policy.alias")
    account = serializers.CharField(source="account.username")
    changed_by = serializers.CharField(source="changed_by.username")

    class Meta:
        model = AutoRollback
        fields = ["environment", "alias", "is_on", "account", "per_day", "reason", "changed_by", "changed_at"]


class AutomationRow(serializers.Serializer):  # type: ignore[type-arg]
    """The kill switch, and the aliases where it is turned on or was."""

    is_stopped = serializers.BooleanField(help_text="The kill switch is pulled: nothing runs by itself")
    per_day = serializers.IntegerField(help_text="Within 24 hours at most, of all aliases")
    changed_by = serializers.CharField(source="changed_by_label")
    changed_at = Instant(allow_null=True)
    reason = serializers.CharField()
    aliases = AutoRow(many=True)


class TurnOnRequest(ApiSerializer):
    """In whose name, and how often at most."""

    account = serializers.CharField(max_length=150, help_text="Username of a service account that may roll back")
    per_day = serializers.IntegerField(default=1, min_value=1, max_value=MOST_PER_DAY)
    reason = serializers.CharField(max_length=MAX_REASON)


class KillSwitchRequest(ApiSerializer):
    """Why, if there is time to say it."""

    reason = serializers.CharField(max_length=MAX_REASON, required=False, default="", allow_blank=True)


class SwitchRequest(ApiSerializer):
    """Why."""

    reason = serializers.CharField(max_length=MAX_REASON)
