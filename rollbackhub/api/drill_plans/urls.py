"""Addresses of drill plans."""

from __future__ import annotations

from django.urls import path

from rollbackhub.api.drill_plans import views

urlpatterns = [
    path("drill-plans/", views.DrillPlanList.as_view(), name="drill-plans"),
    path("drill-plans/<int:plan_id>/", views.DrillPlanOne.as_view(), name="drill-plan"),
    path("drill-plans/<int:plan_id>/end/", views.DrillPlanEnd.as_view(), name="drill-plan-end"),
]
