"""The addresses of the pages. Every object has one that people paste into a chat."""

from __future__ import annotations

from django.urls import include, path

from rollbackhub.dashboard.views import (
    account,
    aliases,
    analytics,
    approvals,
    audit,
    checks,
    coordinated,
    drill_actions,
    drills,
    history_import,
    holds,
    live,
    notices,
    overview,
    policy_import,
    procedures,
    readiness,
    registry,
    releases,
    retention,
    roll_forward,
    rollback_acts,
    rollback_start,
    rollbacks,
    routing,
    versions,
)

dashboard_patterns = [
    path("", overview.overview, name="overview"),
    path("running/", overview.running, name="running"),
    path("readiness/mistakes/", readiness.mistakes, name="mistakes"),
    path("readiness/<slug:environment>/<slug:alias>/", readiness.alias_readiness, name="readiness"),
    path("notices/put-away/", notices.put_away, name="put-away"),
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
rollback_patterns = [
    path("", rollbacks.rollback_list, name="list"),
    path("export.csv", rollbacks.export, name="export"),
    path("start/", rollback_start.choose, name="choose"),
    path("start/<slug:environment>/", rollback_start.start, name="start"),
    path("forward/<slug:environment>/<slug:alias>/", roll_forward.forward, name="forward"),
    path("approvals/", approvals.approvals, name="approvals"),
    path("holds/", holds.holds, name="holds"),
    path("holds/<int:hold_id>/lift/", holds.lift, name="lift-hold"),
    path("coordinated/new/<slug:environment>/", coordinated.coordinated_new, name="coordinated-new"),
    path("coordinated/<slug:slug>/", coordinated.coordinated_detail, name="coordinated"),
    path("coordinated/<slug:slug>/edit/", coordinated.coordinated_edit, name="coordinated-edit"),
    path("coordinated/<slug:slug>/delete/", coordinated.coordinated_delete, name="coordinated-delete"),
    path("<uuid:rollback_id>/", rollbacks.rollback_detail, name="detail"),
    path("<uuid:rollback_id>/approve/", approvals.approve, name="approve"),
    path("<uuid:rollback_id>/reject/", approvals.reject, name="reject"),
    path("<uuid:rollback_id>/withdraw/", approvals.withdraw, name="withdraw"),
    path("<uuid:rollback_id>/break-glass/", approvals.break_the_glass, name="break-glass"),
    path("<uuid:rollback_id>/sign-review/", approvals.sign, name="sign-review"),
    path("<uuid:rollback_id>/live/", rollbacks.rollback_live, name="live"),
    path("<uuid:rollback_id>/stop/", rollback_acts.stop, name="stop"),
    path("<uuid:rollback_id>/retry/", rollback_acts.retry, name="retry"),
    path("<uuid:rollback_id>/skip/", rollback_acts.skip, name="skip"),
    path("<uuid:rollback_id>/undo/", rollback_acts.undo, name="undo"),
    path("<uuid:rollback_id>/close/", rollback_acts.close, name="close"),
    path("<uuid:rollback_id>/correct-detection/", rollback_acts.correct_detection, name="correct-detection"),
    path("<uuid:rollback_id>/roll-back-instead/", rollback_acts.instead, name="roll-back-instead"),
]
routing_patterns = [
    path("", routing.policy_list, name="list"),
    path("<slug:environment>/", routing.gateways, name="gateways"),
    path("<slug:environment>/export.yaml", routing.export, name="export"),
    path("<slug:environment>/import/", policy_import.policy_import, name="import"),
    path("<slug:environment>/new/", aliases.alias_new, name="new"),
    path("<slug:environment>/aliases/<slug:alias>/", routing.policy_detail, name="detail"),
    path("<slug:environment>/aliases/<slug:alias>/bind/", aliases.alias_bind, name="bind"),
]
registry_patterns = [
    path("", registry.artefact_list, name="list"),
    path("artefacts/<slug:slug>/", registry.artefact_detail, name="artefact"),
    path("artefacts/<slug:slug>/checks/", checks.artefact_checks, name="checks"),
    path("artefacts/<slug:slug>/versions/new/", versions.version_new, name="version-new"),
    path("versions/<int:version_id>/", versions.version_detail, name="version"),
    path("import/", versions.version_import, name="version-import"),
    path("live/", live.live, name="live"),
    path("retention/", retention.retention, name="retention"),
    path("retention/export.csv", retention.export, name="retention-export"),
    path("versions/<int:version_id>/retire/", retention.retire, name="retire"),
    path("versions/<int:version_id>/archive/", retention.archive, name="archive"),
    path("versions/<int:version_id>/provider-retirement/", retention.provider_retirement, name="provider-retirement"),
    path("environments/", registry.environment_list, name="environments"),
]
release_patterns = [
    path("", releases.release_list, name="list"),
    path("start/<slug:environment>/<slug:alias>/", releases.start, name="start"),
    path("<int:release_id>/", releases.release_detail, name="detail"),
    path("<int:release_id>/live/", releases.release_live, name="live"),
    path("<int:release_id>/promote/", releases.promote, name="promote"),
    path("<int:release_id>/rehearse/", releases.rehearse, name="rehearse"),
    path("<int:release_id>/bypass/", releases.bypass, name="bypass"),
    path("<int:release_id>/abandon/", releases.abandon, name="abandon"),
]
procedure_patterns = [
    path("", procedures.procedure_list, name="list"),
    path("new/", procedures.procedure_new, name="new"),
    path("<slug:slug>/", procedures.procedure_detail, name="detail"),
    path("<slug:slug>/edit/", procedures.procedure_edit, name="edit"),
]
analytics_patterns = [
    path("", analytics.question_list, name="list"),
    path("<slug:question>/", analytics.question_detail, name="question"),
    path("<slug:question>/headline/", analytics.headline, name="headline"),
    path("<slug:question>/<int:number>.csv", analytics.export, name="export"),
]
history_patterns = [
    path("", history_import.history_import, name="import"),
    path("template.csv", history_import.template, name="template"),
    path("<uuid:import_id>/", history_import.history_detail, name="detail"),
    path("<uuid:import_id>/take-back/", history_import.take_back, name="take-back"),
]
audit_patterns = [
    path("", audit.event_list, name="list"),
    path("<int:event_id>/", audit.event_detail, name="event"),
]

urlpatterns = [
    path("", include((dashboard_patterns, "dashboard"))),
    path("drills/", include((drill_patterns, "drills"))),
    path("rollbacks/", include((rollback_patterns, "rollbacks"))),
    path("routing/", include((routing_patterns, "routing"))),
    path("registry/", include((registry_patterns, "registry"))),
    path("releases/", include((release_patterns, "releases"))),
    path("procedures/", include((procedure_patterns, "procedures"))),
    path("analytics/import/", include((history_patterns, "history"))),
    path("analytics/", include((analytics_patterns, "analytics"))),
    path("audit/", include((audit_patterns, "audit"))),
]
