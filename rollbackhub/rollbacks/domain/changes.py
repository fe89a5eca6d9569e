"""The one function that moves a rollback from state to state, and what every writer of rollbacks shares."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import transaction

from rollbackhub.accounts.domain.notices import put_away
from rollbackhub.accounts.models import User
from rollbackhub.accounts.rules import Capability, require
from rollbackhub.audit.actors import Actor
from rollbackhub.audit.domain.record import record
from rollbackhub.common import clock
from rollbackhub.common.errors import Conflict, Forbidden, InvalidInput, NotFound
from rollbackhub.common.shown_text import spoken
from rollbackhub.executions.domain.plan import Plan
from rollbackhub.rollbacks.enums import RollbackState
from rollbackhub.rollbacks.models import Rollback, RollbackPart
from rollbackhub.rollbacks.rules import MAX_REASON, MIN_REASON, TRANSITIONS, holds_aliases

ENDED = (
    RollbackState.REJECTED,
    RollbackState.EXPIRED,
    RollbackState.WITHDRAWN,
    RollbackState.UNDONE,
    RollbackState.CANCELLED,
    RollbackState.ROLLED_FORWARD,
    RollbackState.CLOSED,
)


def change_state(*, rollback_id: UUID, to: RollbackState, actor: Actor, event: str, data: dict[str, Any] | None = None, **fields: Any) -> Rollback:
    """Move a rollback to a state that may follow its present one, with its audit record, in the open transaction or a new one.

    `fields` are further columns to set. Raises NotFound, Conflict `wrong_state`.
    """
    with transaction.atomic():
        rollback = locked(rollback_id)
        if to not in TRANSITIONS[RollbackState(rollback.state)]:
            raise wrong_state(rollback, f"cannot become “{to.label.lower()}”")
        before = rollback.state
        ended = {"closed_at": clock.now()} if to in ENDED else {}
        for name, value in (ended | fields | {"state": to, "number": rollback.number + 1}).items():
            setattr(rollback, name, value)
        rollback.save()
        if before == RollbackState.AWAITING_APPROVAL:
            # Nobody has to be asked any more.
            put_away(f"{about}:{rollback.pk}:{number}" for about in ("approve", "escalated") for number in range(1, rollback.plan_number + 1))
        holds = holds_aliases(to, was_verified=rollback.verified_at is not None)
        rollback.parts.exclude(holds_alias=holds).update(holds_alias=holds)
        record(event=event, actor=actor, subject_type="rollback", subject_id=rollback.pk, data={"from": before, "to": to, **(data or {})})
        return rollback


def note(*, rollback: Rollback, actor: Actor, event: str, data: dict[str, Any], **fields: Any) -> Rollback:
    """Set columns of a locked rollback without a change of state, with its audit record."""
    for name, value in (fields | {"number": rollback.number + 1}).items():
        setattr(rollback, name, value)
    rollback.save(update_fields=[*fields, "number"])
    record(event=event, actor=actor, subject_type="rollback", subject_id=rollback.pk, data=data)
    return rollback


def locked(rollback_id: UUID) -> Rollback:
    """The rollback, its row locked until the transaction ends. Raises NotFound."""
    rollback = Rollback.objects.select_for_update(of=("self",)).select_related("environment", "principal", "authorised_by").filter(pk=rollback_id).first()
    if rollback is None:
        raise NotFound("There is no such rollback.", code="rollback_not_found")
    return rollback


def wrong_state(rollback: Rollback, sentence: str) -> Conflict:
    """The refusal of what the rollback's state does not allow."""
    return Conflict(
        f"The rollback is in the state “{rollback.get_state_display().lower()}” and {sentence}.",
        code="wrong_state",
        state=rollback.state,
        rollback_id=str(rollback.pk),
        url=address_of(rollback),
    )


def address_of(rollback: Rollback) -> str:
    """The path of the rollback's page."""
    return f"/rollbacks/{rollback.pk}/"


def current_part(rollback: Rollback) -> RollbackPart:
    """The part that runs or stopped: the last one that has an execution, else the first."""
    parts = list(rollback.parts.select_related("execution", "policy", "policy__environment", "policy__artefact", "bad_version", "procedure_version__procedure"))
    return next((part for part in reversed(parts) if part.execution_id), parts[0])


def plan_of(part: RollbackPart) -> Plan:
    """The frozen plan of a part, as the engine takes it."""
    return Plan(content=part.plan, fingerprint=part.fingerprint, procedure_version=part.procedure_version, bad_version=part.bad_version)


def clean_reason(reason: str, *, field: str = "reason", at_least: int = MIN_REASON) -> str:
    """The reason without surrounding space, and without the marks that turn the direction of the text around it. Raises InvalidInput."""
    reason = spoken(reason, field=field)
    if not at_least <= len(reason) <= MAX_REASON:
        sentence = f"Say why, in {at_least} to {MAX_REASON} characters: it goes on the record."
        raise InvalidInput(sentence, code="reason_missing", fields={field: [sentence]})
    return reason


def require_person(*, account: User, actor: Actor, doing: str) -> None:
    """Refuse tokens and service accounts for what only a signed-in person may do. Raises Forbidden."""
    if actor.kind == "token" or account.is_service:
        raise Forbidden(f"{doing} is for a person who is signed in, not for a token or a service account.", code="token_not_allowed")


def require_lead(*, account: User, actor: Actor, doing: str) -> None:
    """Refuse everybody but leads, signed in. Raises Forbidden."""
    require(user=account, capability=Capability.LEAD)
    require_person(account=account, actor=actor, doing=doing)
