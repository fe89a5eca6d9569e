"""Postmortems as they are answered, and what is sent about them."""

from __future__ import annotations

import datetime as dt
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from incidents.enums import IncidentState, Severity
from rollbackhub.actions.enums import ActionKind, ActionState
from rollbackhub.api.fields import ApiModelSerializer, ApiSerializer, Choice, ChoiceOrNull, Instant
from rollbackhub.postmortems.domain.search import LONGEST_QUERY
from rollbackhub.postmortems.domain.selectors import is_overdue
from rollbackhub.postmortems.enums import FactorAnswerValue, PostmortemState, ReviewVerdict, SectionKey
from rollbackhub.postmortems.models import Postmortem
from rollbackhub.postmortems.rules import MAX_REASON, MAX_TEXT, MAX_TITLE, MAX_WORDS


class PostmortemFilters(ApiSerializer):
    """Query parameters of the list."""

    state = Choice(PostmortemState.choices, required=False)
    severity = Choice(Severity.choices, required=False)
    team = serializers.SlugField(required=False)
    owner = serializers.CharField(required=False, max_length=150, help_text="A username")
    overdue = serializers.BooleanField(required=False, help_text="true: not published, and its day is over in the team's zone")
    cause = serializers.SlugField(required=False, max_length=80)


class PostmortemDraft(ApiSerializer):
    """Of which incident."""

    incident = serializers.UUIDField(help_text="The incident's id")


class SectionText(ApiSerializer):
    """A section, whole."""

    text = serializers.CharField(max_length=MAX_TEXT, allow_blank=True, trim_whitespace=False, help_text="Markdown")
    based_on = serializers.IntegerField(min_value=0, max_value=2**31 - 1, help_text="The number of the text that you began from")
    reason = serializers.CharField(required=False, default="", max_length=MAX_REASON, allow_blank=True, help_text="Of what is published: why it is amended")


class FactorAnswerText(ApiSerializer):
    """An answer to a question of the checklist."""

    answer = Choice(FactorAnswerValue.choices)
    words = serializers.CharField(required=False, default="", max_length=MAX_WORDS, allow_blank=True)
    based_on = serializers.IntegerField(min_value=0, max_value=2**31 - 1, help_text="The number of the answer that you saw")


class CauseNames(ApiSerializer):
    """All causes; what stood there before is replaced."""

    causes = serializers.ListField(child=serializers.SlugField(max_length=80), max_length=20, help_text="Slugs of the vocabulary")
    own = serializers.ListField(child=serializers.CharField(max_length=60), required=False, default=list, max_length=20, help_text="Names of other ones")


class PostmortemChange(ApiSerializer):
    """What is to be another; what is left out stays."""

    owner = serializers.CharField(required=False, max_length=150, help_text="Username of a person")
    due_on = serializers.DateField(required=False)


class ReviewerNames(ApiSerializer):
    """Who is asked."""

    reviewers = serializers.ListField(child=serializers.CharField(max_length=150), required=False, default=list, max_length=50, help_text="Usernames")


class ApprovalNote(ApiSerializer):
    """What a reviewer says."""

    seen = serializers.IntegerField(min_value=0, max_value=2**31 - 1, help_text="text_number of what you read: 409 text_moved when it has changed since")
    note = serializers.CharField(required=False, default="", max_length=MAX_WORDS, allow_blank=True)


class ChangesNote(ApprovalNote):
    """What has to change."""

    note = serializers.CharField(max_length=MAX_WORDS)


class ActionWanted(ApiSerializer):
    """An action to give."""

    title = serializers.CharField(max_length=MAX_TITLE)
    kind = Choice(ActionKind.choices)
    owner = serializers.CharField(max_length=150, help_text="Username of a person")
    due_on = serializers.DateField()
    detail = serializers.CharField(required=False, default="", max_length=MAX_WORDS, allow_blank=True)
    is_gating = serializers.BooleanField(required=False, default=False, help_text="The stability hold of the incident's versions waits for it")


class GatingChange(ApiSerializer):
    """Whether the hold waits for an action."""

    is_gating = serializers.BooleanField()
    reason = serializers.CharField(required=False, default="", max_length=MAX_REASON, allow_blank=True, help_text="false needs one, and a lead in person")


class SearchQuery(ApiSerializer):
    """What is looked for."""

    q = serializers.CharField(max_length=LONGEST_QUERY, help_text="Words, whole or begun")
    page = serializers.IntegerField(required=False, default=1, min_value=1, max_value=100_000)


class PostmortemRow(ApiModelSerializer):
    """A postmortem in a list."""

    url = serializers.SerializerMethodField(help_text="Its address in this API")
    page = serializers.SerializerMethodField(help_text="Its page for people")
    incident = serializers.UUIDField(source="incident_id")
    title = serializers.CharField(source="incident.title")
    severity = Choice(Severity.choices, source="incident.severity")
    state = Choice(PostmortemState.choices)
    team = serializers.SerializerMethodField(help_text="A slug; null when the incident names no alias")
    owner = serializers.SerializerMethodField(help_text="A username; null while nobody owns it")
    overdue = serializers.SerializerMethodField(help_text="Not published, and its day is over in the team's zone")
    published_by = serializers.CharField(source="published_by_label")
    closed_by = serializers.CharField(source="closed_by_label")

    class Meta:
        model = Postmortem
        fields = [
            *("id", "url", "page", "incident", "title", "severity", "state", "team", "owner", "due_on", "overdue", "number", "text_number"),
            *("published_at", "published_by", "closed_at", "closed_by", "is_lab", "created_at"),
        ]

    @extend_schema_field(serializers.CharField())
    def get_url(self, postmortem: Postmortem) -> str:
        """Path of the API."""
        return postmortem_path(postmortem)

    @extend_schema_field(serializers.CharField())
    def get_page(self, postmortem: Postmortem) -> str:
        """Path of the page."""
        return f"/postmortems/{postmortem.pk}/"

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_team(self, postmortem: Postmortem) -> str | None:
        """None when the incident names no alias."""
        return postmortem.team.slug if postmortem.team else None

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_owner(self, postmortem: Postmortem) -> str | None:
        """None while nobody owns it."""
        return postmortem.owner.username if postmortem.owner else None

    @extend_schema_field(serializers.BooleanField())
    def get_overdue(self, postmortem: Postmortem) -> bool:
        """By the team's clock."""
        return is_overdue(postmortem)


class PostmortemSectionRow(serializers.Serializer[Any]):
    """A section."""

    key = Choice(SectionKey.choices)
    title = serializers.CharField(source="get_key_display")
    text = serializers.CharField(help_text="Markdown")
    number = serializers.IntegerField(help_text="Send it as based_on")
    by = serializers.CharField(source="by_label")
    changed_at = Instant(allow_null=True)


class PostmortemFactorRow(serializers.Serializer[Any]):
    """A question of the checklist."""

    key = serializers.CharField(source="question.key")
    question = serializers.CharField(source="question.text")
    answer = ChoiceOrNull(FactorAnswerValue.choices)
    words = serializers.CharField()
    fact = serializers.CharField(help_text="What RollbackHub knows about it")
    number = serializers.IntegerField(help_text="Send it as based_on")
    by = serializers.CharField(source="by_label")


class PostmortemReviewerRow(serializers.Serializer[Any]):
    """A reviewer."""

    user = serializers.CharField(source="user.username")
    verdict = Choice(ReviewVerdict.choices)
    note = serializers.CharField()
    decided_at = Instant(allow_null=True)


class PostmortemActionRow(serializers.Serializer[Any]):
    """An action that came out of it."""

    id = serializers.UUIDField(source="action_id", help_text="The action's")
    title = serializers.CharField(source="action.title")
    kind = ChoiceOrNull(ActionKind.choices, source="action.kind")
    owner = serializers.CharField(source="action.owner.username")
    due_on = serializers.DateField(source="action.due_on")
    state = Choice(ActionState.choices, source="action.state")
    is_gating = serializers.BooleanField(source="action.is_gating")


class PostmortemCauseRow(serializers.Serializer[Any]):
    """A cause."""

    slug = serializers.CharField()
    name = serializers.CharField()


class KeptInstant(Instant):
    """An instant that is kept in JSON."""

    def to_representation(self, value: Any) -> Any:
        """As every other instant is written."""
        return super().to_representation(dt.datetime.fromisoformat(value))


class PostmortemMomentRow(serializers.Serializer[Any]):
    """Something that happened."""

    at = KeptInstant()
    words = serializers.CharField()
    by = serializers.CharField()
    url = serializers.CharField()


class PostmortemDetail(serializers.Serializer[Any]):
    """A postmortem with everything that belongs to it."""

    postmortem = PostmortemRow()
    sections = PostmortemSectionRow(many=True)
    factors = PostmortemFactorRow(many=True)
    causes = PostmortemCauseRow(many=True)
    reviewers = PostmortemReviewerRow(many=True)
    actions = PostmortemActionRow(many=True)
    facts = serializers.DictField(help_text="Exposure, durations in seconds, instants in UTC, segments; frozen when it was published")
    timeline = PostmortemMomentRow(many=True, help_text="The earliest first; frozen when it was published")


class SearchFound(serializers.Serializer[Any]):
    """One incident that was found, with its postmortem."""

    incident = serializers.UUIDField(source="incident_id")
    postmortem = serializers.UUIDField(source="postmortem_id", allow_null=True)
    title = serializers.CharField(source="plain_title")
    passages = serializers.CharField(source="plain_passages", help_text="Plain text")
    opened_at = Instant()
    incident_state = Choice(IncidentState.choices, source="state")
    severity = Choice(Severity.choices)
    postmortem_state = ChoiceOrNull(PostmortemState.choices)


class SearchAnswer(serializers.Serializer[Any]):
    """A page of what was found, the best first."""

    total = serializers.IntegerField(help_text="1000: there may be more; the newest 1,000 are ranked")
    page = serializers.IntegerField()
    pages = serializers.IntegerField()
    results = SearchFound(source="rows", many=True)


def postmortem_path(postmortem: Postmortem) -> str:
    """A postmortem's address in the API."""
    return f"/api/v1/postmortems/{postmortem.pk}/"
