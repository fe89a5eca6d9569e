"""Actions whose day is over: noted on the audit log, once for each day that they were given, so that their team is told."""

from __future__ import annotations

import datetime as dt

from django.db import transaction
from django.db.models import CharField, Exists, OuterRef
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast

from rollbackhub.actions.domain.selectors import list_actions
from rollbackhub.actions.enums import ActionState
from rollbackhub.actions.models import Action
from rollbackhub.audit.domain.record import record
from rollbackhub.audit.models import AuditEvent
from rollbackhub.common import clock
from rollbackhub.notifications.domain.deliveries import SENDER

LOOKED_BACK = dt.timedelta(days=14)
"""What is overdue for longer is no news: an installation that turns this on is not told its past."""
AT_ONCE = 100


def note_overdue_actions() -> int:
    """Record `action.overdue` for open actions whose day is over. Returns how many. Safe in several processes."""
    noted = 0
    oldest = (clock.now() - LOOKED_BACK).date()
    for action_id in list(list_actions(overdue=True).filter(due_on__gte=oldest).exclude(_noted()).values_list("pk", flat=True)[:AT_ONCE]):
        with transaction.atomic():
            # Of two processes one has the row. Under the lock it is looked at anew: a statement does not see what was noted after it began.
            action = Action.objects.select_for_update(skip_locked=True).filter(pk=action_id, state=ActionState.OPEN).first()
            if action is None or not Action.objects.filter(pk=action_id).exclude(_noted()).exists():
                continue
            data = {"title": action.title, "due_on": action.due_on.isoformat()}
            record(event="action.overdue", actor=SENDER, subject_type="action", subject_id=action.pk, data=data)
            noted += 1
    return noted


def _noted() -> Exists:
    return Exists(
        AuditEvent.objects.annotate(day=KeyTextTransform("due_on", "data")).filter(
            subject_type="action", subject_id=Cast(OuterRef("pk"), CharField()), event="action.overdue", day=Cast(OuterRef("due_on"), CharField())
        )
    )
