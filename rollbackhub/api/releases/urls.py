"""Addresses of releases."""

from __future__ import annotations

from django.urls import path

from rollbackhub.api.releases import views

urlpatterns = [
    path("releases/", views.ReleaseList.as_view(), name="releases"),
    path("releases/<int:release_id>/", views.ReleaseOne.as_view(), name="release"),
    path("releases/<int:release_id>/gate/", views.ReleaseGate.as_view(), name="release-gate"),
    path("releases/<int:release_id>/promote/", views.ReleasePromote.as_view(), name="release-promote"),
    path("releases/<int:release_id>/rehearse/", views.ReleaseRehearse.as_view(), name="release-rehearse"),
    path("releases/<int:release_id>/bypass/", views.ReleaseBypass.as_view(), name="release-bypass"),
    path("releases/<int:release_id>/abandon/", views.ReleaseAbandon.as_view(), name="release-abandon"),
]
