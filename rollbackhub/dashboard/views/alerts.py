"""Alerts: what came in and what came of it; the rollbacks that they propose, with the one confirmation."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from rollbackhub.accounts.rules import Capability
from rollbackhub.alerts.domain.proposals import (
    confirm_proposal,
    dismiss_proposal,
    get_proposal,
    list_open_proposals,
    list_proposals,
    plan_now,
    reason_of,
)
from rollbackhub.alerts.domain.selectors import count_firing, get_alert, list_alerts
from rollbackhub.alerts.enums import AlertState, ProposalState
from rollbackhub.alerts.models import Proposal
from rollbackhub.audit.domain.listing import list_events_about
from rollbackhub.common.errors import Conflict, InvalidInput, RollbackHubError
from rollbackhub.dashboard.access import actor, person, requires
from rollbackhub.dashboard.alert_forms import AlertFilterForm, ConfirmForm, ProposalFilterForm, blame
from rollbackhub.dashboard.filters import say_what_is_left_out
from rollbackhub.dashboard.looks import ALERTS, PROPOSALS
from rollbackhub.dashboard.requests import typed
from rollbackhub.dashboard.views.rollback_start import LEADS_ELSEWHERE, proposal_context
from rollbackhub.rollbacks.enums import RollbackState, Via

PAGE_SIZE = 50


@require_safe
@requires(Capability.VIEW)
def alert_list(request: HttpRequest) -> HttpResponse:
    """What came in, the newest first."""
    form = AlertFilterForm(request.GET)
    wanted = form.wanted()
    say_what_is_left_out(request, form.errors)
    page = Paginator(list_alerts(**wanted), PAGE_SIZE).get_page(request.GET.get("page"))
    context = {
        "form": form,
        "page": page,
        "rows": [(alert, ALERTS[AlertState(alert.state)]) for alert in page.object_list],
        "firing": count_firing(),
        "open_proposals": list_open_proposals().count(),
        "filtered": any(request.GET.get(name) for name in form.fields),
    }
    return render(request, "alerts/list.html", context)


@require_safe
@requires(Capability.VIEW)
def alert_detail(request: HttpRequest, alert_id: UUID) -> HttpResponse:
    """One alert: what it says, and what came of it."""
    alert = get_alert(alert_id)
    context = {
        "alert": alert,
        "look": ALERTS[AlertState(alert.state)],
        "labels": sorted(alert.labels.items()),
        "annotations": sorted(alert.annotations.items()),
        "events": list_events_about(subject_types=["alert"], subject_id=str(alert.pk)),
    }
    return render(request, "alerts/detail.html", context)


@require_safe
@requires(Capability.VIEW)
def proposal_list(request: HttpRequest) -> HttpResponse:
    """What alerts have proposed, the newest first."""
    form = ProposalFilterForm(request.GET)
    wanted = form.wanted()
    say_what_is_left_out(request, form.errors)
    page = Paginator(list_proposals(**wanted), PAGE_SIZE).get_page(request.GET.get("page"))
    context = {
        "form": form,
        "page": page,
        "rows": [(proposal, PROPOSALS[ProposalState(proposal.state)]) for proposal in page.object_list],
        "open": list_open_proposals().count(),
        "filtered": any(request.GET.get(name) for name in form.fields),
    }
    return render(request, "alerts/proposals.html", context)


@require_safe
@requires(Capability.VIEW)
def proposal_detail(request: HttpRequest, proposal_id: UUID) -> HttpResponse:
    """A proposed rollback: the alert, the plan as it is now, and the confirmation."""
    proposal = get_proposal(proposal_id)
    return _page(request, proposal, ConfirmForm(initial={"reason": reason_of(proposal)}))


@require_POST
@requires(Capability.ROLL_BACK)
def proposal_confirm(request: HttpRequest, proposal_id: UUID) -> HttpResponse:
    """Request the rollback as it was seen."""
    get_proposal(proposal_id)
    form = ConfirmForm(request.POST)
    notice: RollbackHubError | None = None
    if form.is_valid():
        try:
            confirmed = confirm_proposal(
                proposal_id=proposal_id,
                account=person(request),
                actor=actor(request),
                via=Via.PAGE,
                seen_plan_hash=form.cleaned_data["seen_plan_hash"],
                reason=form.cleaned_data["reason"],
            )
        except Conflict as error:
            if error.code in (*LEADS_ELSEWHERE, "proposal_ended") and error.extra.get("url"):
                messages.warning(request, error.message)
                return redirect(str(error.extra["url"]))
            notice = error
        except InvalidInput as error:
            notice = error
            blame(form, error)
        else:
            rollback = confirmed.rollback
            assert rollback is not None  # the database sees to it
            if rollback.state == RollbackState.AWAITING_APPROVAL:
                messages.info(request, "Asked: those who may approve were told. Nothing begins before one of them has.")
            return redirect("rollbacks:detail", rollback_id=rollback.pk)
    return _page(request, get_proposal(proposal_id), form, notice=notice, status=notice.status if notice else 422)


@require_POST
@requires(Capability.ROLL_BACK)
def proposal_dismiss(request: HttpRequest, proposal_id: UUID) -> HttpResponse:
    """Say that nothing is to be rolled back, and why."""
    reason = typed(request)
    dismiss_proposal(proposal_id=proposal_id, account=person(request), actor=actor(request), reason=reason)
    messages.success(request, "Dismissed; why stands on the record. The incident stays open.")
    return redirect("alerts:proposal", proposal_id=proposal_id)


def _page(request: HttpRequest, proposal: Proposal, form: ConfirmForm, *, notice: RollbackHubError | None = None, status: int = 200) -> HttpResponse:
    alerts = list(proposal.alerts.select_related("hook").order_by("first_seen_at"))
    is_open = proposal.state == ProposalState.OPEN
    context: dict[str, Any] = {
        "shown": proposal,
        "look": PROPOSALS[ProposalState(proposal.state)],
        "is_open": is_open,
        "form": form,
        "notice": notice,
        "alerts": [(alert, ALERTS[AlertState(alert.state)]) for alert in alerts],
        "all_over": bool(alerts) and all(alert.state == AlertState.RESOLVED for alert in alerts),
        "frozen": proposal.plan["parts"][0],
        "environment": proposal.policy.environment,
        "events": list_events_about(subject_types=["proposal"], subject_id=str(proposal.pk)),
    }
    if is_open:
        try:
            found = plan_now(proposal.policy, account=person(request))
        except RollbackHubError as error:
            context |= {"refusal": error}
        else:
            context |= proposal_context(request, found) | {"changed": found.plan_hash != proposal.plan_hash}
    return render(request, "alerts/proposal.html", context, status=status)
