"""Addresses of gateways."""

from __future__ import annotations

from django.urls import path

from rollbackhub.api.gateways import views

urlpatterns = [path("gateways/", views.GatewayList.as_view(), name="gateways")]
