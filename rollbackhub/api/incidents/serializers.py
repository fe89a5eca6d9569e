"""Incidents as they are answered."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from incidents.domain.acts import details_hash
from incidents.domain.corrections import list_corrections
from incidents.domain.selectors import list_versions_of
from incidents.enums import How, IncidentState, Matter, Severity, Source
from incidents.models import Incident, IncidentCorrection, IncidentNote, IncidentNoteText
from rollbackhub.api.fields import ApiModelSerializer, Choice, Instant
from rollbackhub.rollbacks.enums import RollbackState


def incident_path(incident_id: Any) -> str:
    """An incident's address in the API."""
    return f"/api/v1/incidents/{incident_id}/"


class IncidentRow(ApiModelSerializer):
    """An incident in a list."""

    url = serializers.SerializerMethodField(help_text="Its address in this API")
    page = serializers.SerializerMethodField(help_text="Its page for people")
    state = Choice(IncidentState.choices)
    severity = Choice(Severity.choices)
    source = Choice(Source.choices, help_text="What opened it")  # type: ignore[assignment]
    environment = serializers.CharField(source="environment.slug")
    aliases = serializers.SerializerMethodField(help_text="Whom it hurts, by name")
    commander = serializers.CharField(source="commander.username", allow_null=True, default=None, help_text="Who leads the response; null: nobody")
    detected_at = Instant(allow_null=True, help_text="The earliest that is named, unless a person corrected it")

    class Meta:
        model = Incident
        fields = [
            *("id", "url", "page", "title", "state", "severity", "source", "environment", "aliases", "commander"),
            *("detected_at", "detected_by", "opened_at", "stable_at", "closed_at", "is_lab"),
        ]

    @extend_schema_field(serializers.CharField())
    def get_url(self, incident: Incident) -> str:
        """Path of the API."""
        return incident_path(incident.pk)

    @extend_schema_field(serializers.CharField())
    def get_page(self, incident: Incident) -> str:
        """Path of the page."""
        return f"/incidents/{incident.pk}/"

    @extend_schema_field(serializers.ListField(child=serializers.CharField()))
    def get_aliases(self, incident: Incident) -> list[str]:
        """Sorted."""
        return sorted(policy.alias for policy in incident.aliases.all())


class RollbackOfIncident(serializers.Serializer[Any]):
    """A rollback of an incident."""

    id = serializers.UUIDField(source="rollback_id")
    url = serializers.SerializerMethodField()
    page = serializers.SerializerMethodField()
    state = Choice(RollbackState.choices, source="rollback.state")
    how = Choice(How.choices, help_text="Whether it opened the incident or joined it")

    @extend_schema_field(serializers.CharField())
    def get_url(self, link: Any) -> str:
        """Path of the API."""
        return f"/api/v1/rollbacks/{link.rollback_id}/"

    @extend_schema_field(serializers.CharField())
    def get_page(self, link: Any) -> str:
        """Path of the page."""
        return f"/rollbacks/{link.rollback_id}/"


class VersionOfIncident(serializers.Serializer[Any]):
    """A version that an incident is about."""

    artefact = serializers.CharField()
    version = serializers.CharField()
    by_rollback = serializers.BooleanField(help_text="A rollback of the incident took it out; else a person named it")


class CorrectionRow(ApiModelSerializer):
    """What a person says instead of what is reckoned."""

    matter = Choice(Matter.choices)
    value = serializers.DictField(help_text="The incident's members as the person says")
    before = serializers.DictField(help_text="What stood there before")
    made_by = serializers.CharField(source="made_by_label")
    ended_by = serializers.CharField(source="ended_by_label")

    class Meta:
        model = IncidentCorrection
        fields = ["id", "matter", "value", "before", "reason", "made_by", "made_at", "ended_at", "ended_by", "ended_reason"]


class IncidentDetail(IncidentRow):
    """An incident with what its rollbacks know of it and what people said."""

    decided_by = serializers.CharField(source="decided_by.username", allow_null=True, default=None)
    authorised_by = serializers.CharField(source="authorised_by.username", allow_null=True, default=None)
    opened_by = serializers.CharField(source="opened_by_label")
    stable_by = serializers.CharField(source="stable_by_label", help_text="The person who said so; empty: the rollbacks showed it")
    closed_by = serializers.CharField(source="closed_by_label")
    details_hash = serializers.SerializerMethodField(help_text="Of title and summary: send it as seen_hash when you change them")
    rollbacks = serializers.SerializerMethodField()
    versions = serializers.SerializerMethodField()
    corrections = serializers.SerializerMethodField(help_text="Those that stand")

    class Meta(IncidentRow.Meta):
        fields = [
            *IncidentRow.Meta.fields,
            *("summary", "details_hash", "impact", "opened_by", "stable_by", "stable_evidence", "closed_by", "closed_reason", "reopened_at"),
            *("decided_at", "decided_by", "authorised_at", "authorised_by", "authority", "restored_at", "verified_at"),
            *("exposure_observed", "exposure_estimated", "exposure_basis", "outcome", "rollbacks", "versions", "corrections"),
        ]

    @extend_schema_field(serializers.CharField())
    def get_details_hash(self, incident: Incident) -> str:
        """SHA-256, hexadecimal."""
        return details_hash(incident)

    @extend_schema_field(RollbackOfIncident(many=True))
    def get_rollbacks(self, incident: Incident) -> Any:
        """One query."""
        return RollbackOfIncident(incident.rollback_links.select_related("rollback"), many=True).data

    @extend_schema_field(VersionOfIncident(many=True))
    def get_versions(self, incident: Incident) -> Any:
        """Two queries."""
        found = [{"artefact": version.artefact.slug, "version": version.label, "by_rollback": by} for version, by in list_versions_of(incident)]
        return VersionOfIncident(found, many=True).data

    @extend_schema_field(CorrectionRow(many=True))
    def get_corrections(self, incident: Incident) -> Any:
        """One query."""
        return CorrectionRow([correction for correction in list_corrections(incident) if correction.ended_at is None], many=True).data


class NoteRow(ApiModelSerializer):
    """A note as it is now."""

    author = serializers.CharField(source="author_label")
    withdrawn_by = serializers.CharField(source="withdrawn_by_label")

    class Meta:
        model = IncidentNote
        fields = ["id", "number", "about_at", "text", "author", "written_at", "withdrawn_at", "withdrawn_by", "withdrawn_reason"]


class NoteTextRow(ApiModelSerializer):
    """A text that a note had."""

    by = serializers.CharField(source="by_label")

    class Meta:
        model = IncidentNoteText
        fields = ["number", "about_at", "text", "by", "written_at"]


class NoteDetail(NoteRow):
    """A note with every text that it had, the newest first."""

    texts = serializers.SerializerMethodField()

    class Meta(NoteRow.Meta):
        fields = [*NoteRow.Meta.fields, "texts"]

    @extend_schema_field(NoteTextRow(many=True))
    def get_texts(self, note: IncidentNote) -> Any:
        """One query."""
        return NoteTextRow(note.texts.order_by("-number"), many=True).data


class LineRow(serializers.Serializer[Any]):
    """One thing that happened."""

    at = Instant()
    kind = Choice([("detected", "Detected"), ("event", "Recorded"), ("step", "A step"), ("note", "A note")])
    words = serializers.CharField()
    detail = serializers.CharField(help_text="A reason, evidence, a message; may be empty")
    who = serializers.CharField(help_text="May be empty")
    who_kind = serializers.CharField(help_text="person, token or system")
    url = serializers.CharField(help_text="The page of what it is about; may be empty")
    event = serializers.CharField(help_text="The audit event's name; empty for steps and notes")
    failed = serializers.BooleanField()
    note = serializers.IntegerField(source="note.pk", allow_null=True, default=None, help_text="Its id among the notes")


class TimelineDetail(serializers.Serializer[Any]):
    """What happened, the earliest first."""

    lines = LineRow(many=True)
    is_whole = serializers.BooleanField(help_text="false: only the newest is shown")
