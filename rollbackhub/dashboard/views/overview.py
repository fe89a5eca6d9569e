"""Could we roll back right now? And the bar of what runs, which stands on every page."""

from __future__ import annotations

from django.conf import settings
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from drills.domain.overview import count_states, list_alias_rows, list_standings
from drills.enums import AliasState
from rollbackhub.accounts.rules import Capability
from rollbackhub.dashboard.access import person, requires
from rollbackhub.dashboard.bar import bar_for
from rollbackhub.dashboard.looks import ALIASES
from rollbackhub.registry.domain.selectors import list_environments

PAGE_SIZE = 25


@require_safe
@requires(Capability.VIEW)
def overview(request: HttpRequest) -> HttpResponse:
    """Every alias by urgency, with its environments and its last drill."""
    standings = list_standings()
    counts = count_states(standings)
    environments = list(list_environments())
    query, state, environment = (request.GET.get(name, "").strip() for name in ("q", "state", "environment"))
    chosen = {found.slug: found.pk for found in environments}.get(environment)
    shown = [
        standing
        for standing in standings
        if (not query or query.lower() in standing.alias) and (not state or standing.state == state) and (not chosen or chosen in standing.environment_ids)
    ]
    page = Paginator(shown, PAGE_SIZE).get_page(request.GET.get("page"))
    context = {
        "rows": list_alias_rows(list(page.object_list)),
        "page": page,
        "total": len(standings),
        "passed": counts[AliasState.PASSED],
        "tone": _tone(counts, len(standings)),
        "states": [(found.value, ALIASES[found], counts[found]) for found in AliasState if counts[found]],
        "environments": environments,
        "query": query,
        "state": state,
        "environment": environment,
        "filtered": bool(query or state or environment),
        "lab": settings.CONFIG.lab,
    }
    return render(request, "dashboard/overview.html", context)


def _tone(counts: dict[AliasState, int], total: int) -> str:
    if counts.get(AliasState.PASSED, 0) == total:
        return "ok"
    if counts.get(AliasState.FAILED) or counts.get(AliasState.NEEDS_PERSON):
        return "bad"
    return "warn"


@require_safe
@requires(Capability.VIEW)
def running(request: HttpRequest) -> HttpResponse:
    """The bar alone, for polling. 204 while it is as the page has it."""
    bar = bar_for(person(request))
    if request.GET.get("seen") == bar.digest:
        return HttpResponse(status=204)
    response = render(request, "dashboard/partials/_running.html", {"bar": bar})
    # Parts of the page that show the same fetch themselves anew.
    response["HX-Trigger"] = "hubRunning"
    return response
