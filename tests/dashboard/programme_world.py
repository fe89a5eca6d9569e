"""A drill programme for pages: a plan in each state of things, planned drills in every state, a quiet period, a feed, and actions."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from django.urls import reverse

from drills.enums import Cadence, PlannedState
from drills.models import CalendarFeed, DrillPlan, FindingAction, PlannedDrill, QuietPeriod
from rollbackhub.accounts.enums import Role
from rollbackhub.accounts.models import User
from rollbackhub.actions.models import Action
from rollbackhub.common.clock import now
from rollbackhub.executions.models import Execution
from tests.dashboard.world import World
from tests.factories.accounts import UserFactory
from tests.factories.actions import ActionFactory
from tests.factories.drills import CalendarFeedFactory, DrillPlanFactory, FindingActionFactory, PlannedDrillFactory, QuietPeriodFactory

DAY = dt.timedelta(days=1)


@dataclass(frozen=True)
class Programme:
    """The things that pages of the programme are about."""

    plan: DrillPlan
    """Of smart-reasoner, announced: one drill in each state."""
    hidden: PlannedDrill
    """Unannounced, of an artefact's alias by chance, due in the present month."""
    planned: dict[str, PlannedDrill]
    """By state."""
    ended: DrillPlan
    quiet: QuietPeriod
    feed: CalendarFeed
    found: FindingAction
    """Open, of smart-reasoner."""
    overdue: Action
    done: Action


def make_programme(world: World) -> Programme:
    """Build it in whatever database is current."""
    owner = User.objects.filter(username="oncall").first() or UserFactory(username="oncall", roles=[Role.ON_CALL])
    plan = DrillPlanFactory(name="Reasoner every month", policy=world.reasoner, owner=owner)
    # The one that passed last: it is the newest drill of its alias.
    states = sorted(enumerate(PlannedState.values), key=lambda entry: entry[1] == PlannedState.PASSED)
    planned = {state: _planned(plan, state, number, runs=world.running) for number, state in states}
    unannounced = DrillPlanFactory(
        name="Any prompt, unannounced",
        policy=None,
        artefact=world.prompt.artefact,
        environment=world.staging,
        owner=owner,
        announced=False,
        cadence=Cadence.BY_STAKES,
    )
    start = now().replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    hidden = PlannedDrillFactory(plan=unannounced, starts_at=start + 9 * DAY + dt.timedelta(hours=13, minutes=37), slot=start)
    return Programme(
        plan=plan,
        hidden=hidden,
        planned=planned,
        ended=DrillPlanFactory(name="Old one", policy=world.reasoner, owner=owner, is_active=False),
        quiet=QuietPeriodFactory(reason="Year-end freeze"),
        feed=CalendarFeedFactory(name="Wall of the platform team", team=plan.team),
        found=FindingActionFactory(finding__execution=world.failed, finding__subject="staging-gateway-9", action__title="Flag moved: staging-gateway-9"),
        overdue=ActionFactory(title="Write the runbook down", owner=owner, due_on=now().date() - 5 * DAY),
        done=ActionFactory(title="Grant the permission", owner=owner, done=True),
    )


def _planned(plan: DrillPlan, state: str, number: int, *, runs: Execution) -> PlannedDrill:
    """One of a plan in this state, earlier today, at an instant of its own. The one that runs is the world's: no other alias is held."""
    at = now()
    midnight = at.replace(hour=0, minute=0, second=0, microsecond=0)
    slot = midnight + (at - midnight) * (number + 1) / (len(PlannedState.values) + 1)
    month = midnight.replace(day=1)
    period = {"period_starts_at": month, "period_ends_at": (month + 32 * DAY).replace(day=1)}
    values: dict[str, object] = {"plan": plan, "slot": slot, "starts_at": slot, "latest_at": slot + DAY, **period}
    if state == PlannedState.OVERDUE:
        values |= {"state": state, "why": "smart-reasoner is held by another execution."}
    elif state == PlannedState.RUNNING:
        values |= {"state": state, "started_at": slot, "execution": runs, "policy": runs.policy}
    elif state != PlannedState.DUE:
        values[state] = True
    made: PlannedDrill = PlannedDrillFactory(**values)
    return made


def addresses_of_programme(programme: Programme) -> dict[str, str]:
    """Every page of it, by a short name."""
    return {
        "plans": reverse("drills:plans"),
        "plans-ended": reverse("drills:plans") + "?ended=1",
        "plan": reverse("drills:plan", args=[programme.plan.pk]),
        "plan-ended": reverse("drills:plan", args=[programme.ended.pk]),
        "plan-new": reverse("drills:plan-new") + "?alias=smart-reasoner&environment=staging",
        "plan-edit": reverse("drills:plan-edit", args=[programme.plan.pk]),
        **{f"planned-{state}": reverse("drills:planned", args=[programme.planned[state].pk]) for state in ("overdue", "failed", "excused")},
        "planned-hidden": reverse("drills:planned", args=[programme.hidden.pk]),
        "calendar": reverse("drills:calendar"),
        "calendar-day": f"{reverse('drills:calendar')}?day={now():%Y-%m-%d}",
        "quiet": reverse("drills:quiet"),
        "quiet-new": reverse("drills:quiet-new"),
        "feeds": reverse("drills:feeds"),
        "actions": reverse("actions:list"),
        "actions-all": reverse("actions:list") + "?state=all",
        "action": reverse("actions:detail", args=[programme.found.pk]),
        "action-done": reverse("actions:detail", args=[programme.done.pk]),
    }
