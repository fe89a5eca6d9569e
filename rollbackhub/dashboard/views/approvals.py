"""Requests that wait for somebody's word, and the words: approve, reject, withdraw, break the glass, sign the review."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from allauth.core.exceptions import ReauthenticationRequired
from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from rollbackhub.accounts.domain.notices import list_unread, mark_read
from rollbackhub.accounts.models import User
from rollbackhub.accounts.reauthentication import password_entered_at
from rollbackhub.accounts.rules import Capability
from rollbackhub.common import clock
from rollbackhub.common.errors import Forbidden
from rollbackhub.dashboard.access import actor, person, requires
from rollbackhub.dashboard.approval_block import approval_context, may_sign
from rollbackhub.dashboard.requests import typed
from rollbackhub.dashboard.rollback_plan import plan_parts, proofs_of_requests
from rollbackhub.executions.domain.proof import Proof
from rollbackhub.rollbacks.domain.approvals import (
    approve_rollback,
    break_glass,
    list_open_reviews,
    list_waiting,
    reject_rollback,
    sign_review,
    withdraw_rollback,
)
from rollbackhub.rollbacks.domain.authority import REAUTHENTICATED_WITHIN
from rollbackhub.rollbacks.domain.changes import wrong_state
from rollbackhub.rollbacks.domain.matters import is_own, may_decide, with_aliases
from rollbackhub.rollbacks.domain.selectors import get_rollback, list_rollbacks
from rollbackhub.rollbacks.enums import RollbackState, Via
from rollbackhub.rollbacks.models import Rollback

RECENT = 10


@require_safe
@requires(Capability.VIEW)
def approvals(request: HttpRequest) -> HttpResponse:
    """What waits for this person, what waits for others, one's own requests, and reviews that no lead has signed."""
    user = person(request)
    requests = list(_detailed(list_waiting()))
    proofs = proofs_of_requests(part for rollback in requests for part in rollback.parts.all())
    waiting = [_request_row(rollback, user, proofs) for rollback in requests]
    context = {
        "for_me": [row for row in waiting if row["may_decide"]],
        "others": [row for row in waiting if not row["may_decide"] and not is_own(row["rollback"], user)],
        "mine": [row for row in waiting if is_own(row["rollback"], user)],
        "decided": list(_detailed(list_rollbacks().filter(principal=user).exclude(state=RollbackState.AWAITING_APPROVAL))[:RECENT]),
        "reviews": [(rollback, may_sign(rollback=rollback, person=user)) for rollback in _detailed(list_open_reviews())],
    }
    return render(request, "rollbacks/approvals.html", context)


def _detailed(rollbacks: QuerySet[Rollback]) -> QuerySet[Rollback]:
    return with_aliases(rollbacks).select_related("environment", "principal", "authorised_by").prefetch_related("parts")


def _request_row(rollback: Rollback, user: User, proofs: Mapping[int, Proof]) -> dict[str, Any]:
    return {**approval_context(rollback=rollback, person=user), "parts": plan_parts(rollback, proofs=proofs)}


@require_POST
@requires(Capability.APPROVE)
def approve(request: HttpRequest, rollback_id: UUID) -> HttpResponse:
    """Approve what was seen; it starts. The password is asked for first when it was entered too long ago."""
    entered_at = _fresh_password(request, rollback_id)
    approve_rollback(
        rollback_id=rollback_id,
        approver=person(request),
        actor=actor(request),
        plan_hash=request.POST.get("plan_hash", ""),
        reauthenticated_at=entered_at,
        via=Via.PAGE,
        reason=typed(request).strip()[:1000],
    )
    _put_notices_away(request, rollback_id)
    messages.success(request, "Approved: it starts now, in your name.")
    return redirect("rollbacks:detail", rollback_id=rollback_id)


@require_POST
@requires(Capability.APPROVE)
def reject(request: HttpRequest, rollback_id: UUID) -> HttpResponse:
    """Reject a request with a reason. The password is asked for first when it was entered too long ago."""
    entered_at = _fresh_password(request, rollback_id)
    reject_rollback(
        rollback_id=rollback_id,
        approver=person(request),
        actor=actor(request),
        plan_hash=request.POST.get("plan_hash", ""),
        reauthenticated_at=entered_at,
        via=Via.PAGE,
        reason=typed(request),
    )
    _put_notices_away(request, rollback_id)
    messages.info(request, "Rejected. Who asked is told your reason; nothing was changed.")
    return redirect("rollbacks:approvals")


@require_POST
@requires(Capability.ROLL_BACK)
def withdraw(request: HttpRequest, rollback_id: UUID) -> HttpResponse:
    """Take a request back."""
    withdraw_rollback(rollback_id=rollback_id, account=person(request), actor=actor(request), reason=typed(request))
    messages.info(request, "Withdrawn. Nothing was changed.")
    return redirect("rollbacks:detail", rollback_id=rollback_id)


@require_POST
@requires(Capability.ROLL_BACK)
def break_the_glass(request: HttpRequest, rollback_id: UUID) -> HttpResponse:
    """Start a request that waits, alone, with a typed reason."""
    break_glass(
        rollback_id=rollback_id,
        account=person(request),
        actor=actor(request),
        reason=typed(request),
        plan_hash=request.POST.get("plan_hash", ""),
    )
    messages.warning(request, "The glass is broken: it starts now, in your name. Every lead was told; one of them has to sign the review.")
    return redirect("rollbacks:detail", rollback_id=rollback_id)


@require_POST
@requires(Capability.LEAD)
def sign(request: HttpRequest, rollback_id: UUID) -> HttpResponse:
    """Sign the review of a break-glass."""
    sign_review(rollback_id=rollback_id, account=person(request), actor=actor(request), note_text=typed(request, "note"))
    _put_notices_away(request, rollback_id)
    messages.success(request, "The review is signed, with your note.")
    return redirect("rollbacks:approvals")


def _fresh_password(request: HttpRequest, rollback_id: UUID) -> dt.datetime | None:
    """When the password was last entered, within the time that a decision asks for.

    Too long ago: django-allauth asks for it, and sends this very form again afterwards. Nobody is asked in vain: whoever may not decide
    is refused by the domain without it, and a request that waits no more is said to.
    """
    entered_at = password_entered_at(request)
    if entered_at is not None and clock.now() - entered_at <= REAUTHENTICATED_WITHIN:
        return entered_at
    rollback = get_rollback(rollback_id)
    if not may_decide(rollback, person(request)):
        return entered_at
    if rollback.state != RollbackState.AWAITING_APPROVAL:
        raise wrong_state(rollback, "waits for no decision any more")
    if not person(request).has_usable_password():
        raise Forbidden("Your account has no password to enter again. Ask another approver.", code="reauthentication_required")
    raise ReauthenticationRequired


def _put_notices_away(request: HttpRequest, rollback_id: UUID) -> None:
    """What this person was told about it is done with."""
    mark_read(user=person(request), notice_ids=[notice.pk for notice in list_unread(person(request), limit=200) if str(rollback_id) in notice.url])
