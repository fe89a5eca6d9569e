"""Drill plans: the list, one plan, making, changing and ending it; and the page of one planned drill."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from drills.domain.planning import AHEAD, AHEAD_BY_CRON
from drills.domain.plans import change_plan, end_plan, get_plan, make_plan
from drills.domain.programme import excuse_planned, start_planned
from drills.domain.programme_selectors import describe_plans, draw_again, get_planned, list_plans
from drills.enums import Cadence
from drills.models import DrillPlan
from rollbackhub.accounts.models import Team
from rollbackhub.accounts.rules import Capability
from rollbackhub.audit.domain.listing import list_events_about
from rollbackhub.common.errors import InvalidInput
from rollbackhub.dashboard.access import actor, person, requires
from rollbackhub.dashboard.filters import say_what_is_left_out
from rollbackhub.dashboard.plan_forms import PlanForm
from rollbackhub.dashboard.plan_page import coming_of, past_of, previewed, said_of
from rollbackhub.dashboard.requests import typed

COMING = 12
PAST = 24
"""So many of a plan's drills its page shows: a year ahead, two years back of monthly ones."""


@require_safe
@requires(Capability.VIEW)
def plan_list(request: HttpRequest) -> HttpResponse:
    """Every plan with what comes next and what was last."""
    teams = {team.slug: team for team in Team.objects.all()}
    team, ended = request.GET.get("team", ""), request.GET.get("ended", "")
    wrong = [name for name, is_wrong in (("team", bool(team) and team not in teams), ("ended", ended not in ("", "1"))) if is_wrong]
    say_what_is_left_out(request, wrong)
    team = "" if "team" in wrong else team
    rows = list_plans(team=team, active=None if ended == "1" else True)
    context = {
        "rows": rows,
        "teams": list(teams.values()),
        "team": team,
        "ended": ended == "1",
        "filtered": bool(team),
        "overdue": sum(row.overdue for row in rows),
    }
    return render(request, "drills/plans.html", context)


@require_safe
@requires(Capability.VIEW)
def plan_detail(request: HttpRequest, plan_id: int) -> HttpResponse:
    """One plan: how often, what comes, what became of those that were."""
    plan = get_plan(plan_id)
    context = {
        "row": describe_plans([plan])[0],
        "plan": plan,
        "coming": coming_of(plan, limit=COMING),
        "past": past_of(plan, limit=PAST),
        "events": list_events_about(subject_types=["drill_plan"], subject_id=str(plan.pk)),
    }
    return render(request, "drills/plan.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@requires(Capability.CONFIGURE)
def plan_new(request: HttpRequest) -> HttpResponse:
    """Plan drills: what it would plan is shown before it is kept."""
    initial = {name: request.GET[name] for name in ("alias", "artefact", "environment") if request.GET.get(name)}
    form = PlanForm(request.POST if request.method == "POST" else None, person=person(request), initial=initial)

    def keep(chosen: dict[str, Any]) -> DrillPlan:
        return make_plan(**chosen, actor=actor(request), user=person(request))

    return _form_page(request, form, keep=keep, plan=None)


@require_http_methods(["GET", "HEAD", "POST"])
@requires(Capability.CONFIGURE)
def plan_edit(request: HttpRequest, plan_id: int) -> HttpResponse:
    """Change a plan: what it would plan then is shown before it is kept."""
    plan = get_plan(plan_id)
    form = PlanForm(request.POST if request.method == "POST" else None, person=person(request), plan=plan)

    def keep(chosen: dict[str, Any]) -> DrillPlan:
        return change_plan(plan_id=plan_id, **chosen, actor=actor(request), user=person(request))

    return _form_page(request, form, keep=keep, plan=plan)


@require_POST
@requires(Capability.CONFIGURE)
def plan_end(request: HttpRequest, plan_id: int) -> HttpResponse:
    """Drill by it no more."""
    plan = end_plan(plan_id=plan_id, actor=actor(request), user=person(request), reason=typed(request))
    messages.success(request, f"“{plan.name}” has ended: nothing more is drilled by it.")
    return redirect("drills:plan", plan_id=plan_id)


@require_POST
@requires(Capability.CONFIGURE)
def plan_resume(request: HttpRequest, plan_id: int) -> HttpResponse:
    """Take up a plan that has ended, from now on."""
    plan = change_plan(plan_id=plan_id, is_active=True, actor=actor(request), user=person(request))
    messages.success(request, f"“{plan.name}” drills again, from now on.")
    return redirect("drills:plan", plan_id=plan_id)


@require_safe
@requires(Capability.VIEW)
def planned_detail(request: HttpRequest, planned_id: int) -> HttpResponse:
    """What becomes of one planned drill, and who may do what about it."""
    return _planned_page(request, planned_id)


@require_POST
@requires(Capability.DRILL)
def planned_start(request: HttpRequest, planned_id: int) -> HttpResponse:
    """Start it now instead of at its time."""
    planned = start_planned(planned_id=planned_id, actor=actor(request), user=person(request))
    return redirect("drills:detail", drill_id=planned.execution_id)


@require_POST
@requires(Capability.LEAD)
def planned_excuse(request: HttpRequest, planned_id: int) -> HttpResponse:
    """Say that it need not be held."""
    try:
        excuse_planned(planned_id=planned_id, reason=typed(request), actor=actor(request), user=person(request))
    except InvalidInput as error:
        return _planned_page(request, planned_id, refused=error.message)
    messages.success(request, "It is excused. It counts as neither passed nor missed.")
    return redirect("drills:planned", planned_id=planned_id)


def _planned_page(request: HttpRequest, planned_id: int, *, refused: str = "") -> HttpResponse:
    """The page of a planned drill; `refused`: what was wrong with what was just sent."""
    row = get_planned(planned_id)
    context = {"row": row, "said": said_of(row), "redrawn": draw_again(planned_id), "refused": refused}
    return render(request, "drills/planned.html", context, status=422 if refused else 200)


def _form_page(request: HttpRequest, form: PlanForm, *, keep: Any, plan: DrillPlan | None) -> HttpResponse:
    """The form; sent, what it would plan; sent once more as it was shown, the plan itself."""
    slots = team = None
    if form.is_valid():
        chosen = form.chosen()
        team = chosen["team"]
        try:
            slots = previewed(chosen, plan=plan)
            if request.POST.get("previewed") == form.digest:
                kept = keep(chosen)
                messages.success(request, f"“{kept.name}” is kept, and its next drills are planned.")
                return redirect("drills:plan", plan_id=kept.pk)
        except InvalidInput as error:
            slots = None
            form.blame(error)
    context = {
        "form": form,
        "plan": plan,
        "slots": slots,
        "team": team,
        "days_ahead": (AHEAD_BY_CRON if form.is_bound and form.cleaned_data.get("cadence") == Cadence.CRON else AHEAD).days,
        "changed_since": bool(request.POST.get("previewed")) and slots is not None,
        "announced": form.is_bound and form.cleaned_data.get("announced") == "yes",
    }
    return render(request, "drills/plan_form.html", context, status=422 if form.errors else 200)
