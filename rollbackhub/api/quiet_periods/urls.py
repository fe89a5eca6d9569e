"""Addresses of quiet periods."""

from __future__ import annotations

from django.urls import path

from rollbackhub.api.quiet_periods import views

urlpatterns = [
    path("quiet-periods/", views.QuietList.as_view(), name="quiet-periods"),
    path("quiet-periods/<int:quiet_id>/", views.QuietOne.as_view(), name="quiet-period"),
]
