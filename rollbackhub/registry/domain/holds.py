"""The stability hold: after a rollback the version may not ship again until the hold ends or a lead lifts it.

It ends with its time, or later with the last open one of the actions that gate it. It stands on the version and counts in every production
environment; staging stays free, so that a fix can be rehearsed. What it forbids is checked where policy revisions are written (routing), and by
a trigger in the database.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from django.contrib.postgres.aggregates import JSONBAgg
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import JSONObject

from rollbackhub.accounts.models import User
from rollbackhub.accounts.rules import Capability, require
from rollbackhub.actions.enums import ActionState
from rollbackhub.actions.models import Action
from rollbackhub.audit.actors import Actor
from rollbackhub.audit.domain.record import record
from rollbackhub.common import clock
from rollbackhub.common.errors import Conflict, Forbidden, InvalidInput, NotFound
from rollbackhub.common.shown_text import spoken
from rollbackhub.registry.enums import Lifecycle
from rollbackhub.registry.models import HoldGate, StabilityHold, Version
from rollbackhub.registry.rules import SERVING

LONGEST_DAYS = 366
LONGEST_REASON = 1000


@dataclass(frozen=True, slots=True)
class Gate:
    """An open action that a hold waits for."""

    action_id: UUID
    title: str

    @property
    def url(self) -> str:
        """The path of its page."""
        return f"/actions/{self.action_id}/"


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
            hold.started_at = hold.started_at if stands(hold) else now
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
        if not stands(hold):
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


def gate_holds(*, action: Action, rollback_ids: Iterable[UUID], version_ids: Iterable[int], actor: Actor) -> list[StabilityHold]:
    """Let the holds of these rollbacks, and those on these versions, wait for this action. Returns those that do not wait for it already.

    A lifted hold stays lifted. One whose time is over stands again, unless its version serves in production meanwhile: that has shipped.
    To be called in the transaction that made the action gating.
    """
    rollback_ids, version_ids = list(rollback_ids), list(version_ids)
    # In the order of the versions, with the lock that the database's trigger waits for: no revision slips in beside the gate.
    wanted = list_ungated(action=action, rollback_ids=rollback_ids, version_ids=version_ids).order_by("version").values_list("version", flat=True)
    list(Version.objects.select_for_update(of=("self",)).filter(pk__in=list(wanted)).order_by("pk"))
    found = list(list_ungated(action=action, rollback_ids=rollback_ids, version_ids=version_ids).select_related("version").order_by("pk"))
    for hold in found:
        HoldGate.objects.create(hold=hold, action=action)
        data = {"version": hold.version.label, "rollback": str(hold.rollback_id), "action": str(action.pk), "title": action.title}
        record(event="hold.gated", actor=actor, subject_type="version", subject_id=hold.version_id, data=data)
    return found


def list_ungated(*, action: Action, rollback_ids: Iterable[UUID], version_ids: Iterable[int]) -> QuerySet[StabilityHold]:
    """The holds of these rollbacks, and those on these versions, that could wait for this action and do not yet."""
    theirs = Q(rollback_id__in=list(rollback_ids)) | Q(version__in=list(version_ids))
    waiting = HoldGate.objects.filter(action=action).values("hold")
    shipped = Q(ends_at__lte=clock.now(), version__lifecycle__in=SERVING)
    return StabilityHold.objects.filter(theirs, lifted_at=None).exclude(pk__in=waiting).exclude(shipped)


def gates_kept_by(action: Action | UUID | OuterRef) -> QuerySet[HoldGate]:
    """The gates of holds that are not lifted, by an action or by an expression that names one: none, and the action gates nothing now."""
    return HoldGate.objects.filter(action=action, hold__lifted_at=None)


def standing_at(now: dt.datetime) -> Q:
    """Holds that stand at this instant: not lifted, and their time is not over or an action gates them. The database's trigger has the same."""
    return Q(Q(ends_at__gt=now) | Q(Exists(_open_gates())), lifted_at=None)


def list_standing_holds() -> QuerySet[StabilityHold]:
    """The holds that stand now, the newest first, with version, artefact, and the open actions that gate them (`gates_of`)."""
    return with_gates(StabilityHold.objects.filter(standing_at(clock.now()))).select_related("version", "version__artefact")


def with_gates(holds: QuerySet[StabilityHold]) -> QuerySet[StabilityHold]:
    """Holds with the open actions that gate them, in the same query."""
    found = _open_gates().order_by().values("hold").annotate(found=JSONBAgg(JSONObject(id="action", title="action__title"), order_by="id")).values("found")
    return holds.annotate(open_gates=Subquery(found))


def held_among(versions: Iterable[Version]) -> dict[int, StabilityHold]:
    """The standing holds on these versions, by the version's id. One query."""
    return {hold.version_id: hold for hold in list_standing_holds().filter(version__in=list(versions))}


def gates_of(hold: StabilityHold) -> list[Gate]:
    """The open actions that a hold waits for. No query for a hold that was read `with_gates`."""
    found = getattr(hold, "open_gates", None)
    if not hasattr(hold, "open_gates"):
        found = [{"id": str(gate.action_id), "title": gate.action.title} for gate in hold.gates.filter(_gating()).select_related("action").order_by("pk")]
    return [Gate(action_id=UUID(row["id"]), title=row["title"]) for row in found or []]


def stands(hold: StabilityHold) -> bool:
    """Whether it stands now. No query while its time is not over, or for a hold that was read `with_gates`."""
    return hold.lifted_at is None and (hold.ends_at > clock.now() or bool(gates_of(hold)))


def until_in_words(hold: StabilityHold, *, form: str = "%Y-%m-%d %H:%M UTC") -> str:
    """Until when it stands: `until 2026-12-07 20:00 UTC`, or the actions that gate it. `form`: how its time is written."""
    gates = gates_of(hold)
    if not gates:
        return f"until {hold.ends_at:{form}}"
    time = "" if hold.ends_at <= clock.now() else f"{hold.ends_at:{form}}"
    named = ", ".join(f"“{gate.title}”" for gate in gates[:3]) + (f" and {len(gates) - 3} more" if len(gates) > 3 else "")
    waits = f"until {'its gating action is' if len(gates) == 1 else 'its gating actions are'} closed ({named})"
    return f"{waits}, and not before {time}" if time else waits


def describe_hold(hold: StabilityHold) -> str:
    """Why the version may get no weight, and what to do."""
    gates = gates_of(hold)
    do = "close its gating actions, or have" if gates else "or have"
    return (
        f"{hold.version.label} is under a stability hold {until_in_words(hold)} (rollback {str(hold.rollback_id)[:8]}):"
        f" it may get no weight in production. Ship another version, {do} a lead lift the hold with a reason."
    )


def _gating() -> Q:
    return Q(action__state=ActionState.OPEN, action__is_gating=True)


def _open_gates() -> QuerySet[HoldGate]:
    return HoldGate.objects.filter(_gating(), hold=OuterRef("pk"))
