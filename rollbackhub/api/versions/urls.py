"""Addresses of all versions."""

from __future__ import annotations

from django.urls import path

from rollbackhub.api.versions import views

urlpatterns = [path("versions/", views.AllVersions.as_view(), name="all-versions")]
