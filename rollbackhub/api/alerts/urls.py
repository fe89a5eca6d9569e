"""Addresses of alerts and of what they propose. Posts of alerts go to /api/v1/hooks/ (rollbackhub/alerts/app.py)."""

from __future__ import annotations

from django.urls import path

from rollbackhub.api.alerts import views

urlpatterns = [
    path("alerts/", views.AlertList.as_view(), name="alerts"),
    path("alerts/<uuid:alert_id>/", views.AlertOne.as_view(), name="alert"),
    path("alert-proposals/", views.ProposalList.as_view(), name="alert-proposals"),
    path("alert-proposals/<uuid:proposal_id>/", views.ProposalOne.as_view(), name="alert-proposal"),
    path("alert-proposals/<uuid:proposal_id>/confirm/", views.ProposalConfirm.as_view(), name="alert-proposal-confirm"),
    path("alert-proposals/<uuid:proposal_id>/dismiss/", views.ProposalDismiss.as_view(), name="alert-proposal-dismiss"),
]
