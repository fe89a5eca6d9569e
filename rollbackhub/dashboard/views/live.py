"""What was live at an instant, from history."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_safe

from rollbackhub.accounts.rules import Capability
from rollbackhub.common import clock
from rollbackhub.common.errors import NotFound
from rollbackhub.dashboard.access import requires
from rollbackhub.dashboard.version_forms import LiveForm, by_viewers_clock, has_zone, in_address, with_plus
from rollbackhub.registry.domain.selectors import list_environments
from rollbackhub.registry.models import Environment
from rollbackhub.routing.domain.history import live_revisions_at

PAGE_SIZE = 50


@require_safe
@requires(Capability.VIEW)
def live(request: HttpRequest) -> HttpResponse:
    """The weights of every alias at an instant, since when, by whom and why."""
    environments = list(list_environments())
    environment = _environment(environments, request.GET.get("environment", ""))
    asked, alias = with_plus(request.GET.get("at", "")), request.GET.get("alias", "").strip()
    now = clock.now()
    values = {"at": asked or now, "environment": environment.slug if environment else "", "alias": alias}
    form = LiveForm(values, environments=[(found.slug, found.name) for found in environments])
    if not form.is_valid() and (environment is not None or "at" in form.errors):
        return render(request, "registry/live.html", {"form": form, "problem": form.errors.get("at"), "environment": environment}, status=422)
    at = form.cleaned_data["at"]
    if asked and not has_zone(asked):
        # The viewer's clock means another instant to somebody else: the address that people paste says it in UTC.
        return redirect(f"{reverse('registry:live')}?{urlencode({**values, 'at': in_address(at)})}")
    page: Any = None
    if environment is not None:
        found = live_revisions_at(at, environment=environment.slug, query=alias)
        page = Paginator(found, PAGE_SIZE).get_page(request.GET.get("page"))
    context = {
        # The field shows the viewer's clock, whatever zone the address is in.
        "form": LiveForm({**values, "at": by_viewers_clock(at)}, environments=[(found.slug, found.name) for found in environments]),
        "at": at,
        "is_now": not asked,
        "page": page,
        "environment": environment,
        "alias": alias,
        "link": f"{reverse('registry:live')}?{urlencode({**values, 'at': in_address(at)})}",
    }
    return render(request, "registry/live.html", context)


def _environment(environments: list[Environment], slug: str) -> Environment | None:
    """The environment that is asked for; production when none is; None while there is none at all. Raises NotFound."""
    if slug:
        found = next((environment for environment in environments if environment.slug == slug), None)
        if found is None:
            raise NotFound(f"There is no environment {slug[:60]}.", code="environment_not_found")
        return found
    return environments[0] if environments else None
