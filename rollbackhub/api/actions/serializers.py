"""Actions as they are asked for and answered."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from rollbackhub.actions.domain.selectors import is_overdue
from rollbackhub.actions.enums import ActionKind, ActionOrigin, ActionState
from rollbackhub.actions.models import Action
from rollbackhub.api.fields import ApiModelSerializer, ApiSerializer, Choice, ChoiceOrNull

LONGEST_TEXT = 4000
CLOSED = [(state.value, state.label) for state in (ActionState.DONE, ActionState.NOT_DOING)]


class ActionFilters(ApiSerializer):
    """Query parameters of actions."""

    team = serializers.SlugField(required=False)
    owner = serializers.CharField(required=False, max_length=150, help_text="A username")
    state = Choice(ActionState.choices, required=False)
    overdue = serializers.BooleanField(required=False, help_text="true: open, and their day is over in the team's zone")
    origin = Choice(ActionOrigin.choices, required=False)


class ActionChange(ApiSerializer):
    """What of an open action is to be another; what is left out stays."""

    title = serializers.CharField(required=False, max_length=200)
    detail = serializers.CharField(required=False, max_length=LONGEST_TEXT, allow_blank=True)
    owner = serializers.CharField(required=False, max_length=150, help_text="Username of a person")
    due_on = serializers.DateField(required=False)


class ActionClose(ApiSerializer):
    """How it ends."""

    state = Choice(CLOSED, default=ActionState.DONE.value)
    reason = serializers.CharField(required=False, default="", max_length=LONGEST_TEXT, allow_blank=True, help_text="not_doing needs one")


class ActionReopen(ApiSerializer):
    """Why it is open again."""

    reason = serializers.CharField(max_length=LONGEST_TEXT)
    due_on = serializers.DateField(required=False, allow_null=True, default=None, help_text="A new day; null: the same")


class ActionRow(ApiModelSerializer):
    """Something to do by a day."""

    url = serializers.SerializerMethodField()
    team = serializers.CharField(source="team.slug")
    owner = serializers.CharField(source="owner.username")
    state = Choice(ActionState.choices)
    origin = Choice(ActionOrigin.choices)
    kind = ChoiceOrNull(ActionKind.choices, help_text="Of a postmortem's action")
    overdue = serializers.SerializerMethodField(help_text="Open, and its day is over in the team's zone")
    created_by = serializers.CharField(source="created_by_label")
    closed_by = serializers.CharField(source="closed_by_label")

    class Meta:
        model = Action
        fields = [
            *("id", "url", "title", "detail", "team", "owner", "due_on", "state", "overdue"),
            *("origin", "origin_label", "origin_url", "kind", "is_gating", "is_lab", "created_by", "created_at", "closed_at", "closed_by", "closed_reason"),
        ]

    @extend_schema_field(serializers.CharField())
    def get_url(self, action: Action) -> str:
        """Path of the API."""
        return f"/api/v1/actions/{action.pk}/"

    @extend_schema_field(serializers.BooleanField())
    def get_overdue(self, action: Action) -> bool:
        """By the team's clock."""
        return is_overdue(action)
