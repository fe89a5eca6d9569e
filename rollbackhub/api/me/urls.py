"""Address of the caller."""

from __future__ import annotations

from django.urls import path

from rollbackhub.api.me import views

urlpatterns = [path("me/", views.Me.as_view(), name="me")]
