"""Addresses of hooks, rules and automation."""

from __future__ import annotations

from django.urls import path

from rollbackhub.api.alert_settings import views

urlpatterns = [
    path("alert-hooks/", views.HookList.as_view(), name="alert-hooks"),
    path("alert-hooks/<uuid:hook_id>/", views.HookOne.as_view(), name="alert-hook"),
    path("alert-hooks/<uuid:hook_id>/end/", views.HookEnd.as_view(), name="alert-hook-end"),
    path("alert-rules/", views.RuleList.as_view(), name="alert-rules"),
    path("alert-rules/<int:rule_id>/", views.RuleOne.as_view(), name="alert-rule"),
    path("automation/", views.AutomationOne.as_view(), name="automation"),
    path("automation/stop/", views.AutomationStop.as_view(), name="automation-stop"),
    path("automation/release/", views.AutomationRelease.as_view(), name="automation-release"),
    path("automation/<slug:environment>/<slug:alias>/", views.AutomationAlias.as_view(), name="automation-alias"),
    path("automation/<slug:environment>/<slug:alias>/off/", views.AutomationAliasOff.as_view(), name="automation-alias-off"),
]
