"""Quarterly reviews as they are answered and opened."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from rollbackhub.accounts.enums import Role
from rollbackhub.accounts.models import Team, User
from rollbackhub.actions.enums import ActionState
from rollbackhub.api.fields import ApiModelSerializer, ApiSerializer, Choice, Instant, Seconds
from rollbackhub.reviews.domain.selectors import Record
from rollbackhub.reviews.enums import Agenda, ReviewState
from rollbackhub.reviews.models import Review
from rollbackhub.reviews.rules import DEFAULT_ROLES, quarter_from


class QuarterField(serializers.CharField):
    """A quarter by its name."""

    def to_internal_value(self, data: Any) -> Any:
        """Its first day. Raises ValidationError."""
        day = quarter_from(super().to_internal_value(data))
        if day is None:
            raise serializers.ValidationError("Write a quarter as 2026-Q3.")
        return day


class ReviewFilters(ApiSerializer):
    """Query parameters of the list."""

    team = serializers.SlugField(required=False, help_text="Of this team only")
    quarter = serializers.RegexField(r"^20[2-9]\d[- ]Q[1-4]$", required=False, help_text="e.g. 2026-Q3")
    state = Choice(ReviewState.choices, required=False)


class OpenReviewRequest(ApiSerializer):
    """A review to open."""

    team = serializers.SlugRelatedField(slug_field="slug", queryset=Team.objects.all(), help_text="The team's slug")
    quarter = QuarterField(help_text="e.g. 2026-Q3")
    meets_at = serializers.DateTimeField(required=False, allow_null=True, default=None, help_text="Its figures are frozen a day before; without it at once")
    presenter = serializers.SlugRelatedField(
        slug_field="username", queryset=User.objects.all(), required=False, allow_null=True, default=None, help_text="A username"
    )
    sign_off_roles = serializers.ListField(
        child=Choice(Role.choices), required=False, default=[role.value for role in DEFAULT_ROLES], help_text="One person of each signs"
    )


class ReviewRow(ApiModelSerializer):
    """A review in a list."""

    url = serializers.SerializerMethodField(help_text="Its address in this API")
    page = serializers.SerializerMethodField(help_text="Its page for people")
    team = serializers.CharField(source="team.slug")
    quarter = serializers.CharField(source="quarter_name", help_text="e.g. 2026 Q3")
    state = Choice(ReviewState.choices)
    presenter = serializers.SerializerMethodField(help_text="A username; null when nobody is named")
    sign_off_roles = serializers.ListField(child=Choice(Role.choices))
    amends = serializers.UUIDField(source="amends_id", allow_null=True, help_text="The signed review that this one amends")
    prepare_seconds = Seconds(allow_null=True, help_text="How long its queries took")

    class Meta:
        model = Review
        fields = [
            "id",
            "url",
            "page",
            "team",
            "quarter",
            "state",
            "meets_at",
            "presenter",
            "sign_off_roles",
            "amends",
            "amendment_reason",
            "prepared_at",
            "prepare_seconds",
            "prepare_problem",
            "held_at",
            "signed_at",
            "is_lab",
            "created_at",
        ]

    @extend_schema_field(serializers.CharField())
    def get_url(self, review: Review) -> str:
        """Path of the API."""
        return review_path(review)

    @extend_schema_field(serializers.CharField())
    def get_page(self, review: Review) -> str:
        """Path of the page."""
        return f"/reviews/{review.pk}/"

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_presenter(self, review: Review) -> str | None:
        """None when nobody is named."""
        return review.presenter.username if review.presenter else None


class ReviewItemRow(serializers.Serializer[Any]):
    """An item of the agenda, as it was frozen, with its minutes."""

    agenda = Choice(Agenda.choices)
    title = serializers.CharField(source="get_agenda_display")
    headline = serializers.CharField(help_text="The finding in one sentence")
    content = serializers.DictField(help_text="tables (title, columns, rows), figures (as Plotly's JSON), notes, empty")
    query_seconds = Seconds()
    minutes = serializers.CharField(help_text="Markdown")


class ReviewDecisionRow(serializers.Serializer[Any]):
    """A decision."""

    text = serializers.CharField()
    owner = serializers.CharField(source="owner_label")
    decided_at = Instant()


class ReviewActionRow(serializers.Serializer[Any]):
    """An action, as the meeting agreed it, and where it stands now."""

    id = serializers.UUIDField(source="action_id", help_text="The action's")
    title = serializers.CharField()
    owner = serializers.CharField(source="owner_label")
    due_on = serializers.DateField()
    state = Choice(ActionState.choices, source="action.state")


class SignOffRow(serializers.Serializer[Any]):
    """A signature."""

    role = Choice(Role.choices)
    by = serializers.CharField(source="signer_label")
    note = serializers.CharField()
    signed_at = Instant()


class ReviewDetail(serializers.Serializer[Any]):
    """A review with its agenda and its record."""

    review = ReviewRow()
    agenda = ReviewItemRow(source="items", many=True, help_text="In the order of the meeting; empty until it is prepared")
    attendance = serializers.SerializerMethodField(help_text="Names")
    wanted_decisions = serializers.SerializerMethodField(help_text="What people asked the meeting to decide")
    decisions = ReviewDecisionRow(many=True)
    actions = ReviewActionRow(many=True)
    sign_offs = SignOffRow(many=True)
    missing_roles = serializers.ListField(child=Choice(Role.choices), help_text="Roles that have not signed")

    @extend_schema_field(serializers.ListField(child=serializers.CharField()))
    def get_attendance(self, record: Record) -> list[str]:
        """By name."""
        return [row.name for row in record.attendance]

    @extend_schema_field(serializers.ListField(child=serializers.CharField()))
    def get_wanted_decisions(self, record: Record) -> list[str]:
        """In the order in which they were asked."""
        return [wish.text for wish in record.wishes]


def review_path(review: Review) -> str:
    """A review's address in the API."""
    return f"/api/v1/reviews/{review.pk}/"
