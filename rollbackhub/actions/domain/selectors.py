"""Reading actions."""

from __future__ import annotations

import datetime as dt
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db.models import Q, QuerySet

from rollbackhub.accounts.models import Team, User
from rollbackhub.actions.domain.transitions import no_action
from rollbackhub.actions.enums import ActionOrigin, ActionState
from rollbackhub.actions.models import Action
from rollbackhub.common import clock
from rollbackhub.common.errors import InvalidInput


def list_actions(
    *, team: str = "", owner: User | None = None, state: str = "", overdue: bool | None = None, origin: str = "", at: dt.datetime | None = None
) -> QuerySet[Action]:
    """Actions with their team and owner, the soonest due first. `team` is its slug. Two queries at most.

    Overdue: open, and the day is over in the team's zone. Raises InvalidInput for a state or origin that does not exist.
    """
    for name, value, known in (("state", state, ActionState.values), ("origin", origin, ActionOrigin.values)):
        if value and value not in known:
            raise InvalidInput(f"There is no {name} {value!r}; there are {', '.join(known)}.", fields={name: [f"Unknown {name}."]})
    found = Action.objects.select_related("team", "owner").order_by("due_on", "created_at", "pk")
    if team:
        found = found.filter(team__slug=team)
    if owner is not None:
        found = found.filter(owner=owner)
    if state:
        found = found.filter(state=state)
    if origin:
        found = found.filter(origin=origin)
    if overdue is not None:
        found = found.filter(_overdue(at or clock.now())) if overdue else found.exclude(_overdue(at or clock.now()))
    return found


def get_action(action_id: UUID) -> Action:
    """One, with its team and owner. Raises NotFound. One query."""
    action = Action.objects.select_related("team", "owner").filter(pk=action_id).first()
    if action is None:
        raise no_action()
    return action


def is_overdue(action: Action, *, at: dt.datetime | None = None) -> bool:
    """Whether it is open and its day is over in the team's zone. No query when fetched with its team."""
    return action.state == ActionState.OPEN and action.due_on < today_of(action.team.timezone, at=at or clock.now())


def today_of(timezone: str, *, at: dt.datetime) -> dt.date:
    """The day that it is in this zone."""
    return at.astimezone(ZoneInfo(timezone)).date()


def _overdue(at: dt.datetime) -> Q:
    """One query: which zones teams are in. Between two zones it is never more than two days."""
    late = Q(pk__in=[])
    for timezone in Team.objects.order_by().values_list("timezone", flat=True).distinct():
        late |= Q(team__timezone=timezone, due_on__lt=today_of(timezone, at=at))
    return Q(state=ActionState.OPEN) & late
