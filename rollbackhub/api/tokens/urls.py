"""Addresses of API tokens."""

from __future__ import annotations

from django.urls import path

from rollbackhub.api.tokens import views

urlpatterns = [
    path("tokens/", views.TokenList.as_view(), name="tokens"),
    path("tokens/<slug:token_id>/", views.TokenOne.as_view(), name="token"),
]
