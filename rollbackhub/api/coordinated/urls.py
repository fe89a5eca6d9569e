"""Addresses of coordinated procedures."""

from __future__ import annotations

from django.urls import path

from rollbackhub.api.coordinated import views

urlpatterns = [
    path("coordinated-procedures/", views.CoordinatedList.as_view(), name="coordinated-procedures"),
    path("coordinated-procedures/<slug:slug>/", views.CoordinatedOne.as_view(), name="coordinated-procedure"),
]
