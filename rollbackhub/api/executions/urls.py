"""Addresses of executions."""

from __future__ import annotations

from django.urls import path

from rollbackhub.api.executions import views

urlpatterns = [
    path("executions/", views.ExecutionList.as_view(), name="executions"),
    path("executions/<uuid:execution_id>/", views.ExecutionOne.as_view(), name="execution"),
    path("executions/<uuid:execution_id>/samples/", views.ExecutionSamples.as_view(), name="execution-samples"),
]
