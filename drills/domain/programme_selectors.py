"""Reading the programme. The time of an unannounced drill that has not begun leaves this module for nobody: not in a row, an order or a filter."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db.models import Case, Count, DateTimeField, F, Q, QuerySet, When

from drills.domain.planning import hours_of, rhythm_of
from drills.domain.programme import no_planned_drill
from drills.domain.schedule import draw_one, draw_time, less_than_a_day, period_in_words
from drills.enums import OPEN_STATES, Cadence, PlannedState
from drills.models import DrillPlan, PlannedDrill
from rollbackhub.accounts.models import User
from rollbackhub.common import clock
from rollbackhub.common.errors import InvalidInput

LIMIT = 1000

HIDDEN = Q(plan__announced=False, state__in=OPEN_STATES)
"""Unannounced, and not begun."""


def has_come(at: dt.datetime) -> Q:
    """Planned drills whose time has come by then, or that were started before it. What is excused ahead of its time is none of them yet."""
    return Q(starts_at__lte=at) | Q(started_at__isnull=False)


WEEKDAYS = "Monday to Friday"


@dataclass(frozen=True, slots=True)
class PlannedRow:
    """A planned drill as it may be shown to anybody."""

    id: int
    plan: DrillPlan
    state: PlannedState
    alias: str
    """The alias that is drilled; empty while it is left to chance."""
    environment: str
    announced: bool
    starts_at: dt.datetime | None
    """None: nobody is told."""
    latest_at: dt.datetime | None
    """Until when it is caught up; None: nobody is told, or nothing is to be caught up any more."""
    period_starts_at: dt.datetime
    period_ends_at: dt.datetime
    period_in_words: str
    """`December 2026`, in the team's zone."""
    started_at: dt.datetime | None
    ended_at: dt.datetime | None
    why: str
    """Why it waits, failed, was missed or excused."""
    excused_by: User | None
    execution_id: UUID | None

    @property
    def name_in_words(self) -> str:
        """What tells it from the plan's others: its period, or its time where the plan has more than one a day (and the time is told)."""
        if self.starts_at is None or not less_than_a_day(self.period_starts_at, self.period_ends_at):
            return self.period_in_words
        zone = ZoneInfo(self.plan.team.timezone)
        slot = self.period_starts_at.astimezone(zone)
        return f"{slot.day} {slot:%B %Y}, {slot:%H:%M} {zone.key}"

    @property
    def when_in_words(self) -> str:
        """`some time in December 2026`; empty when its time is told."""
        return "" if self.starts_at is not None else f"some time in {self.period_in_words}"

    @property
    def was_due(self) -> bool:
        """Whether its time is over: what was excused ahead of its time is still to come until then."""
        if self.started_at is not None:
            return True
        return self.ended_at is not None and self.starts_at is not None and self.starts_at <= clock.now()

    @property
    def url(self) -> str:
        """The page of its drill; empty before there is one."""
        return f"/drills/{self.execution_id}/" if self.execution_id else ""

    @property
    def may_be_started(self) -> bool:
        """Whether its state lets a person start it now."""
        return self.state == PlannedState.OVERDUE or (self.state == PlannedState.DUE and self.announced)

    @property
    def may_be_excused(self) -> bool:
        """Whether its state lets a lead excuse it."""
        return self.state in (*OPEN_STATES, PlannedState.MISSED)


@dataclass(frozen=True, slots=True)
class PlanRow:
    """A plan with where it stands."""

    plan: DrillPlan
    target: str
    """`smart-reasoner`, or `one alias of support-prompt, by chance`."""
    cadence_in_words: str
    late_in_words: str
    next: PlannedRow | None
    """The earliest that is open."""
    last: PlannedRow | None
    """The newest that is not, of those whose time has come."""
    overdue: int
    missed: int
    """Of all times."""


@dataclass(frozen=True, slots=True)
class Redrawn:
    """What chance decided for a drill that has begun, drawn again from what was put on record."""

    seed: str
    """Its SHA-256 stands in the audit event that wrote the drill down."""
    recorded_time: dt.datetime
    drawn_time: dt.datetime | None
    """None: its time was announced, not drawn."""
    recorded_alias: str
    drawn_alias: str
    """Empty: the plan named its alias."""
    eligible: list[str]

    @property
    def agrees(self) -> bool:
        """Whether what was recorded is what is drawn again."""
        return self.drawn_time in (None, self.recorded_time) and self.drawn_alias in ("", self.recorded_alias)


def planned_drills() -> QuerySet[Any]:
    """Every planned drill with all that a row shows, and `shown_at`, by which it may be ordered and filtered: of a hidden one its period's beginning."""
    shown_at = Case(When(HIDDEN, then=F("period_starts_at")), default=F("starts_at"), output_field=DateTimeField())
    shown_until = Case(When(HIDDEN, then=F("period_ends_at")), default=F("starts_at"), output_field=DateTimeField())
    related = ("plan__team", "plan__owner", "plan__environment", "plan__artefact", "plan__policy__artefact", "policy", "excused_by")
    return PlannedDrill.objects.select_related(*related).annotate(shown_at=shown_at, shown_until=shown_until)


def filter_planned(
    *,
    since: dt.datetime | None = None,
    until: dt.datetime | None = None,
    team: str = "",
    plan: int | None = None,
    state: str = "",
    alias: str = "",
    environment: str = "",
) -> QuerySet[Any]:
    """Those that match; of a time span those that may fall into it. `team` is its slug. Raises InvalidInput for a state that does not exist."""
    found = planned_drills().order_by("shown_at", "pk")
    if since is not None:
        # A hidden one may still come until its period's end.
        found = found.filter(Q(HIDDEN, shown_until__gt=since) | Q(~HIDDEN, shown_until__gte=since))
    if until is not None:
        found = found.filter(shown_at__lt=until)
    if team:
        found = found.filter(plan__team__slug=team)
    if plan is not None:
        found = found.filter(plan=plan)
    if alias:
        found = found.filter(Q(policy__alias=alias) | Q(policy=None, plan__policy__alias=alias))
    if environment:
        found = found.filter(plan__environment__slug=environment)
    if state:
        if state not in PlannedState.values:
            raise InvalidInput(f"There is no state {state!r}; there are {', '.join(PlannedState.values)}.", fields={"state": ["Unknown state."]})
        found = found.filter(state=state)
    return found


def list_planned(
    *,
    since: dt.datetime | None = None,
    until: dt.datetime | None = None,
    team: str = "",
    plan: int | None = None,
    state: str = "",
    alias: str = "",
    environment: str = "",
    limit: int = LIMIT,
) -> list[PlannedRow]:
    """The same as rows that may be shown to anybody, the earliest first. One query."""
    found = filter_planned(since=since, until=until, team=team, plan=plan, state=state, alias=alias, environment=environment)
    return [row_of(planned) for planned in found[:limit]]


def get_planned(planned_id: int) -> PlannedRow:
    """One. Raises NotFound. One query."""
    found = planned_drills().filter(pk=planned_id).first()
    if found is None:
        raise no_planned_drill()
    return row_of(found)


def row_of(planned: PlannedDrill) -> PlannedRow:
    """What may be shown of it. No query when it comes from `planned_drills`."""
    plan, state = planned.plan, PlannedState(planned.state)
    hidden = planned.is_hidden
    policy = planned.policy or plan.policy
    return PlannedRow(
        id=planned.pk,
        plan=plan,
        state=state,
        alias=policy.alias if policy is not None else "",
        environment=plan.environment.slug,
        announced=plan.announced,
        starts_at=None if hidden else planned.starts_at,
        latest_at=None if hidden or state not in OPEN_STATES else planned.latest_at,
        period_starts_at=planned.period_starts_at,
        period_ends_at=planned.period_ends_at,
        period_in_words=period_in_words(planned.period_starts_at, planned.period_ends_at, zone=ZoneInfo(plan.team.timezone)),
        started_at=planned.started_at,
        ended_at=planned.ended_at,
        # Before its time is known to have come, why it waits would tell that it has.
        why="" if hidden and state == PlannedState.DUE else planned.why,
        excused_by=planned.excused_by,
        execution_id=planned.execution_id,
    )


def next_of(plan: DrillPlan) -> PlannedRow | None:
    """The earliest drill of a plan that is open; None when there is none. One query."""
    found = planned_drills().filter(plan=plan, state__in=OPEN_STATES).order_by("shown_at", "pk").first()
    return row_of(found) if found is not None else None


def list_plans(*, team: str = "", active: bool | None = None, owner: str = "") -> list[PlanRow]:
    """Plans with what comes next and what was last, by team and name. Four queries for any number."""
    return describe_plans(list(filter_plans(team=team, active=active, owner=owner)))


def filter_plans(*, team: str = "", active: bool | None = None, owner: str = "") -> QuerySet[DrillPlan]:
    """Plans that match, by team and name. `team` is its slug, `owner` a username."""
    found = DrillPlan.objects.select_related("team", "owner", "environment", "artefact", "policy__artefact").order_by("team__name", "name")
    if team:
        found = found.filter(team__slug=team)
    if owner:
        found = found.filter(owner__username=owner)
    return found if active is None else found.filter(is_active=active)


def describe_plans(plans: Sequence[DrillPlan]) -> list[PlanRow]:
    """The same for these, in their order. Three queries for any number."""
    ids = [plan.pk for plan in plans]
    coming = planned_drills().filter(plan__in=ids, state__in=OPEN_STATES).order_by("plan_id", "shown_at", "pk").distinct("plan_id")
    come = planned_drills().filter(has_come(clock.now()), plan__in=ids).exclude(state__in=OPEN_STATES)
    past = come.order_by("plan_id", "-starts_at", "-pk").distinct("plan_id")
    counts = {
        row["plan"]: row
        for row in PlannedDrill.objects.filter(plan__in=ids)
        .values("plan")
        .order_by("plan")
        .annotate(overdue=Count("pk", filter=Q(state=PlannedState.OVERDUE)), missed=Count("pk", filter=Q(state=PlannedState.MISSED)))
    }
    upcoming = {planned.plan_id: row_of(planned) for planned in coming}
    last = {planned.plan_id: row_of(planned) for planned in past}
    none = {"overdue": 0, "missed": 0}
    return [
        PlanRow(
            plan=plan,
            target=target_in_words(plan),
            cadence_in_words=cadence_in_words(plan),
            late_in_words=late_in_words(plan),
            next=upcoming.get(plan.pk),
            last=last.get(plan.pk),
            overdue=counts.get(plan.pk, none)["overdue"],
            missed=counts.get(plan.pk, none)["missed"],
        )
        for plan in plans
    ]


def target_in_words(plan: DrillPlan) -> str:
    """What it drills."""
    return plan.policy.alias if plan.policy is not None else f"one alias of {plan.target_artefact.slug}, by chance"


def cadence_in_words(plan: DrillPlan) -> str:
    """`Monthly (high stakes), announced: on the first working day at 10:00 Asia/Kolkata`."""
    hours, rhythm = hours_of(plan), rhythm_of(plan)
    stakes = f" ({plan.target_artefact.stakes} stakes)" if plan.cadence == Cadence.BY_STAKES else ""
    often = f"By {plan.cron}" if rhythm.cadence == Cadence.CRON else f"{rhythm.cadence.label}{stakes}"
    zone = hours.zone.key
    if not plan.announced:
        return f"{often}, unannounced: at a random time, {WEEKDAYS} {hours.starts:%H:%M} to {hours.ends:%H:%M} {zone}"
    if rhythm.cadence == Cadence.CRON:
        return f"{often} in {zone}, announced"
    return f"{often}, announced: on the first working day an hour after {hours.starts:%H:%M} {zone}"


def late_in_words(plan: DrillPlan) -> str:
    """For how long what could not start is caught up: `24 hours`, and by cron never beyond the next time."""
    hours = f"{plan.late_hours} hour{'' if plan.late_hours == 1 else 's'}"
    return f"{hours}, but never beyond the next time of its expression" if plan.cadence == Cadence.CRON else hours


def draw_again(planned_id: int) -> Redrawn | None:
    """What chance decided for a drill, for whoever checks it. None while nobody may know, and when nothing was left to chance.

    Raises NotFound. One query.
    """
    planned = planned_drills().filter(pk=planned_id).first()
    if planned is None:
        raise no_planned_drill()
    if planned.state in OPEN_STATES or not planned.draw:
        return None
    seed = str(planned.draw["seed"])
    eligible = list(planned.draw.get("eligible", []))
    return Redrawn(
        seed=seed,
        recorded_time=planned.starts_at,
        drawn_time=draw_time(planned.draw, seed=seed) if "since" in planned.draw else None,
        recorded_alias=planned.policy.alias if planned.policy is not None else "",
        drawn_alias=draw_one(eligible, seed=seed) if eligible else "",
        eligible=eligible,
    )
