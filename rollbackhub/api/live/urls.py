"""Address of what was live."""

from __future__ import annotations

from django.urls import path

from rollbackhub.api.live import views

urlpatterns = [path("live/", views.LiveAt.as_view(), name="live")]
