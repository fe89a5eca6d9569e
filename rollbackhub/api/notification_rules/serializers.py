"""What teams are told, as it is asked for and answered."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from rollbackhub.api.fields import ApiModelSerializer, ApiSerializer, Choice
from rollbackhub.notifications.catalogue import CHOOSABLE
from rollbackhub.notifications.enums import Digest
from rollbackhub.notifications.models import Rule

RULE_TOPICS = [(topic.value, topic.label) for topic in CHOOSABLE]


class RuleFilters(ApiSerializer):
    """Query parameters of rules."""

    team = serializers.SlugField(required=False)
    topic = Choice(RULE_TOPICS, required=False)


class NotificationRuleRequest(ApiSerializer):
    """What a team wants to be told of a topic from now on."""

    team = serializers.SlugField()
    topic = Choice(RULE_TOPICS)
    channels = serializers.ListField(child=serializers.UUIDField(), max_length=50, help_text="Of this team; empty: the topic is not told")
    digest = Choice(Digest.choices, default=Digest.AT_ONCE.value)
    daily_at = serializers.TimeField(required=False, allow_null=True, default=None, help_text="By the team's clock; a daily digest needs it")
    passes_quiet = serializers.BooleanField(required=False, allow_null=True, default=None, help_text="null: as the topic is, urgent or not")


class NotificationRuleRow(ApiModelSerializer):
    """That a team wants a topic told, where and how soon."""

    team = serializers.CharField(source="team.slug")
    topic = Choice(RULE_TOPICS)
    digest = Choice(Digest.choices)
    channels = serializers.SerializerMethodField()

    class Meta:
        model = Rule
        fields = ["id", "team", "topic", "channels", "digest", "daily_at", "passes_quiet"]

    @extend_schema_field(serializers.ListField(child=serializers.UUIDField()))
    def get_channels(self, rule: Rule) -> list[str]:
        """Their ids."""
        return sorted(str(channel.pk) for channel in rule.channels.all())


class NotificationRuleAnswer(ApiSerializer):
    """The rule that there is now."""

    rule = NotificationRuleRow(allow_null=True, help_text="null: the topic is not told")


class QuietHoursBody(ApiSerializer):
    """When what is not urgent waits, by the team's clock."""

    starts = serializers.TimeField(allow_null=True, help_text="null with `ends`: no hours")
    ends = serializers.TimeField(allow_null=True, help_text="Before `starts`: on the next day")
    weekends = serializers.BooleanField(default=False, help_text="Saturday and Sunday as a whole")


def hours_of(quiet: Any) -> dict[str, Any]:
    """As they are answered; nulls when there are none."""
    if quiet is None or quiet.starts == quiet.ends:
        return {"starts": None, "ends": None, "weekends": bool(quiet and quiet.weekends)}
    return {"starts": quiet.starts.isoformat(), "ends": quiet.ends.isoformat(), "weekends": quiet.weekends}
