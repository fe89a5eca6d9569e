"""Who did what, and whether the record is whole."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from rollbackhub.accounts.rules import Capability
from rollbackhub.audit.domain.listing import get_event, get_log_state, list_events
from rollbackhub.dashboard.access import requires
from rollbackhub.dashboard.plans import plan_yaml

FILTERS = ("event", "subject_type", "subject_id", "actor")


@require_safe
@requires(Capability.AUDIT)
def event_list(request: HttpRequest) -> HttpResponse:
    """Events that match the address, newest first, and the state of the log."""
    wanted: dict[str, str] = {name: request.GET.get(name, "").strip() for name in FILTERS}
    before = request.GET.get("before", "")
    events, has_older = list_events(
        event=wanted["event"],
        subject_type=wanted["subject_type"],
        subject_id=wanted["subject_id"],
        actor=wanted["actor"],
        before=int(before) if before.isascii() and before.isdigit() and len(before) < 19 else None,
    )
    context = {"events": events, "has_older": has_older, "is_first": not before, "wanted": wanted, "filtered": any(wanted.values()), "log": get_log_state()}
    return render(request, "audit/list.html", context)


@require_safe
@requires(Capability.AUDIT)
def event_detail(request: HttpRequest, event_id: int) -> HttpResponse:
    """One event, whole, with its place in the Merkle log."""
    event = get_event(event_id)
    leaf = getattr(event, "leaf", None)
    context = {"event": event, "leaf": leaf, "leaf_hash": bytes(leaf.leaf_hash).hex() if leaf else "", "data": plan_yaml(event.data) if event.data else ""}
    return render(request, "audit/event.html", context)
