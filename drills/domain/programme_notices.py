"""What the owner of a plan is told about its drills, each once."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from zoneinfo import ZoneInfo

from django.db.models import QuerySet

from drills.domain.schedule import instant_of, less_than_a_day, period_in_words
from drills.enums import PlannedState
from drills.models import PlannedDrill
from rollbackhub.accounts.domain.notices import list_people_with, put_away, tell
from rollbackhub.accounts.enums import Role
from rollbackhub.accounts.models import User
from rollbackhub.common.sentences import with_stop

AHEAD = "ahead"


def tell_ahead(planned: PlannedDrill) -> None:
    """That an announced drill is about to come: once for all that a plan still has on that day, by the team's clock."""
    team = planned.plan.team
    starts = planned.starts_at.astimezone(ZoneInfo(team.timezone))
    when = f"{starts:%A} {starts.day} {starts:%B} at {starts:%H:%M} ({team.timezone}, the zone of {team.name})"
    others = _due_that_day(planned).exclude(pk=planned.pk).filter(starts_at__gt=planned.starts_at).count()
    if others:
        text = f"{others + 1} drills of it start by themselves on that day, the first on {when}. They need nobody, but somebody who can look when one fails."
    else:
        text = f"It starts by itself on {when}. It needs nobody, but somebody who can look when it fails."
    _tell(planned, AHEAD, f"Drill{'s' if others else ''} ahead: {planned.plan.name}", text)


def tell_of(planned: PlannedDrill) -> None:
    """That it is overdue, was missed or has failed; nothing in another state. An unannounced one that is overdue is named without its time."""
    plan, state = planned.plan, PlannedState(planned.state)
    zone = ZoneInfo(plan.team.timezone)
    period = period_in_words(planned.period_starts_at, planned.period_ends_at, zone=zone)
    if plan.announced and less_than_a_day(planned.period_starts_at, planned.period_ends_at):
        period += f", {planned.period_starts_at.astimezone(zone):%H:%M} {zone.key}"
    subject = {
        PlannedState.OVERDUE: f"Drill overdue: {plan.name}",
        PlannedState.MISSED: f"Drill missed: {plan.name}",
        PlannedState.FAILED: f"Drill failed: {plan.name}",
    }.get(state)
    if subject is not None:
        url = f"/drills/{planned.execution_id}/" if state == PlannedState.FAILED and planned.execution_id else ""
        _tell(planned, state, subject, f"The drill of {period}. {with_stop(planned.why)}", url=url)


def put_away_notices(planned: PlannedDrill) -> None:
    """What was said of it before is settled by what it is now."""
    state = PlannedState(planned.state)
    over = [AHEAD] if state != PlannedState.DUE and not _due_that_day(planned).exists() else []
    over += [PlannedState.OVERDUE] if state != PlannedState.OVERDUE else []
    over += [PlannedState.MISSED] if state == PlannedState.EXCUSED else []
    put_away(_key(planned, what) for what in over)


def _tell(planned: PlannedDrill, what: str, subject: str, text: str, *, url: str = "") -> None:
    tell(people=_people(planned), key=_key(planned, what), subject=subject, text=text, url=url or f"/drills/plans/{planned.plan_id}/")


def _people(planned: PlannedDrill) -> Iterable[User]:
    """The owner; the platform leads while the owner cannot sign in any more."""
    owner = planned.plan.owner
    return [owner] if owner.is_active else list_people_with(Role.PLATFORM_LEAD)


def _key(planned: PlannedDrill, what: str) -> str:
    if what == AHEAD:
        return f"drill-plan:{planned.plan_id}:{AHEAD}:{_day(planned):%Y-%m-%d}"
    return f"planned-drill:{planned.pk}:{what}"


def _day(planned: PlannedDrill) -> dt.date:
    return planned.starts_at.astimezone(ZoneInfo(planned.plan.team.timezone)).date()


def _due_that_day(planned: PlannedDrill) -> QuerySet[PlannedDrill]:
    """What the plan still has to come on the day of this one, by the team's clock."""
    zone, day = ZoneInfo(planned.plan.team.timezone), _day(planned)
    since, until = instant_of(zone, day, dt.time()), instant_of(zone, day + dt.timedelta(days=1), dt.time())
    return PlannedDrill.objects.filter(plan=planned.plan_id, state=PlannedState.DUE, starts_at__gte=since, starts_at__lt=until)
