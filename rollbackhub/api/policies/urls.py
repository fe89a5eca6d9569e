"""Addresses of routing policies."""

from __future__ import annotations

from django.urls import path

from rollbackhub.api.policies import views

urlpatterns = [
    path("policies/<slug:environment>/export/", views.PolicyExport.as_view(), name="policies-export"),
    path("policies/<slug:environment>/import/", views.PolicyImport.as_view(), name="policies-import"),
    path("policies/<slug:environment>/<slug:alias>/revisions/", views.RevisionList.as_view(), name="revisions"),
    path("policies/<slug:environment>/<slug:alias>/revisions/<int:number>/", views.RevisionOne.as_view(), name="revision"),
]
