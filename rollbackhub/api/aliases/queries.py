"""Aliases with all that is known of them, in a fixed number of queries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import F, OuterRef, QuerySet, Subquery

from rollbackhub.api.executions.serializers import execution_path
from rollbackhub.executions.enums import ACTIVE_STATES, ExecutionKind, ExecutionState
from rollbackhub.executions.models import Execution
from rollbackhub.registry.models import SpeedTarget
from rollbackhub.routing.domain.deliveries import FETCHED, delivery_of
from rollbackhub.routing.domain.gateways import live_since
from rollbackhub.routing.models import Gateway, PolicyRevision, RoutingPolicy


def list_policies(*, query: dict[str, Any]) -> QuerySet[RoutingPolicy]:
    """Policies that match the checked query parameters, each with the id of its last drill."""
    last = Execution.objects.filter(policy=OuterRef("pk"), kind=ExecutionKind.DRILL, state=ExecutionState.FINISHED).order_by("-created_at")
    found = RoutingPolicy.objects.select_related("environment", "artefact", *FETCHED).annotate(last_drill_id=Subquery(last.values("pk")[:1]))
    for name, lookup in {"alias": "alias", "environment": "environment__slug", "change_type": "artefact__change_type"}.items():
        if name in query:
            found = found.filter(**{lookup: query[name]})
    return found


def describe(policies: Sequence[Any]) -> list[dict[str, Any]]:
    """What AliasDetail writes of these policies (from `list_policies`). Six queries for any number."""
    revisions = {
        revision.policy_id: revision
        for revision in PolicyRevision.objects.filter(policy__in=policies, number=F("policy__revision_number")).prefetch_related("candidates__version")
    }
    gateways: dict[int, list[Gateway]] = {}
    live = Gateway.objects.filter(environment__in={policy.environment_id for policy in policies}, last_seen_at__gte=live_since())
    for gateway in live.order_by("node_id"):
        gateways.setdefault(gateway.environment_id, []).append(gateway)
    running = {execution.policy_id: execution for execution in Execution.objects.defer("plan").filter(policy__in=policies, state__in=ACTIVE_STATES)}
    drills = Execution.objects.defer("plan").in_bulk([policy.last_drill_id for policy in policies if policy.last_drill_id])
    targets = dict(SpeedTarget.objects.values_list("change_type", "seconds"))
    return [
        _described(
            policy,
            revision=revisions.get(policy.pk),
            gateways=gateways.get(policy.environment_id, []) if policy.connection_id is None else [],
            active=running.get(policy.pk),
            last=drills.get(policy.last_drill_id),
            target_seconds=policy.artefact.target_seconds or targets.get(policy.artefact.change_type),
        )
        for policy in policies
    ]


def _described(
    policy: RoutingPolicy,
    *,
    revision: PolicyRevision | None,
    gateways: Sequence[Gateway],
    active: Execution | None,
    last: Execution | None,
    target_seconds: int | None,
) -> dict[str, Any]:
    wanted = revision.routing_number if revision else 0
    nodes = [{"node_id": gateway.node_id, "acknowledged": gateway.applied_number >= wanted} for gateway in gateways]
    place = f"{policy.environment.slug}/{policy.alias}/"
    return {
        "alias": policy.alias,
        "environment": policy.environment.slug,
        "url": f"/api/v1/aliases/{place}",
        "revisions_url": f"/api/v1/policies/{place}revisions/",
        "artefact": policy.artefact.slug,
        "change_type": policy.artefact.change_type,
        "target_seconds": target_seconds,
        "revision": policy.revision_number,
        "changed_at": revision.created_at if revision else None,
        "changed_by": revision.actor_label if revision else "",
        "reason": revision.reason if revision else "",
        "candidates": candidates_of(revision) if revision else [],
        "gateways": {"live": len(nodes), "acknowledged": sum(node["acknowledged"] is True for node in nodes), "nodes": nodes},
        "delivery": _delivery(policy),
        "active": active and {"id": active.pk, "url": execution_path(active), "kind": active.kind, "state": active.state},
        "last_drill": last
        and {
            "id": last.pk,
            "url": execution_path(last),
            "verdict": last.verdict,
            "rollback_seconds": last.rollback_seconds,
            "target_seconds": last.target_seconds,
            "finished_at": last.finished_at,
        },
        "is_lab": policy.artefact.is_lab,
    }


def _delivery(policy: RoutingPolicy) -> dict[str, Any] | None:
    state = delivery_of(policy)
    if state is None:
        return None
    return {
        "connection": state.connection,
        "connector": state.connector,
        "target": dict(state.target),
        "revision": state.delivered,
        "current": state.is_current,
        "delivered_at": state.delivered_at,
        "problem": state.problem,
    }


def candidates_of(revision: PolicyRevision) -> list[dict[str, Any]]:
    """The candidates in their order (prefetched: no query)."""
    rows = sorted(revision.candidates.all(), key=lambda candidate: candidate.position)
    return [{"id": candidate.candidate_id, "version_pin": candidate.version.label, "weight": candidate.weight} for candidate in rows]
