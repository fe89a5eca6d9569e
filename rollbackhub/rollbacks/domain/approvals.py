"""Deciding about requests: approve, reject, withdraw, break the glass, new plans, and what the clock does to requests."""

from __future__ import annotations

import datetime as dt
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from rollbackhub.accounts.domain.actors import name_of
from rollbackhub.accounts.domain.notices import list_people_with, tell
from rollbackhub.accounts.models import User
from rollbackhub.accounts.rules import Capability, may, principal_of, require
from rollbackhub.audit.actors import Actor, system_actor
from rollbackhub.audit.domain.record import record
from rollbackhub.common import clock
from rollbackhub.common.errors import Conflict, Forbidden, InvalidInput
from rollbackhub.common.shown_text import spoken
from rollbackhub.rollbacks.domain.authority import get_authority, list_approvers, require_may_break_glass, require_may_decide
from rollbackhub.rollbacks.domain.changes import address_of, change_state, clean_reason, locked, note, require_lead, wrong_state
from rollbackhub.rollbacks.domain.coordination import coordination_of
from rollbackhub.rollbacks.domain.proposal import Target, propose_rollback
from rollbackhub.rollbacks.domain.transitions import aliases_of, authorise, break_the_glass, tell_approvers
from rollbackhub.rollbacks.enums import AuthorisedBy, Decision, RollbackState, Via
from rollbackhub.rollbacks.models import Approval, Rollback
from rollbackhub.rollbacks.rules import next_level_roles

CLOCK = system_actor("approval clock")


def approve_rollback(
    *, rollback_id: UUID, approver: User, actor: Actor, plan_hash: str, reauthenticated_at: dt.datetime | None, via: Via, reason: str = ""
) -> Rollback:
    """Approve a request as it was seen (`plan_hash`) and start it.

    Raises NotFound, Forbidden (own request, token, no role, password too long ago), Conflict (`already_decided`, `expired`,
    `plan_changed`: then the request has its new plan already, and the approver looks at that).
    """
    return _decide(
        Decision.APPROVED,
        rollback_id=rollback_id,
        approver=approver,
        actor=actor,
        seen=plan_hash,
        reauthenticated_at=reauthenticated_at,
        via=via,
        reason=spoken(reason),
    )


def reject_rollback(
    *, rollback_id: UUID, approver: User, actor: Actor, plan_hash: str, reauthenticated_at: dt.datetime | None, via: Via, reason: str
) -> Rollback:
    """Reject a request, with the reason. Raises what `approve_rollback` does, and InvalidInput without a reason."""
    return _decide(
        Decision.REJECTED,
        rollback_id=rollback_id,
        approver=approver,
        actor=actor,
        seen=plan_hash,
        reauthenticated_at=reauthenticated_at,
        via=via,
        reason=clean_reason(reason),
    )


def withdraw_rollback(*, rollback_id: UUID, account: User, actor: Actor, reason: str) -> Rollback:
    """Take a request back: its requester, or a lead. Raises NotFound, Forbidden, InvalidInput, Conflict `wrong_state`."""
    require(user=account, capability=Capability.ROLL_BACK)
    reason = clean_reason(reason)
    with transaction.atomic():
        rollback = locked(rollback_id)
        if rollback.principal_id != principal_of(account).pk and not may(user=account, capability=Capability.LEAD):
            raise Forbidden("Only the person who asked, or a lead, withdraws a request.", code="not_the_requester")
        if rollback.state != RollbackState.AWAITING_APPROVAL:
            raise wrong_state(rollback, "cannot be withdrawn any more: only a request that waits for approval can")
        return change_state(
            rollback_id=rollback_id,
            to=RollbackState.WITHDRAWN,
            actor=actor,
            event="rollback.withdrawn",
            data={"reason": reason},
            outcome=f"Withdrawn by {actor.label}: {reason} Nothing was changed.",
        )


def break_glass(*, rollback_id: UUID, account: User, actor: Actor, reason: str, plan_hash: str) -> Rollback:
    """Start a request that waits for approval, alone and at once. Raises NotFound, Forbidden, InvalidInput, Conflict."""
    require(user=account, capability=Capability.ROLL_BACK)
    require_may_break_glass(account=account, actor=actor, reason=reason)
    changed = _refresh_plan(rollback_id)
    with transaction.atomic():
        rollback = locked(rollback_id)
        _require_waiting(rollback)
        if rollback.expires_at is not None and rollback.expires_at <= clock.now():
            raise _expired(rollback_id)
        _require_seen(rollback, plan_hash, changed=changed)
        return break_the_glass(rollback, account=account, actor=actor, reason=clean_reason(reason, field="break_glass_reason"), at=clock.now())


def sign_review(*, rollback_id: UUID, account: User, actor: Actor, note_text: str) -> Rollback:
    """Sign the review of a break-glass: a lead who did not break it. Raises NotFound, Forbidden, InvalidInput, Conflict."""
    require_lead(account=account, actor=actor, doing="Signing the review")
    note_text = clean_reason(note_text, field="note")
    with transaction.atomic():
        rollback = locked(rollback_id)
        if not rollback.is_break_glass:
            raise Conflict("This rollback was not started by break-glass, so there is nothing to sign.", code="no_review")
        if rollback.reviewed_at is not None:
            raise Conflict(f"The review is signed already, by {rollback.reviewed_by}.", code="already_signed")
        if account.pk in (rollback.principal_id, rollback.requested_by_id, rollback.authorised_by_id):
            raise Forbidden("Who broke the glass does not sign the review of it. Ask another lead.", code="own_request")
        return note(
            rollback=rollback,
            actor=actor,
            event="rollback.review_signed",
            data={"note": note_text},
            reviewed_at=clock.now(),
            reviewed_by=account,
            review_note=note_text,
        )


def list_waiting() -> QuerySet[Rollback]:
    """Requests that wait for approval, the oldest first."""
    return Rollback.objects.filter(state=RollbackState.AWAITING_APPROVAL).select_related("environment", "principal", "requested_by").order_by("decided_at")


def list_waiting_for(person: User) -> list[Rollback]:
    """The requests that this person may decide, the oldest first. Two queries and one per required role."""
    waiting = [rollback for rollback in list_waiting() if person.pk not in (rollback.principal_id, rollback.requested_by_id)]
    able = {role: {approver.pk for approver in list_approvers(role, principal=User())} for role in {rollback.required_role for rollback in waiting}}
    return [rollback for rollback in waiting if person.pk in able[rollback.required_role]]


def list_open_reviews() -> QuerySet[Rollback]:
    """Break-glass rollbacks whose review no lead has signed, the oldest first."""
    return (
        Rollback.objects.filter(authorised_how=AuthorisedBy.BREAK_GLASS, reviewed_at=None)
        .select_related("environment", "principal", "requested_by")
        .order_by("decided_at")
    )


def tell_next_levels() -> int:
    """Tell the next level of requests that nobody has decided in time. Safe to run twice at once. Returns how many."""
    due = list(
        Rollback.objects.filter(state=RollbackState.AWAITING_APPROVAL, next_told_at=None, tell_next_at__lte=clock.now()).values_list("pk", flat=True)[:100]
    )
    for rollback_id in due:
        with transaction.atomic():
            rollback = locked(rollback_id)
            if rollback.state != RollbackState.AWAITING_APPROVAL or rollback.next_told_at is not None:
                continue
            roles = next_level_roles(rollback.required_role)
            told = tell(
                people=list_people_with(*roles).exclude(pk=rollback.principal_id),
                key=f"escalated:{rollback.pk}:{rollback.plan_number}",
                subject=f"Nobody has decided yet: {rollback.requested_by_label} asks to roll back {aliases_of(rollback)}",
                text=f"Why: {rollback.reason}",
                url=address_of(rollback),
            )
            data = {"roles": [role.value for role in roles], "told": told}
            note(rollback=rollback, actor=CLOCK, event="rollback.next_level_told", data=data, next_told_at=clock.now())
    return len(due)


def expire_requests() -> int:
    """End requests whose time is over. Safe to run twice at once. Returns how many."""
    due = list(Rollback.objects.filter(state=RollbackState.AWAITING_APPROVAL, expires_at__lte=clock.now()).values_list("pk", flat=True)[:100])
    for rollback_id in due:
        _expire(rollback_id)
    return len(due)


def _decide(
    decision: Decision, *, rollback_id: UUID, approver: User, actor: Actor, seen: str, reauthenticated_at: dt.datetime | None, via: Via, reason: str
) -> Rollback:
    require(user=approver, capability=Capability.APPROVE)
    # First without a lock on anything else, so that a plan that has changed stays refreshed although the approval is refused.
    changed = decision == Decision.APPROVED and _refresh_plan(rollback_id)
    with transaction.atomic():
        rollback = locked(rollback_id)
        role = require_may_decide(rollback=rollback, approver=approver, actor=actor, reauthenticated_at=reauthenticated_at)
        _require_waiting(rollback)
        now = clock.now()
        if rollback.expires_at is None or rollback.expires_at > now:
            _require_seen(rollback, seen, changed=changed)
            assert reauthenticated_at is not None  # require_may_decide has refused that
            Approval.objects.create(
                rollback=rollback,
                plan_hash=rollback.plan_hash,
                decision=decision,
                user=approver,
                role=role,
                reason=reason,
                via=via,
                reauthenticated_at=reauthenticated_at,
                decided_at=now,
            )
            if decision == Decision.APPROVED:
                data = {"plan_hash": rollback.plan_hash, "role": role, "via": via, "reason": reason}
                record(event="rollback.approved", actor=actor, subject_type="rollback", subject_id=rollback.pk, data=data)
                tell(
                    people=[rollback.principal],
                    key=f"approved:{rollback.pk}",
                    subject=f"Approved: your request to roll back {aliases_of(rollback)} runs",
                    text=f"By {actor.label}. {reason}".strip(),
                    url=address_of(rollback),
                )
                return authorise(rollback, how=AuthorisedBy.APPROVAL, by=approver, actor=actor, at=now)
            rollback = change_state(
                rollback_id=rollback_id,
                to=RollbackState.REJECTED,
                actor=actor,
                event="rollback.rejected",
                data={"reason": reason, "plan_hash": rollback.plan_hash},
                outcome=f"Rejected by {actor.label}: {reason} Nothing was changed.",
            )
            tell(
                people=[rollback.principal],
                key=f"rejected:{rollback.pk}",
                subject=f"Rejected: your request to roll back {aliases_of(rollback)}",
                text=f"{actor.label}: {reason}",
                url=address_of(rollback),
            )
            return rollback
    _expire(rollback_id)
    raise _expired(rollback_id)


def _require_waiting(rollback: Rollback) -> None:
    if rollback.state == RollbackState.AWAITING_APPROVAL:
        return
    decided = rollback.approvals.filter(plan_hash=rollback.plan_hash).select_related("user").last()
    if decided is not None:
        raise Conflict(
            f"{name_of(decided.user)} was faster: the request was {decided.get_decision_display().lower()} at {decided.decided_at:%H:%M:%S} UTC.",
            code="already_decided",
            state=rollback.state,
            url=address_of(rollback),
        )
    if rollback.state == RollbackState.EXPIRED:
        raise _expired(rollback.pk)
    raise wrong_state(rollback, "waits for no approval")


def _expired(rollback_id: UUID) -> Conflict:
    return Conflict("The request has expired: nobody decided in time. It has to be made again.", code="expired", url=f"/rollbacks/{rollback_id}/")


def _require_seen(rollback: Rollback, seen: str, *, changed: bool) -> None:
    if changed or seen != rollback.plan_hash:
        raise Conflict(
            "The plan has changed since you looked at it, and nothing was decided. Look at the new plan on the request's page and decide about that.",
            code="plan_changed",
            url=address_of(rollback),
        )


def _refresh_plan(rollback_id: UUID) -> bool:
    """Give a request that waits a new plan when the old one no longer says what would happen. Whether it did.

    When no plan can be made any more (somebody else took the version out), the old one stays: starting it finds that out.
    """
    with transaction.atomic():
        rollback = locked(rollback_id)
        if rollback.state != RollbackState.AWAITING_APPROVAL:
            return False
        parts = list(rollback.parts.select_related("policy__environment", "policy__artefact", "bad_version").order_by("position"))
        targets = [Target(policy=part.policy, bad_version=part.bad_version) for part in parts]
        try:
            proposal = propose_rollback(targets=targets, account=rollback.requested_by, strategic=rollback.is_strategic, coordination=coordination_of(rollback))
        except InvalidInput as error:
            if error.code not in ("nothing_to_roll_back", "version_not_in_policy"):
                raise
            change_state(
                rollback_id=rollback_id,
                to=RollbackState.WITHDRAWN,
                actor=CLOCK,
                event="rollback.withdrawn",
                data={"reason": error.message},
                outcome=f"There is nothing left to do: {error.message}",
            )
            return True
        if proposal.plan_hash == rollback.plan_hash:
            if proposal.authority.role != rollback.required_role:
                # The table was changed while it waited: what counts is what it says now.
                data = {"before": rollback.required_role, "after": proposal.authority.role}
                fields = {"required_role": proposal.authority.role, "required_because": proposal.authority.because}
                note(rollback=rollback, actor=CLOCK, event="rollback.authority_changed", data=data, **fields)
            return False
        for part, proposed in zip(parts, proposal.parts, strict=True):
            part.plan, part.fingerprint, part.procedure_version = proposed.plan.content, proposed.plan.fingerprint, proposed.plan.procedure_version
            part.save(update_fields=["plan", "fingerprint", "procedure_version"])
        authority = get_authority(change_types=[part.plan.content["change_type"] for part in proposal.parts], parts=len(parts), strategic=proposal.strategic)
        note(
            rollback=rollback,
            actor=CLOCK,
            event="rollback.plan_changed",
            data={"before": rollback.plan_hash, "after": proposal.plan_hash},
            plan_hash=proposal.plan_hash,
            plan_number=rollback.plan_number + 1,
            required_role=authority.role,
            required_because=authority.because,
            is_strategic=proposal.strategic,
        )
        tell_approvers(rollback)
        return True


def _expire(rollback_id: UUID) -> None:
    try:
        with transaction.atomic():
            rollback = change_state(
                rollback_id=rollback_id,
                to=RollbackState.EXPIRED,
                actor=CLOCK,
                event="rollback.expired",
                outcome="Nobody decided in time. Nothing was changed; ask again if it is still needed.",
            )
            tell(
                people=[rollback.principal],
                key=f"expired:{rollback.pk}",
                subject=f"Expired: nobody decided about your request to roll back {aliases_of(rollback)}",
                url=address_of(rollback),
            )
    except Conflict:
        # Somebody decided in this very moment; theirs counts.
        return
