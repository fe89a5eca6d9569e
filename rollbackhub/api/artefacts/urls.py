"""Addresses of artefacts and versions."""

from __future__ import annotations

from django.urls import path

from rollbackhub.api.artefacts import views

urlpatterns = [
    path("artefacts/", views.ArtefactList.as_view(), name="artefacts"),
    path("artefacts/<slug:slug>/", views.ArtefactOne.as_view(), name="artefact"),
    path("artefacts/<slug:slug>/checks/", views.ArtefactChecks.as_view(), name="artefact-checks"),
    path("artefacts/<slug:slug>/versions/", views.VersionList.as_view(), name="versions"),
    path("artefacts/<slug:slug>/versions/<int:version_id>/", views.VersionOne.as_view(), name="version"),
]
