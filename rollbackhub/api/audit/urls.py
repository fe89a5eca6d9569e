"""Addresses of the audit log."""

from __future__ import annotations

from django.urls import path

from rollbackhub.api.audit import views

urlpatterns = [
    path("audit/events/", views.AuditEventList.as_view(), name="audit-events"),
    path("audit/events/<int:event_id>/", views.AuditEventOne.as_view(), name="audit-event"),
]
