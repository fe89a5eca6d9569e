"""Reminding: before a postmortem is due, and every day once it is overdue, each once for each step; and noting on the audit log what is overdue."""

from __future__ import annotations

import datetime as dt
from uuid import UUID

from django.db import transaction
from django.db.models import CharField, Exists, OuterRef
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast

from rollbackhub.accounts.domain.notices import list_people_with, put_away, tell
from rollbackhub.accounts.enums import Role
from rollbackhub.actions.domain.selectors import today_of
from rollbackhub.audit.models import AuditEvent
from rollbackhub.common import clock
from rollbackhub.common.turns import each_of
from rollbackhub.postmortems.domain.drafting import DRAFTER
from rollbackhub.postmortems.domain.selectors import is_overdue, list_postmortems
from rollbackhub.postmortems.domain.writing import address_of, lock_postmortem, record_about
from rollbackhub.postmortems.models import Postmortem
from rollbackhub.postmortems.rules import REMIND_BEFORE, WRITTEN_BEFORE_DUE, reminder_step


def remind_due() -> int:
    """Tell owners (leads where there is none, and leads besides once it is overdue) of what is due. Safe twice at once. Returns how many were told."""
    now = clock.now()
    # Whatever the zone of the team: a day more on either side.
    soon = now.date() + dt.timedelta(days=max(REMIND_BEFORE) + 1)
    found = Postmortem.objects.filter(state__in=WRITTEN_BEFORE_DUE, due_on__lte=soon).select_related("incident", "team", "owner").order_by("due_on", "pk")
    return sum(_remind(postmortem, today=today_of(postmortem.team.timezone if postmortem.team else "UTC", at=now)) for postmortem in found)


def note_overdue() -> int:
    """Record `postmortem.overdue` for what is not published and its day is over: once for each day that it was due. Safe twice at once.

    Returns how many were noted.
    """
    return each_of(list(list_postmortems(overdue=True).exclude(_noted()).values_list("pk", flat=True)), _note, doing="while noting overdue postmortem")


def _note(postmortem_id: UUID) -> int:
    with transaction.atomic():
        # Under the lock it is looked at anew: it may have been noted, published or given another day meanwhile.
        postmortem = lock_postmortem(postmortem_id)
        if not is_overdue(postmortem) or not Postmortem.objects.filter(pk=postmortem_id).exclude(_noted()).exists():
            return 0
        record_about(postmortem, event="postmortem.overdue", actor=DRAFTER, data={"due_on": postmortem.due_on.isoformat()})
        return 1


def _noted() -> Exists:
    return Exists(
        AuditEvent.objects.annotate(day=KeyTextTransform("due_on", "data")).filter(
            subject_type="postmortem", subject_id=Cast(OuterRef("pk"), CharField()), event="postmortem.overdue", day=Cast(OuterRef("due_on"), CharField())
        )
    )


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
