"""Addresses of the continuous preflight."""

from __future__ import annotations

from django.urls import path

from rollbackhub.api.preflight import views

urlpatterns = [
    path("preflight/", views.PreflightState.as_view(), name="preflight"),
    path("preflight/findings/", views.PreflightFindings.as_view(), name="preflight-findings"),
    path("preflight/run/", views.PreflightRunNow.as_view(), name="preflight-run"),
]
