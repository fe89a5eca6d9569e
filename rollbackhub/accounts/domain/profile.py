"""What people change about themselves."""

from __future__ import annotations

import zoneinfo

from django.db import transaction

from rollbackhub.accounts.models import User
from rollbackhub.audit.actors import Actor
from rollbackhub.audit.domain.record import record
from rollbackhub.common.errors import InvalidInput


def change_timezone(*, user: User, timezone: str, actor: Actor) -> None:
    """Set the zone in which a person sees instants. Raises InvalidInput for a name that is no IANA zone."""
    if timezone not in zoneinfo.available_timezones():
        raise InvalidInput(f"There is no time zone {timezone!r}. Use an IANA name such as Asia/Kolkata.", fields={"timezone": ["Choose a zone of the list."]})
    if timezone == user.timezone:
        return
    with transaction.atomic():
        before, user.timezone = user.timezone, timezone
        user.save(update_fields=["timezone"])
        record(event="accounts.timezone_changed", actor=actor, subject_type="user", subject_id=user.pk, data={"from": before, "to": timezone})
