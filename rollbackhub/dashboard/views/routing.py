"""Where the traffic goes: policies, their revisions and differences, gateways."""

from __future__ import annotations

from typing import Any

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from rollbackhub.accounts.rules import Capability
from rollbackhub.common.errors import NotFound
from rollbackhub.dashboard.access import requires
from rollbackhub.dashboard.incident_marks import incidents_at
from rollbackhub.dashboard.plans import candidates_yaml, plan_yaml
from rollbackhub.executions.domain.transitions import find_active
from rollbackhub.registry.domain.selectors import get_environment, list_environments
from rollbackhub.rollbacks.domain.transitions import find_active as find_active_rollback
from rollbackhub.routing.domain.deliveries import delivery_of
from rollbackhub.routing.domain.selectors import get_policy, get_present_revisions, list_gateway_rows, list_policies, list_revisions
from rollbackhub.routing.domain.yaml_io import export_policies
from rollbackhub.routing.models import PolicyRevision, RoutingPolicy, RoutingState

PAGE_SIZE = 50


@require_safe
@requires(Capability.VIEW)
def policy_list(request: HttpRequest) -> HttpResponse:
    """All policies with their present weights."""
    query, environment = (request.GET.get(name, "").strip() for name in ("q", "environment"))
    page = Paginator(list_policies(query=query, environment=environment), PAGE_SIZE).get_page(request.GET.get("page"))
    policies = list(page.object_list)
    revisions = get_present_revisions(policies)
    context = {
        "page": page,
        "rows": [(policy, revisions.get(policy.pk)) for policy in policies],
        "environments": list(list_environments()),
        "query": query,
        "environment": environment,
    }
    return render(request, "routing/list.html", context)


@require_safe
@requires(Capability.VIEW)
def policy_detail(request: HttpRequest, environment: str, alias: str) -> HttpResponse:
    """One policy: present weights, revisions, the difference of two, and the gateways that serve by it."""
    policy = get_policy(environment=environment, alias=alias)
    before = _number(request, "before")
    revisions, has_older = list_revisions(policy_id=policy.pk, before=before)
    present = get_present_revisions([policy]).get(policy.pk)
    delivery = delivery_of(policy)
    context: dict[str, Any] = {
        "policy": policy,
        "present": present,
        "revisions": revisions,
        "has_older": has_older,
        "is_first": before is None,
        "gateways": [] if delivery else list_gateway_rows(environment_id=policy.environment_id, routing_number=present.routing_number if present else 0),
        "delivery": delivery,
        "target_yaml": plan_yaml(dict(delivery.target)) if delivery else "",
        "active": find_active(policy),
        "rollback": find_active_rollback(policy),
        "incidents": incidents_at([policy]).get(policy.pk, []),
        "yaml": candidates_yaml(alias, present.candidates.all()) if present else "",
        "diff": _difference(request, policy),
    }
    return render(request, "routing/detail.html", context)


def _difference(request: HttpRequest, policy: RoutingPolicy) -> dict[str, Any] | None:
    """The two revisions that the address names; by default the present one against the one before. None while there is only one."""
    to = _number(request, "to") or policy.revision_number
    older = _number(request, "from") or to - 1
    if policy.revision_number < 2 or older < 1:
        return None
    found = {
        revision.number: revision for revision in PolicyRevision.objects.filter(policy=policy, number__in=[older, to]).prefetch_related("candidates__version")
    }
    if to not in found or older not in found:
        raise NotFound(f"{policy.alias} has no revisions {older} and {to}; it has 1 to {policy.revision_number}.", code="revision_not_found")
    return {
        "from": found[older],
        "to": found[to],
        "before": candidates_yaml(policy.alias, found[older].candidates.all()),
        "after": candidates_yaml(policy.alias, found[to].candidates.all()),
    }


@require_safe
@requires(Capability.VIEW)
def export(request: HttpRequest, environment: str) -> HttpResponse:
    """The policies of an environment (or one alias of it) as a policy file."""
    found = get_environment(environment)
    alias = request.GET.get("alias", "")
    if alias:
        get_policy(environment=environment, alias=alias)
    text = export_policies(environment=found, aliases=[alias] if alias else None)
    name = f"{environment}-{alias}" if alias else environment
    return HttpResponse(text, content_type="application/yaml; charset=utf-8", headers={"Content-Disposition": f'attachment; filename="{name}.yaml"'})


@require_safe
@requires(Capability.VIEW)
def gateways(request: HttpRequest, environment: str) -> HttpResponse:
    """The gateways of an environment: who serves by the present routing state."""
    found = get_environment(environment)
    state = RoutingState.objects.filter(environment=found).first()
    rows = list_gateway_rows(environment_id=found.pk, routing_number=state.number if state else 0)
    page = Paginator(rows, PAGE_SIZE).get_page(request.GET.get("page"))
    live = [row for row in rows if row.is_live]
    context = {
        "environment": found,
        "state": state,
        "page": page,
        "rows": page.object_list,
        "live": len(live),
        "acknowledged": sum(1 for row in live if row.acknowledged),
    }
    return render(request, "routing/gateways.html", context)


def _number(request: HttpRequest, name: str) -> int | None:
    """A positive number of the address; None for anything else."""
    value = request.GET.get(name, "")
    return int(value) if value.isascii() and value.isdigit() and 0 < int(value) < 2**31 else None
