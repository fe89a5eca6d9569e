"""Addresses of actions."""

from __future__ import annotations

from django.urls import path

from rollbackhub.api.actions import views

urlpatterns = [
    path("actions/", views.ActionList.as_view(), name="actions"),
    path("actions/<uuid:action_id>/", views.ActionOne.as_view(), name="action"),
    path("actions/<uuid:action_id>/close/", views.ActionCloseView.as_view(), name="action-close"),
    path("actions/<uuid:action_id>/reopen/", views.ActionReopenView.as_view(), name="action-reopen"),
]
