"""What is released, and where: artefacts with their versions, environments with their connections."""

from __future__ import annotations

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from rollbackhub.accounts.rules import Capability
from rollbackhub.dashboard.access import requires
from rollbackhub.dashboard.check_words import check_rows
from rollbackhub.dashboard.plans import plan_yaml
from rollbackhub.dashboard.version_page import artefact_answer, list_users
from rollbackhub.executions.domain.checks_in_use import checks_in_use
from rollbackhub.executions.domain.plan import get_target_seconds
from rollbackhub.registry.domain.selectors import get_artefact, get_retention_days, list_artefacts, list_environments, list_versions
from rollbackhub.registry.enums import ChangeType

PAGE_SIZE = 50


@require_safe
@requires(Capability.VIEW)
def artefact_list(request: HttpRequest) -> HttpResponse:
    """All artefacts."""
    query, change_type = (request.GET.get(name, "").strip() for name in ("q", "change_type"))
    page = Paginator(list_artefacts(query=query, change_type=change_type), PAGE_SIZE).get_page(request.GET.get("page"))
    context = {"page": page, "query": query, "change_type": change_type, "change_types": ChangeType.choices}
    return render(request, "registry/list.html", context)


@require_safe
@requires(Capability.VIEW)
def artefact_detail(request: HttpRequest, slug: str) -> HttpResponse:
    """One artefact: its versions, how long they are kept, its target, and the aliases that serve it."""
    artefact = get_artefact(slug)
    page = Paginator(list_versions(artefact=slug), PAGE_SIZE).get_page(request.GET.get("page"))
    users, has_more_users = list_users(artefact)
    in_use = checks_in_use(artefact)
    context = {
        "artefact": artefact,
        "answer": artefact_answer(artefact),
        "page": page,
        "target": get_target_seconds(artefact),
        "retention_days": get_retention_days(artefact),
        "checks": check_rows(in_use.checks),
        "in_use": in_use,
        "users": users,
        "has_more_users": has_more_users,
    }
    return render(request, "registry/artefact.html", context)


@require_safe
@requires(Capability.VIEW)
def environment_list(request: HttpRequest) -> HttpResponse:
    """Environments and the real systems that they are connected to."""
    rows = [
        (environment, [(connection.connector, plan_yaml(connection.settings)) for connection in environment.connections.all()])
        for environment in list_environments()
    ]
    return render(request, "registry/environments.html", {"rows": rows})
