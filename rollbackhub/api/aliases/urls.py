"""Addresses of aliases."""

from __future__ import annotations

from django.urls import path

from rollbackhub.api.aliases import views

urlpatterns = [
    path("aliases/", views.AliasList.as_view(), name="aliases"),
    path("aliases/<slug:alias>/readiness/", views.AliasReadiness.as_view(), name="alias-readiness"),
    path("aliases/<slug:environment>/<slug:alias>/binding/", views.AliasBinding.as_view(), name="alias-binding"),
    path("aliases/<slug:environment>/<slug:alias>/", views.AliasOne.as_view(), name="alias"),
]
