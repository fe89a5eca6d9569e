"""Reminding: before a postmortem is due, and every day once it is overdue. Each is told once for each step."""

from __future__ import annotations

import datetime as dt

from rollbackhub.accounts.domain.notices import list_people_with, put_away, tell
from rollbackhub.accounts.enums import Role
from rollbackhub.actions.domain.selectors import today_of
from rollbackhub.common import clock
from rollbackhub.postmortems.domain.writing import address_of
from rollbackhub.postmortems.models import Postmortem
from rollbackhub.postmortems.rules import REMIND_BEFORE, WRITTEN_BEFORE_DUE, reminder_step


def remind_due() -> int:
    """Tell owners (leads where there is none, and leads besides once it is overdue) of what is due. Safe twice at once. Returns how many were told."""
    now = clock.now()
    # Whatever the zone of the team: a day more on either side.
    soon = now.date() + dt.timedelta(days=max(REMIND_BEFORE) + 1)
    found = Postmortem.objects.filter(state__in=WRITTEN_BEFORE_DUE, due_on__lte=soon).select_related("incident", "team", "owner").order_by("due_on", "pk")
    return sum(_remind(postmortem, today=today_of(postmortem.team.timezone if postmortem.team else "UTC", at=now)) for postmortem in found)


def _remind(postmortem: Postmortem, *, today: dt.date) -> int:
    step = reminder_step(due_on=postmortem.due_on, today=today)
    if not step:
        return 0
    late = step.startswith("late")
    title = postmortem.incident.title
    day = f"{postmortem.due_on:%d %b %Y}"
    subject = f"Overdue since {day}: the postmortem of {title}" if late else f"Due {_when(step)}: the postmortem of {title}"
    text = (
        f"It is {postmortem.get_state_display().lower()} and was to be published by {day}."
        if late
        else f"It is {postmortem.get_state_display().lower()}; publish it by {day}."
    )
    owner = postmortem.owner if postmortem.owner is not None and postmortem.owner.is_active else None
    people = [owner] if owner else list(list_people_with(Role.PLATFORM_LEAD))
    # What was said on an earlier day is settled by what is said today.
    put_away([_key(postmortem, str(days)) for days in REMIND_BEFORE if str(days) != step] + [_key(postmortem, f"late:{today - dt.timedelta(days=1):%Y-%m-%d}")])
    told = tell(people=people, key=_key(postmortem, step), subject=subject, text=text, url=address_of(postmortem))
    if late and owner:
        told += tell(
            people=list_people_with(Role.PLATFORM_LEAD).exclude(pk=owner.pk),
            key=_key(postmortem, "late"),
            subject=subject,
            text=text,
            url=address_of(postmortem),
        )
    return told


def _key(postmortem: Postmortem, step: str) -> str:
    return f"postmortem:{postmortem.pk}:due:{postmortem.due_on:%Y%m%d}:{step}"


def _when(step: str) -> str:
    return {"0": "today", "1": "tomorrow"}.get(step, f"in {step} days")
