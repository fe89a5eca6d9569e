"""Every address under /api/."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path, re_path
from drf_spectacular.views import SpectacularAPIView

from rollbackhub.api.views import UnknownAddress

app_name = "api"

RESOURCES = [
    "rollbacks",
    "incidents",
    "drills",
    "drill_plans",
    "planned_drills",
    "quiet_periods",
    "calendar_feeds",
    "actions",
    "alerts",
    "alert_settings",
    "executions",
    "aliases",
    "policies",
    "gateways",
    "artefacts",
    "versions",
    "live",
    "preflight",
    "procedures",
    "coordinated",
    "retention",
    "releases",
    "reviews",
    "postmortems",
    "history_imports",
    "notification_channels",
    "notification_rules",
    "notification_deliveries",
    "audit",
    "tokens",
    "me",
]

urlpatterns: list[URLPattern | URLResolver] = [
    *(path("v1/", include(f"rollbackhub.api.{resource}.urls")) for resource in RESOURCES),
    path("schema/", SpectacularAPIView.as_view(), name="schema"),
    re_path(r"^.*$", UnknownAddress.as_view(), name="unknown"),
]
