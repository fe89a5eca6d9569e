"""Actions: what drills, reviews and postmortems have given somebody to do, by when; changed, closed and opened again."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from drills.models import FindingAction
from rollbackhub.accounts.rules import Capability
from rollbackhub.actions.domain.selectors import get_action, is_overdue, list_actions
from rollbackhub.actions.domain.transitions import change_action, close_action, may_act_on, reopen_action
from rollbackhub.actions.enums import ActionOrigin, ActionState
from rollbackhub.actions.models import Action
from rollbackhub.audit.domain.listing import list_events_about
from rollbackhub.common.errors import InvalidInput
from rollbackhub.dashboard.access import actor, person, requires
from rollbackhub.dashboard.action_forms import ALL, MINE, ActionFilterForm, ActionForm
from rollbackhub.dashboard.filters import say_what_is_left_out
from rollbackhub.dashboard.looks import ACTION_OVERDUE_LOOK, ACTIONS, Look
from rollbackhub.dashboard.requests import typed

PAGE_SIZE = 50
OVERDUE = "overdue"


@require_safe
@requires(Capability.VIEW)
def action_list(request: HttpRequest) -> HttpResponse:
    """What is there to mend, the soonest due first: what is overdue comes before everything else."""
    form = ActionFilterForm(request.GET)
    wanted = form.wanted()
    say_what_is_left_out(request, form.errors)
    page = Paginator(_matching(request, wanted), PAGE_SIZE).get_page(request.GET.get("page"))
    context = {
        "form": form,
        "page": page,
        "rows": [(action, look_of(action), getattr(action, "finding_link", None)) for action in page.object_list],
        "open": list_actions(state=ActionState.OPEN).count(),
        "overdue": list_actions(overdue=True).count(),
        "state": wanted["state"],
        "filtered": any(request.GET.get(name) for name in form.fields),
    }
    return render(request, "actions/list.html", context)


@require_safe
@requires(Capability.VIEW)
def action_detail(request: HttpRequest, action_id: UUID) -> HttpResponse:
    """One thing to do: what, by whom, by when, what it came out of, and what became of it."""
    action = get_action(action_id)
    return _page(request, action, ActionForm(action=action))


@require_POST
@requires(Capability.VIEW)
def action_change(request: HttpRequest, action_id: UUID) -> HttpResponse:
    """Give it to somebody else, or another day. Who may: the domain says."""
    action = get_action(action_id)
    form = ActionForm(request.POST, action=action)
    if form.is_valid():
        try:
            change_action(action_id=action_id, actor=actor(request), user=person(request), owner=form.chosen_owner(), due_on=form.cleaned_data["due_on"])
        except InvalidInput as error:
            for name, sentences in error.fields.items():
                for sentence in sentences:
                    form.add_error(name if name in form.fields else None, sentence)
        else:
            messages.success(request, "The action is changed.")
            return redirect("actions:detail", action_id=action_id)
    return _page(request, action, form, status=422)


@require_POST
@requires(Capability.VIEW)
def action_done(request: HttpRequest, action_id: UUID) -> HttpResponse:
    """Say that it is done."""
    done = close_action(action_id=action_id, actor=actor(request), user=person(request), reason=typed(request))
    messages.success(request, "The action is done." + (" A drill that finds it again opens it again." if done.origin == ActionOrigin.DRILL else ""))
    return redirect("actions:detail", action_id=action_id)


@require_POST
@requires(Capability.VIEW)
def action_decline(request: HttpRequest, action_id: UUID) -> HttpResponse:
    """Say that it will not be done, and why."""
    close_action(action_id=action_id, actor=actor(request), user=person(request), reason=typed(request), state=ActionState.NOT_DOING)
    messages.success(request, "It will not be done; why stands on the record.")
    return redirect("actions:detail", action_id=action_id)


@require_POST
@requires(Capability.VIEW)
def action_reopen(request: HttpRequest, action_id: UUID) -> HttpResponse:
    """Say that it was not done after all."""
    again = reopen_action(action_id=action_id, reason=typed(request), actor=actor(request), user=person(request))
    beyond = " Its postmortem is published again, if it was closed." if again.origin == ActionOrigin.POSTMORTEM else ""
    messages.success(request, f"The action is open again; its owner is told.{beyond}")
    return redirect("actions:detail", action_id=action_id)


def look_of(action: Action) -> Look:
    """Its state; overdue is a look of its own. No query when fetched with its team."""
    return ACTION_OVERDUE_LOOK if is_overdue(action) else ACTIONS[ActionState(action.state)]


def _matching(request: HttpRequest, wanted: dict[str, str]) -> QuerySet[Action]:
    state = wanted["state"]
    found = list_actions(
        team=wanted["team"],
        owner=person(request) if wanted["owner"] == MINE else None,
        state="" if state in (ALL, OVERDUE) else state or ActionState.OPEN,
        overdue=True if state == OVERDUE else None,
        origin=wanted["origin"],
    ).select_related("finding_link__policy__environment")
    return found.order_by("-closed_at", "pk") if state in (ActionState.DONE, ActionState.NOT_DOING) else found


def _page(request: HttpRequest, action: Action, form: ActionForm, *, status: int = 200) -> HttpResponse:
    links = FindingAction.objects.select_related("policy__environment", "finding", "last_seen_execution", "closing_execution")
    context: dict[str, Any] = {
        "action": action,
        "look": look_of(action),
        "link": links.filter(action=action).first(),
        "form": form,
        "may_act": may_act_on(action, user=person(request)),
        "events": list_events_about(subject_types=["action"], subject_id=str(action.pk)),
    }
    return render(request, "actions/detail.html", context, status=status)
