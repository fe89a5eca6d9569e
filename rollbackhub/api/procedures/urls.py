"""Addresses of procedures."""

from __future__ import annotations

from django.urls import path

from rollbackhub.api.procedures import views

urlpatterns = [
    path("procedures/", views.ProcedureList.as_view(), name="procedures"),
    path("procedures/<slug:slug>/", views.ProcedureOne.as_view(), name="procedure"),
    path("procedures/<slug:slug>/versions/", views.ProcedureVersionList.as_view(), name="procedure-versions"),
]
