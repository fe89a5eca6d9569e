"""Addresses of planned drills."""

from __future__ import annotations

from django.urls import path

from rollbackhub.api.planned_drills import views

urlpatterns = [
    path("planned-drills/", views.PlannedDrillList.as_view(), name="planned-drills"),
    path("planned-drills/<int:planned_id>/", views.PlannedDrillOne.as_view(), name="planned-drill"),
    path("planned-drills/<int:planned_id>/start/", views.PlannedDrillStart.as_view(), name="planned-drill-start"),
    path("planned-drills/<int:planned_id>/excuse/", views.PlannedDrillExcuse.as_view(), name="planned-drill-excuse"),
]
