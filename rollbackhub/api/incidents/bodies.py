"""What is sent about incidents."""

from __future__ import annotations

from rest_framework import serializers

from incidents.domain.corrections import MOST_REQUESTS
from incidents.enums import IncidentState, Matter, Severity
from incidents.rules import LONGEST_NOTE, LONGEST_TEXT, LONGEST_TITLE
from rollbackhub.api.fields import ApiSerializer, Choice

TAKE, HAND_OVER, GIVE_UP = "take", "hand_over", "give_up"
MOST_NAMED = 100


class IncidentFilters(ApiSerializer):
    """Query parameters of the list of incidents."""

    state = Choice(IncidentState.choices, required=False)
    severity = Choice(Severity.choices, required=False)
    environment = serializers.SlugField(required=False, help_text="This environment only")
    alias = serializers.SlugField(required=False, help_text="That hurt this alias")
    team = serializers.SlugField(required=False, help_text="That hurt an alias of this team's artefacts")


class OpenIncidentRequest(ApiSerializer):
    """An incident to open by hand. Rollbacks open theirs by themselves."""

    title = serializers.CharField(max_length=LONGEST_TITLE, help_text="What is wrong, in a line")
    environment = serializers.SlugField(default="production")
    aliases = serializers.ListField(child=serializers.SlugField(max_length=80), max_length=MOST_NAMED, help_text="Whom it hurts: at least one")
    severity = Choice(Severity.choices, default=Severity.SEV2.value)
    summary = serializers.CharField(required=False, default="", max_length=LONGEST_TEXT, allow_blank=True, help_text="Markdown")
    detected_at = serializers.DateTimeField(required=False, allow_null=True, default=None, help_text="When it was noticed")
    detected_by = serializers.CharField(required=False, default="", max_length=200, allow_blank=True, help_text="How it was noticed")
    take_command = serializers.BooleanField(default=False, help_text="true: you lead the response")


class DetailsRequest(ApiSerializer):
    """What of an incident is to read otherwise; what is left out stays."""

    title = serializers.CharField(required=False, max_length=LONGEST_TITLE)
    summary = serializers.CharField(required=False, max_length=LONGEST_TEXT, allow_blank=True, help_text="Markdown")
    seen_hash = serializers.CharField(max_length=64, help_text="The details_hash of what you read: 409 details_moved when somebody has written since")


class SeverityRequest(ApiSerializer):
    """How bad it is."""

    severity = Choice(Severity.choices)
    reason = serializers.CharField(required=False, default="", max_length=LONGEST_TEXT, allow_blank=True)


class CommandRequest(ApiSerializer):
    """Who leads the response."""

    act = Choice([(TAKE, "Take it"), (HAND_OVER, "Hand it over"), (GIVE_UP, "Give it up")])
    instead_of = serializers.CharField(
        required=False,
        allow_null=True,
        default=None,
        max_length=150,
        help_text="take: who leads it as you saw it (a username); null: nobody",
    )
    to = serializers.CharField(required=False, allow_null=True, default=None, max_length=150, help_text="hand_over: a username")


class VersionName(ApiSerializer):
    """A version by its names."""

    artefact = serializers.SlugField(max_length=80)
    version = serializers.CharField(max_length=120, help_text="Its label")


class AffectedRequest(ApiSerializer):
    """Aliases and versions to add and to take off. What a rollback of the incident is about stays."""

    add_aliases = serializers.ListField(child=serializers.SlugField(max_length=80), required=False, default=list, max_length=MOST_NAMED)
    remove_aliases = serializers.ListField(child=serializers.SlugField(max_length=80), required=False, default=list, max_length=MOST_NAMED)
    add_versions = VersionName(many=True, required=False, default=list)
    remove_versions = VersionName(many=True, required=False, default=list)


class StableRequest(ApiSerializer):
    """That the harm is over, where no rollback has shown it."""

    evidence = serializers.CharField(max_length=LONGEST_TEXT, help_text="What you have seen that shows it")
    at = serializers.DateTimeField(required=False, allow_null=True, default=None, help_text="When it ceased; null: now")


class CloseIncidentRequest(ApiSerializer):
    """That a person has looked at all of it."""

    reason = serializers.CharField(
        required=False, default="", max_length=LONGEST_TEXT, allow_blank=True, help_text="What was looked at; needed unless the incident is stable"
    )


class IncidentReasonRequest(ApiSerializer):
    """Why, for the record."""

    reason = serializers.CharField(max_length=LONGEST_TEXT)


class NoteRequest(ApiSerializer):
    """A note."""

    text = serializers.CharField(max_length=LONGEST_NOTE, help_text="Markdown; HTML in it is shown as text")
    about_at = serializers.DateTimeField(required=False, allow_null=True, default=None, help_text="The instant that it is about; null: now")


class NoteEditRequest(ApiSerializer):
    """A note anew, whole."""

    text = serializers.CharField(max_length=LONGEST_NOTE, help_text="Markdown; HTML in it is shown as text")
    based_on = serializers.IntegerField(min_value=1, max_value=2**31 - 1, help_text="`number` of the note that you read")
    about_at = serializers.DateTimeField(required=False, allow_null=True, default=None, help_text="Null: as it was")


class CorrectionRequest(ApiSerializer):
    """What is right instead of what stands there, and why. Which members are needed depends on `matter`."""

    matter = Choice(Matter.choices)
    reason = serializers.CharField(max_length=LONGEST_TEXT, help_text="What the right figure comes from")
    detected_at = serializers.DateTimeField(required=False, allow_null=True, default=None, help_text="detection: when it was noticed")
    detected_by = serializers.CharField(required=False, default="", max_length=200, allow_blank=True, help_text="detection: how; empty: as it was")
    observed = serializers.IntegerField(
        required=False, allow_null=True, default=None, min_value=0, max_value=MOST_REQUESTS, help_text="exposure: requests that were counted"
    )
    estimated = serializers.IntegerField(
        required=False, allow_null=True, default=None, min_value=0, max_value=MOST_REQUESTS, help_text="exposure: requests that are estimated besides"
    )
    impact = serializers.CharField(required=False, default="", max_length=LONGEST_TEXT, allow_blank=True, help_text="impact: what users saw")
