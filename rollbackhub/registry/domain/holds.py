"""The stability hold: after a rollback the version may not ship again until the hold ends or a lead lifts it.

It stands on the version and counts in every production environment; staging stays free, so that a fix can be rehearsed. What it
forbids is checked where policy revisions are written (routing), and by a trigger in the database.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from rollbackhub.accounts.models import User
from rollbackhub.accounts.rules import Capability, require
from rollbackhub.audit.actors import Actor
from rollbackhub.audit.domain.record import record
from rollbackhub.common import clock
from rollbackhub.common.errors import Conflict, Forbidden, InvalidInput, NotFound
from rollbackhub.common.shown_text import spoken
from rollbackhub.registry.enums import Lifecycle
from rollbackhub.registry.models import StabilityHold, Version

LONGEST_DAYS = 366
LONGEST_REASON = 1000


def start_hold(*, version: Version, rollback_id: UUID, actor: Actor) -> StabilityHold:
    """Put a version under hold for its artefact's days, from now. One that stands already is prolonged, never shortened."""
    with transaction.atomic():
        # This lock is what the database's trigger waits for: no revision slips in beside the hold.
        locked = Version.objects.select_for_update(of=("self",)).select_related("artefact").get(pk=version.pk)
        now = clock.now()
        days = min(max(locked.artefact.hold_days, 1), LONGEST_DAYS)
        ends_at = now + dt.timedelta(days=days)
        Version.objects.filter(pk=locked.pk).update(lifecycle=Lifecycle.ROLLED_BACK)
        hold = StabilityHold.objects.select_for_update(of=("self",)).filter(version=locked, lifted_at=None).first()
        if hold is None:
            hold = StabilityHold.objects.create(version=locked, rollback_id=rollback_id, started_at=now, ends_at=ends_at)
        else:
            hold.started_at = hold.started_at if hold.ends_at > now else now
            hold.rollback_id, hold.ends_at = rollback_id, max(hold.ends_at, ends_at)
            hold.save(update_fields=["rollback_id", "started_at", "ends_at"])
        record(
            event="hold.started",
            actor=actor,
            subject_type="version",
            subject_id=locked.pk,
            data={"version": locked.label, "rollback": str(rollback_id), "ends_at": hold.ends_at.isoformat(), "lifecycle_before": locked.lifecycle},
        )
        return hold


def lift_hold(*, hold_id: int, user: User, actor: Actor, reason: str) -> StabilityHold:
    """End a hold before its time. Raises NotFound, Forbidden (not a lead), InvalidInput (no reason), Conflict `hold_over`."""
    require(user=user, capability=Capability.LEAD)
    if actor.kind == "token" or user.is_service:
        raise Forbidden("A hold is lifted by a person who is signed in, not by a token or a service account.", code="token_not_allowed")
    reason = spoken(reason)
    if not 3 <= len(reason) <= LONGEST_REASON:
        sentence = f"Say why the hold may be lifted, in 3 to {LONGEST_REASON} characters: it goes on the record."
        raise InvalidInput(sentence, code="reason_missing", fields={"reason": [sentence]})
    with transaction.atomic():
        hold = StabilityHold.objects.select_for_update(of=("self",)).select_related("version").filter(pk=hold_id).first()
        if hold is None:
            raise NotFound("There is no such hold.", code="hold_not_found")
        if hold.lifted_at is not None or hold.ends_at <= clock.now():
            raise Conflict(f"The hold on {hold.version.label} is over already.", code="hold_over")
        hold.lifted_at, hold.lifted_by, hold.lift_reason = clock.now(), user, reason
        hold.save(update_fields=["lifted_at", "lifted_by", "lift_reason"])
        record(
            event="hold.lifted",
            actor=actor,
            subject_type="version",
            subject_id=hold.version_id,
            data={"version": hold.version.label, "rollback": str(hold.rollback_id), "reason": reason},
        )
        return hold


def list_standing_holds() -> QuerySet[StabilityHold]:
    """The holds that stand now, the newest first, with version and artefact."""
    return StabilityHold.objects.filter(lifted_at=None, ends_at__gt=clock.now()).select_related("version", "version__artefact")


def held_among(versions: Iterable[Version]) -> dict[int, StabilityHold]:
    """The standing holds on these versions, by the version's id. One query."""
    return {hold.version_id: hold for hold in list_standing_holds().filter(version__in=list(versions))}


def describe_hold(hold: StabilityHold) -> str:
    """Why the version may get no weight, and what to do."""
    return (
        f"{hold.version.label} is under a stability hold until {hold.ends_at:%Y-%m-%d %H:%M} UTC (rollback {str(hold.rollback_id)[:8]}):"
        " it may get no weight in production. Ship another version, or have a lead lift the hold with a reason."
    )
