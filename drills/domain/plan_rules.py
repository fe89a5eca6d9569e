"""What a drill plan must be, in words per field."""

from __future__ import annotations

import datetime as dt
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

from drills.domain.schedule import WorkingHours, cron_problem, cron_times, working_windows
from drills.enums import Cadence
from drills.models import DrillPlan
from rollbackhub.accounts.models import User
from rollbackhub.accounts.rules import Capability, may
from rollbackhub.common import clock
from rollbackhub.registry.enums import EnvironmentKind

LATE_HOURS = range(1, 24 * 7 + 1)
LOOKED_AHEAD = 60
"""How many times of a cron expression are tried for working hours."""


def problems_of(plan: DrillPlan) -> dict[str, list[str]]:
    """Sentences by field; none when the plan may be kept."""
    found: dict[str, list[str]] = {}
    if not plan.name or len(plan.name) > 120:
        found["name"] = ["Give the plan a name of 1 to 120 characters."]
    owner = owner_problem(plan.owner)
    if owner:
        found["owner"] = [owner]
    found |= _target_problems(plan)
    cadence = _cadence_problems(plan)
    if not cadence and not found and plan.cadence == Cadence.CRON and not plan.announced:
        cadence = _unannounced_problems(plan)
    if plan.late_hours not in LATE_HOURS:
        found["late_hours"] = [f"A drill is caught up for {LATE_HOURS[0]} to {LATE_HOURS[-1]} hours."]
    return found | cadence


def owner_problem(owner: User) -> str:
    """Why this account cannot answer for drills; empty when it can."""
    if owner.is_service:
        return f"{owner.username} is a service account. A person answers for a plan."
    if not may(user=owner, capability=Capability.DRILL):
        return f"{owner.username} may not start drills, so cannot answer for a plan. Choose an on-call engineer or a platform lead."
    return ""


def _target_problems(plan: DrillPlan) -> dict[str, list[str]]:
    if (plan.policy is None) == (plan.artefact is None):
        return {"target": ["Name one target: an alias, or an artefact of which one alias is drilled each time."]}
    environment = plan.environment
    if environment.kind != EnvironmentKind.STAGING:
        return {"environment": [f"Drills run in staging, and {environment.slug} is {environment.get_kind_display().lower()}. Choose a staging environment."]}
    if plan.policy is not None and plan.policy.environment_id != environment.pk:
        return {"environment": [f"{plan.policy.alias} stands in {plan.policy.environment.slug}, not in {environment.slug}."]}
    return {}


def _cadence_problems(plan: DrillPlan) -> dict[str, list[str]]:
    if plan.cadence not in Cadence.values:
        return {"cadence": [f"There is no cadence {plan.cadence}; there are {', '.join(Cadence.values)}."]}
    if plan.cadence != Cadence.CRON:
        return {"cron": ["Only the cadence cron has an expression. Leave it empty."]} if plan.cron else {}
    problem = cron_problem(plan.cron) if len(plan.cron) <= 120 else "An expression has at most 120 characters."
    return {"cron": [problem]} if problem else {}


def _unannounced_problems(plan: DrillPlan) -> dict[str, list[str]]:
    """Between two times of the expression there must be working hours to draw a time from."""
    team = plan.team
    hours = WorkingHours(ZoneInfo(team.timezone), team.work_starts, team.work_ends)
    times = list(islice(cron_times(plan.cron, hours.zone, since=clock.now()), LOOKED_AHEAD))
    long_enough = dt.timedelta(hours=1)
    for slot, following in pairwise(times):
        windows = working_windows(hours, slot, following)
        if sum((end - start for start, end in windows), dt.timedelta()) < long_enough:
            local = slot.astimezone(hours.zone)
            sentence = (
                f"An unannounced drill comes within working hours before the next time of the expression, and from {local:%A %Y-%m-%d %H:%M} on there"
                " is less than an hour of them. Choose times further apart, for example 0 0 * * 1 (once a week)."
            )
            return {"cron": [sentence]}
    return {}
