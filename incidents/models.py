"""Incidents, the rollbacks that belong to them, what people note about them, and what they corrected."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from incidents.enums import How, IncidentState, Matter, Severity, Source
from rollbackhub.registry.models import Environment, Version
from rollbackhub.rollbacks.enums import RollbackState
from rollbackhub.rollbacks.models import Rollback
from rollbackhub.routing.models import RoutingPolicy


class Incident(models.Model):
    """Something went wrong for those who use some aliases of an environment. What its rollbacks know is filled in from them."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    title = models.CharField(max_length=200)
    state = models.CharField(max_length=10, choices=IncidentState, default=IncidentState.OPEN)
    severity = models.CharField(max_length=4, choices=Severity, default=Severity.SEV2)
    source = models.CharField(max_length=10, choices=Source, default=Source.ROLLBACK)
    summary = models.TextField(blank=True, help_text="What is wrong, in the words of who opened it")
    opened_by_label = models.CharField(max_length=200, blank=True, help_text="The actor that opened it")
    commander = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+", help_text="Who leads the response"
    )
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="incidents")
    aliases = models.ManyToManyField(RoutingPolicy, related_name="incidents")
    versions = models.ManyToManyField(Version, related_name="incidents", help_text="Named by people; those that its rollbacks took out come besides")
    is_lab = models.BooleanField(default=False)
    opened_at = models.DateTimeField()
    stable_at = models.DateTimeField(null=True, help_text="When it was shown that the harm is over")
    stable_by_label = models.CharField(max_length=200, blank=True, help_text="The person who said so; empty: the rollbacks showed it")
    stable_evidence = models.TextField(blank=True, help_text="What that person saw")
    closed_at = models.DateTimeField(null=True, help_text="When a person had looked at all of it")
    closed_by_label = models.CharField(max_length=200, blank=True)
    closed_reason = models.TextField(blank=True, help_text="What was looked at")
    reopened_at = models.DateTimeField(null=True, help_text="When a person said that it is not over: what was shown before does not count any more")
    named_detected_at = models.DateTimeField(null=True, help_text="The earliest that an alert or a person names, beside the rollbacks")
    named_detected_by = models.CharField(max_length=200, blank=True)
    impact = models.TextField(blank=True, help_text="What users saw of it, in words; written as a correction")

    # Filled in from the rollbacks. What a person corrected stands instead, until it is withdrawn (IncidentCorrection).
    detected_at = models.DateTimeField(null=True, help_text="The earliest that is named")
    detected_by = models.CharField(max_length=200, blank=True)
    decided_at = models.DateTimeField(null=True, help_text="The first decision that was carried out; until then the first that was taken")
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    authorised_at = models.DateTimeField(null=True)
    authorised_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    authority = models.TextField(blank=True, help_text="In words: by what authority")
    restored_at = models.DateTimeField(null=True, help_text="When the last of the rollbacks was restored")
    verified_at = models.DateTimeField(null=True, help_text="When the last of them was verified")
    exposure_observed = models.PositiveBigIntegerField(null=True, help_text="Requests that bad versions served, by counters")
    exposure_estimated = models.PositiveBigIntegerField(null=True, help_text="Requests before the counters were first read, by rate")
    exposure_basis = models.TextField(blank=True)
    outcome = models.TextField(blank=True, help_text="What the rollbacks say of themselves")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["-opened_at"]
        constraints = [
            models.CheckConstraint(condition=models.Q(state__in=IncidentState.values), name="incident_state_known"),
            models.CheckConstraint(condition=models.Q(severity__in=Severity.values), name="incident_severity_known"),
            models.CheckConstraint(condition=models.Q(source__in=Source.values), name="incident_source_known"),
            models.CheckConstraint(condition=models.Q(state=IncidentState.CLOSED) ^ models.Q(closed_at=None), name="incident_closed_has_instant"),
            models.CheckConstraint(condition=~models.Q(state=IncidentState.STABLE) | models.Q(stable_at__isnull=False), name="incident_stable_has_instant"),
            models.CheckConstraint(condition=~models.Q(state=IncidentState.OPEN) | models.Q(stable_at=None), name="incident_open_is_not_stable"),
            models.CheckConstraint(condition=models.Q(stable_by_label="") | ~models.Q(stable_evidence=""), name="incident_stable_by_a_person_has_evidence"),
        ]
        indexes = [
            models.Index(fields=["-opened_at"], name="incident_newest"),
            models.Index(fields=["environment", "-opened_at"], condition=~models.Q(state=IncidentState.CLOSED), name="incident_not_closed"),
        ]

    def __str__(self) -> str:
        return self.title


class IncidentRollback(models.Model):
    """A rollback of an incident, and how far it was followed."""

    incident = models.ForeignKey(Incident, on_delete=models.PROTECT, related_name="rollback_links")
    rollback = models.OneToOneField(Rollback, on_delete=models.PROTECT, related_name="incident_link")
    how = models.CharField(max_length=10, choices=How)
    followed_number = models.PositiveIntegerField(help_text="The rollback's number when it was looked at last")
    followed_state = models.CharField(max_length=20, choices=RollbackState)
    over_at = models.DateTimeField(null=True, help_text="When this rollback showed that the harm is over")
    changes_no_more = models.BooleanField(default=False, help_text="The rollback has reached its last state")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["incident", "created_at", "id"]
        indexes = [models.Index(fields=["rollback"], condition=models.Q(changes_no_more=False), name="incident_rollback_to_follow")]

    def __str__(self) -> str:
        return f"{self.rollback} of {self.incident}"


class IncidentNote(models.Model):
    """What a person has to say about an incident, in Markdown, as it is now. Every former text stands in its texts."""

    incident = models.ForeignKey(Incident, on_delete=models.PROTECT, related_name="notes")
    number = models.PositiveIntegerField(default=1, help_text="Counts its texts: nobody writes over another's unknowingly")
    about_at = models.DateTimeField(help_text="The instant that it is about")
    text = models.TextField()
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    author_label = models.CharField(max_length=200)
    written_at = models.DateTimeField()
    withdrawn_at = models.DateTimeField(null=True, help_text="It is kept, and shown as struck")
    withdrawn_by_label = models.CharField(max_length=200, blank=True)
    withdrawn_reason = models.TextField(blank=True)

    class Meta:
        ordering = ["incident", "about_at", "id"]
        constraints = [models.CheckConstraint(condition=models.Q(withdrawn_at=None) ^ ~models.Q(withdrawn_by_label=""), name="note_withdrawn_by_somebody")]

    def __str__(self) -> str:
        return f"note {self.pk} of {self.incident_id}"


class IncidentNoteText(models.Model):
    """One text that a note had, from the first to the present one. Never changed."""

    append_only = True

    note = models.ForeignKey(IncidentNote, on_delete=models.PROTECT, related_name="texts")
    number = models.PositiveIntegerField()
    about_at = models.DateTimeField()
    text = models.TextField()
    by_label = models.CharField(max_length=200)
    written_at = models.DateTimeField()

    class Meta:
        ordering = ["note", "number"]
        constraints = [models.UniqueConstraint(fields=["note", "number"], name="note_text_once")]

    def __str__(self) -> str:
        return f"text {self.number} of note {self.note_id}"


class IncidentCorrection(models.Model):
    """What a person says instead of what is reckoned. One stands for each matter; withdrawn ones are kept."""

    incident = models.ForeignKey(Incident, on_delete=models.PROTECT, related_name="corrections")
    matter = models.CharField(max_length=12, choices=Matter)
    value = models.JSONField(help_text="The columns of the incident, as the person says")
    before = models.JSONField(help_text="What stood there before")
    reason = models.TextField()
    made_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    made_by_label = models.CharField(max_length=200)
    made_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, help_text="When it was withdrawn, or another took its place")
    ended_by_label = models.CharField(max_length=200, blank=True)
    ended_reason = models.TextField(blank=True)

    class Meta:
        ordering = ["incident", "made_at", "id"]
        constraints = [
            models.UniqueConstraint(fields=["incident", "matter"], condition=models.Q(ended_at=None), name="correction_one_of_a_matter"),
            models.CheckConstraint(condition=models.Q(matter__in=Matter.values), name="correction_matter_known"),
            models.CheckConstraint(condition=~models.Q(reason=""), name="correction_has_reason"),
        ]

    def __str__(self) -> str:
        return f"{self.get_matter_display()} of {self.incident_id}"
