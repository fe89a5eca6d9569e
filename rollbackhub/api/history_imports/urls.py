"""Addresses of imports of history."""

from __future__ import annotations

from django.urls import path

from rollbackhub.api.history_imports import views

urlpatterns = [
    path("history-imports/", views.HistoryImportList.as_view(), name="history-imports"),
    path("history-imports/<uuid:import_id>/", views.HistoryImportOne.as_view(), name="history-import"),
    path("history-imports/<uuid:import_id>/take-back/", views.HistoryImportTakeBack.as_view(), name="history-import-take-back"),
]
