"""Addresses of drills."""

from __future__ import annotations

from django.urls import path

from rollbackhub.api.drills import views

urlpatterns = [
    path("drills/", views.DrillList.as_view(), name="drills"),
    path("drills/<uuid:drill_id>/", views.DrillOne.as_view(), name="drill"),
    path("drills/<uuid:drill_id>/samples/", views.DrillSamples.as_view(), name="drill-samples"),
    path("drills/<uuid:drill_id>/cancel/", views.DrillCancel.as_view(), name="drill-cancel"),
    path("drills/<uuid:drill_id>/retry/", views.DrillRetry.as_view(), name="drill-retry"),
    path("drills/<uuid:drill_id>/close/", views.DrillClose.as_view(), name="drill-close"),
]
