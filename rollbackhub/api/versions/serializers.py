"""Versions as they are asked for and registered."""

from __future__ import annotations

from rest_framework import serializers

from rollbackhub.api.artefacts.serializers import VersionFilters
from rollbackhub.api.fields import ApiSerializer
from rollbackhub.registry.domain.versions import LONGEST


class AllVersionsFilters(VersionFilters):
    """Query parameters of the list of all versions."""

    artefact = serializers.SlugField(required=False)


class VersionRequest(ApiSerializer):
    """A version to register."""

    artefact = serializers.SlugField(help_text="The artefact's short name")
    label = serializers.CharField(max_length=LONGEST["label"], help_text="Without spaces, e.g. v12; a label is given once")  # type: ignore[assignment]
    digest = serializers.CharField(
        max_length=LONGEST["digest"], required=False, default="", allow_blank=True, help_text="What it is, e.g. sha256:…; the same again is the same version"
    )
    uri = serializers.CharField(max_length=LONGEST["uri"], required=False, default="", allow_blank=True, help_text="Where it is; without passwords or keys")
    changelog = serializers.CharField(max_length=LONGEST["changelog"], required=False, default="", allow_blank=True)
    eval_reference = serializers.CharField(max_length=LONGEST["eval_reference"], required=False, default="", allow_blank=True)
    author = serializers.CharField(max_length=LONGEST["author"], required=False, default="", allow_blank=True, help_text="Who made it")
    parent = serializers.CharField(  # type: ignore[assignment]
        max_length=LONGEST["label"], required=False, default=None, allow_null=True, allow_blank=True, help_text="The label of the version that it was made from"
    )
    is_strategic = serializers.BooleanField(required=False, default=False, help_text="Its release was a strategic decision")
