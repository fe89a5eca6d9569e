"""What was told, what arrived, and what did not."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from rollbackhub.accounts.rules import Capability
from rollbackhub.dashboard.access import actor, person, requires
from rollbackhub.dashboard.filters import say_what_is_left_out
from rollbackhub.dashboard.notification_forms import DeliveryFilterForm
from rollbackhub.dashboard.notification_looks import ATTEMPTS, DELIVERIES, waits_until
from rollbackhub.notifications.domain.deliveries import discard, send_again
from rollbackhub.notifications.domain.selectors import count_dead, get_delivery, list_deliveries
from rollbackhub.notifications.enums import AttemptOutcome, DeliveryState
from rollbackhub.notifications.models import MessageDelivery

PAGE_SIZE = 50
MOVING = (DeliveryState.PENDING, DeliveryState.SENDING, DeliveryState.RETRYING)


@require_safe
@requires(Capability.VIEW)
def delivery_list(request: HttpRequest) -> HttpResponse:
    """What was told, the newest first; dead letters are a filter of it."""
    form = DeliveryFilterForm(request.GET)
    wanted = form.wanted()
    say_what_is_left_out(request, form.errors)
    found = list_deliveries(state=wanted["state"], team=wanted["team"], topic=wanted["topic"])
    page = Paginator(found, PAGE_SIZE).get_page(request.GET.get("page"))
    context = {
        "form": form,
        "page": page,
        "rows": [(delivery, DELIVERIES[DeliveryState(delivery.state)], waits_until(delivery)) for delivery in page.object_list],
        "dead": count_dead(),
        "state": wanted["state"],
        "filtered": any(request.GET.get(name) for name in form.fields),
    }
    return render(request, "notifications/deliveries.html", context)


@require_safe
@requires(Capability.VIEW)
def delivery_detail(request: HttpRequest, delivery_id: UUID) -> HttpResponse:
    """One message on one channel: what it says, and every try."""
    return render(request, "notifications/delivery.html", _context(get_delivery(delivery_id)))


@require_safe
@requires(Capability.VIEW)
def delivery_live(request: HttpRequest, delivery_id: UUID) -> HttpResponse:
    """What may change of it. When it has come to its end the whole page is loaded: it has other buttons then."""
    delivery = get_delivery(delivery_id)
    if delivery.state not in MOVING:
        response = HttpResponse()
        response["HX-Refresh"] = "true"
        return response
    if request.GET.get("seen") == _digest(delivery):
        return HttpResponse(status=204)
    return render(request, "notifications/partials/_delivery.html", _context(delivery))


@require_POST
@requires(Capability.CONFIGURE)
def delivery_send_again(request: HttpRequest, delivery_id: UUID) -> HttpResponse:
    """Try a dead letter again."""
    send_again(delivery_id=delivery_id, user=person(request), actor=actor(request))
    messages.success(request, "It is sent again.")
    return redirect("notifications:delivery", delivery_id=delivery_id)


@require_POST
@requires(Capability.CONFIGURE)
def delivery_discard(request: HttpRequest, delivery_id: UUID) -> HttpResponse:
    """Give it up, with the reason."""
    discard(delivery_id=delivery_id, reason=request.POST.get("reason", ""), user=person(request), actor=actor(request))
    messages.success(request, "It is discarded; why stands on the record.")
    return redirect("notifications:delivery", delivery_id=delivery_id)


def _digest(delivery: MessageDelivery) -> str:
    """Equal while the page shows the same of it."""
    return f"{delivery.state}.{delivery.attempt_count}"


def _context(delivery: MessageDelivery) -> dict[str, Any]:
    return {
        "delivery": delivery,
        "digest": _digest(delivery),
        "message": delivery.message,
        "look": DELIVERIES[DeliveryState(delivery.state)],
        "attempts": [(attempt, ATTEMPTS[AttemptOutcome(attempt.outcome)]) for attempt in delivery.attempts.all()],
        "is_moving": delivery.state in MOVING,
        "until": waits_until(delivery),
        "may_discard": delivery.state in (DeliveryState.PENDING, DeliveryState.RETRYING, DeliveryState.DEAD),
    }
