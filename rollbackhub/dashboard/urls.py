"""The addresses of the pages. Every object has one that people paste into a chat."""

from __future__ import annotations

from django.urls import include, path

from rollbackhub.dashboard.views import account, audit, drill_actions, drills, overview, policy_import, registry, routing

dashboard_patterns = [
    path("", overview.overview, name="overview"),
    path("running/", overview.running, name="running"),
    path("account/", account.account, name="account"),
]
drill_patterns = [
    path("", drills.drill_list, name="list"),
    path("start/", drill_actions.choose, name="choose"),
    path("start/<slug:environment>/<slug:alias>/", drill_actions.start, name="start"),
    path("<uuid:drill_id>/", drills.drill_detail, name="detail"),
    path("<uuid:drill_id>/live/", drills.drill_live, name="live"),
    path("<uuid:drill_id>/stop/", drill_actions.stop, name="stop"),
    path("<uuid:drill_id>/retry/", drill_actions.retry, name="retry"),
    path("<uuid:drill_id>/close/", drill_actions.close, name="close"),
]
routing_patterns = [
    path("", routing.policy_list, name="list"),
    path("<slug:environment>/", routing.gateways, name="gateways"),
    path("<slug:environment>/export.yaml", routing.export, name="export"),
    path("<slug:environment>/import/", policy_import.policy_import, name="import"),
    path("<slug:environment>/aliases/<slug:alias>/", routing.policy_detail, name="detail"),
]
registry_patterns = [
    path("", registry.artefact_list, name="list"),
    path("artefacts/<slug:slug>/", registry.artefact_detail, name="artefact"),
    path("environments/", registry.environment_list, name="environments"),
]
audit_patterns = [
    path("", audit.event_list, name="list"),
    path("<int:event_id>/", audit.event_detail, name="event"),
]

urlpatterns = [
    path("", include((dashboard_patterns, "dashboard"))),
    path("drills/", include((drill_patterns, "drills"))),
    path("routing/", include((routing_patterns, "routing"))),
    path("registry/", include((registry_patterns, "registry"))),
    path("audit/", include((audit_patterns, "audit"))),
]
