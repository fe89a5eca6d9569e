"""Addresses of retention, and of what ends it."""

from __future__ import annotations

from django.urls import path

from rollbackhub.api.retention import views

urlpatterns = [
    path("retention/", views.RetentionList.as_view(), name="retention"),
    path("artefacts/<slug:slug>/versions/<int:version_id>/retire/", views.VersionRetire.as_view(), name="version-retire"),
    path("artefacts/<slug:slug>/versions/<int:version_id>/archive/", views.VersionArchive.as_view(), name="version-archive"),
    path(
        "artefacts/<slug:slug>/versions/<int:version_id>/provider-retirement/",
        views.VersionProviderRetirement.as_view(),
        name="version-provider-retirement",
    ),
]
