"""Stability holds: what may not ship again, until when, and why; lifted by a lead with a reason."""

from __future__ import annotations

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from rollbackhub.accounts.rules import Capability
from rollbackhub.common import clock
from rollbackhub.dashboard.access import actor, person, requires
from rollbackhub.dashboard.requests import typed
from rollbackhub.registry.domain.holds import gates_of, lift_hold, list_standing_holds
from rollbackhub.rollbacks.models import Rollback

PAGE_SIZE = 50


@require_safe
@requires(Capability.VIEW)
def holds(request: HttpRequest) -> HttpResponse:
    """Every hold that stands now, with the rollback that began it."""
    page = Paginator(list_standing_holds().select_related("version__artefact__team"), PAGE_SIZE).get_page(request.GET.get("page"))
    standing = list(page.object_list)
    rollbacks = Rollback.objects.in_bulk({hold.rollback_id for hold in standing})
    return render(
        request,
        "rollbacks/holds.html",
        {"page": page, "rows": [(hold, rollbacks.get(hold.rollback_id), gates_of(hold)) for hold in standing], "now": clock.now()},
    )


@require_POST
@requires(Capability.LEAD)
def lift(request: HttpRequest, hold_id: int) -> HttpResponse:
    """End a hold before its time."""
    hold = lift_hold(hold_id=hold_id, user=person(request), actor=actor(request), reason=typed(request))
    messages.success(request, f"The hold on {hold.version.label} is lifted: it may get weight again.")
    return redirect("rollbacks:holds")
