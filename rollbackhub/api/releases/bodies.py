"""What is sent about releases."""

from __future__ import annotations

from rest_framework import serializers

from rollbackhub.api.fields import ApiSerializer, Choice
from rollbackhub.releases.enums import ReleaseState
from rollbackhub.releases.rules import MAX_STEPS
from rollbackhub.rollbacks.rules import MAX_REASON


class ReleaseFilters(ApiSerializer):
    """Query parameters of the list of releases."""

    alias = serializers.SlugField(required=False, help_text="Of this alias only")
    environment = serializers.SlugField(required=False, help_text="This environment only")
    state = Choice(ReleaseState.choices, required=False)
    bypassed = serializers.BooleanField(required=False, help_text="true: only those whose gate a lead bypassed")


class ReleaseRequest(ApiSerializer):
    """A release to plan. Nothing of the traffic changes before its first promotion."""

    environment = serializers.SlugField(default="production", help_text="A production environment")
    alias = serializers.SlugField(max_length=80, help_text="The alias that gets the version, e.g. smart-reasoner")
    to_version = serializers.CharField(max_length=120, help_text="The label of the version to release")
    from_version = serializers.CharField(
        required=False, allow_null=True, default=None, max_length=120, help_text="What a rollback goes back to; without it the version that serves most now"
    )
    candidate_id = serializers.CharField(
        required=False,
        default="",
        max_length=160,
        allow_blank=True,
        help_text="The candidate that serves it (provider:model:region); without it like that of from_version",
    )
    steps = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=100),
        required=False,
        allow_null=True,
        default=None,
        max_length=MAX_STEPS,
        help_text="Percent of the traffic at each canary step, rising to 100; without it those of the change type",
    )
    note = serializers.CharField(required=False, default="", max_length=300, allow_blank=True, help_text="For the record")


class PromoteRequest(ApiSerializer):
    """The next canary step."""

    expected_step = serializers.IntegerField(min_value=0, max_value=MAX_STEPS, help_text="`next_step` of the release that you looked at: 409 when it has moved")


class ReleaseReasonRequest(ApiSerializer):
    """Why, for the record."""

    reason = serializers.CharField(max_length=MAX_REASON, help_text="Why, for the record")
