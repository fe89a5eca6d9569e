"""Could we roll back right now? The readiness board, and the bar of what runs, which stands on every page."""

from __future__ import annotations

import datetime as dt

from django.conf import settings
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from rollbackhub.accounts.models import Team
from rollbackhub.accounts.rules import Capability
from rollbackhub.common import clock
from rollbackhub.dashboard.access import person, requires
from rollbackhub.dashboard.bar import bar_for
from rollbackhub.dashboard.figures import chart_templates
from rollbackhub.dashboard.filters import say_what_is_left_out
from rollbackhub.dashboard.incident_marks import incidents_at
from rollbackhub.dashboard.looks import NOT_JUDGED_LOOK, READINESS
from rollbackhub.dashboard.retention_page import share_figure, share_tone, thinned
from rollbackhub.readiness.domain.board import NOT_JUDGED, count_not_judged, list_board, list_cards
from rollbackhub.readiness.domain.selectors import count_states, list_share_history, rollbackable_now
from rollbackhub.readiness.enums import ReadinessState, ReasonCode
from rollbackhub.registry.domain.selectors import list_environments

PAGE_SIZE = 25
TREND_DAYS = 30
FILTERS = ("q", "state", "reason", "environment", "team")


@require_safe
@requires(Capability.VIEW)
def overview(request: HttpRequest) -> HttpResponse:
    """Every alias, the most urgent first, with what to do about it."""
    environments, teams = list(list_environments()), list(Team.objects.values_list("slug", "name"))
    choices = {
        "state": {*ReadinessState.values, NOT_JUDGED},
        "reason": set(ReasonCode.values),
        "environment": {found.slug for found in environments},
        "team": {slug for slug, _ in teams},
    }
    wanted = {name: request.GET.get(name, "").strip()[:120] for name in FILTERS}
    unknown = [name for name, known in choices.items() if wanted[name] and wanted[name] not in known]
    say_what_is_left_out(request, unknown)
    wanted |= dict.fromkeys(unknown, "")
    found = list_board(query=wanted["q"], **{name: wanted[name] for name in FILTERS if name != "q"})
    page = Paginator(found, PAGE_SIZE).get_page(request.GET.get("page"))
    share, counts, not_judged = rollbackable_now(), count_states(), count_not_judged()
    states = [(state.value, READINESS[state], counts[state]) for state in ReadinessState if counts.get(state)]
    if not_judged:
        states.append((NOT_JUDGED, NOT_JUDGED_LOOK, not_judged))
    since = clock.now() - dt.timedelta(days=TREND_DAYS)
    history = thinned(list_share_history(since=since))
    cards = list_cards(list(page.object_list))
    context = {
        "cards": cards,
        "incidents": incidents_at([row.policy for card in cards for row in card.environments]),
        "page": page,
        "share": share,
        "not_judged": not_judged,
        "tone": share_tone(share, counts=counts, not_judged=not_judged),
        "states": states,
        "environments": environments,
        "teams": teams,
        "reasons": ReasonCode.choices,
        "filtered": any(wanted.values()),
        "wanted": wanted,
        "trend": share_figure(history, since=since),
        "history": history[::-1],
        "trend_days": TREND_DAYS,
        "chart_templates": chart_templates(),
        "lab": settings.CONFIG.lab,
    }
    return render(request, "dashboard/overview.html", context)


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
