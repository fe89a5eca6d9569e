"""Addresses of incidents."""

from __future__ import annotations

from django.urls import path

from rollbackhub.api.incidents import acts, notes, views

urlpatterns = [
    path("incidents/", views.IncidentList.as_view(), name="incidents"),
    path("incidents/<uuid:incident_id>/", views.IncidentOne.as_view(), name="incident"),
    path("incidents/<uuid:incident_id>/timeline/", views.IncidentTimeline.as_view(), name="incident-timeline"),
    path("incidents/<uuid:incident_id>/severity/", acts.IncidentSeverity.as_view(), name="incident-severity"),
    path("incidents/<uuid:incident_id>/command/", acts.IncidentCommand.as_view(), name="incident-command"),
    path("incidents/<uuid:incident_id>/affected/", acts.IncidentAffected.as_view(), name="incident-affected"),
    path("incidents/<uuid:incident_id>/stable/", acts.IncidentStable.as_view(), name="incident-stable"),
    path("incidents/<uuid:incident_id>/close/", acts.IncidentClose.as_view(), name="incident-close"),
    path("incidents/<uuid:incident_id>/reopen/", acts.IncidentReopen.as_view(), name="incident-reopen"),
    path("incidents/<uuid:incident_id>/notes/", notes.IncidentNotes.as_view(), name="incident-notes"),
    path("incidents/<uuid:incident_id>/notes/<int:note_id>/", notes.IncidentNoteOne.as_view(), name="incident-note"),
    path("incidents/<uuid:incident_id>/notes/<int:note_id>/withdraw/", notes.IncidentNoteWithdraw.as_view(), name="incident-note-withdraw"),
    path("incidents/<uuid:incident_id>/corrections/", notes.IncidentCorrections.as_view(), name="incident-corrections"),
    path("incidents/<uuid:incident_id>/corrections/<int:correction_id>/withdraw/", notes.IncidentCorrectionWithdraw.as_view(), name="incident-uncorrect"),
]
