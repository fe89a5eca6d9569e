"""Addresses of what teams are told."""

from __future__ import annotations

from django.urls import path

from rollbackhub.api.notification_rules import views

urlpatterns = [
    path("notification-rules/", views.RuleList.as_view(), name="notification-rules"),
    path("notification-rules/quiet-hours/<slug:team>/", views.QuietHoursOfTeam.as_view(), name="notification-quiet-hours"),
]
