"""Asking for a rollback, and starting one that is authorised."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from django.db import IntegrityError, transaction

from rollbackhub.accounts.domain.notices import list_people_with, tell
from rollbackhub.accounts.enums import Role
from rollbackhub.accounts.models import User
from rollbackhub.accounts.rules import Capability, principal_of, require
from rollbackhub.audit.actors import Actor
from rollbackhub.audit.domain.record import record
from rollbackhub.common import clock
from rollbackhub.common.errors import Conflict, InvalidInput
from rollbackhub.common.shown_text import spoken
from rollbackhub.executions.domain.owners import owner_of
from rollbackhub.executions.domain.transitions import find_active as find_active_execution
from rollbackhub.executions.domain.transitions import start_execution
from rollbackhub.executions.enums import ExecutionKind
from rollbackhub.executions.fingerprints import canonical_hash
from rollbackhub.rollbacks.domain.authority import require_may_break_glass
from rollbackhub.rollbacks.domain.changes import address_of, change_state, clean_reason, plan_of
from rollbackhub.rollbacks.domain.coordination import Coordination
from rollbackhub.rollbacks.domain.proposal import Proposal, Target, propose_rollback
from rollbackhub.rollbacks.enums import AuthorisedBy, Decision, RollbackState, Via
from rollbackhub.rollbacks.models import Approval, Rollback, RollbackPart
from rollbackhub.rollbacks.rules import next_level_roles
from rollbackhub.routing.models import RoutingPolicy

EARLIEST_DETECTION = dt.timedelta(days=90)


def request_rollback(
    *,
    targets: Sequence[Target],
    account: User,
    actor: Actor,
    reason: str,
    via: Via,
    strategic: bool = False,
    coordination: Coordination | None = None,
    detected_at: dt.datetime | None = None,
    detected_by: str = "",
    break_glass_reason: str = "",
    seen_plan_hash: str | None = None,
    idempotency_key: str | None = None,
) -> Rollback:
    """Decide to roll these aliases back, in this order. Within one's authority it starts at once, else it waits for approval.

    `coordination` is of the coordinated procedure that it follows.

    `break_glass_reason` starts what would wait. `seen_plan_hash` is the plan that was looked at: another one is refused. The same
    idempotency key of the same owner gives the same rollback.
    Raises Forbidden, InvalidInput, NotFound, Conflict (`rollback_active`, `already_running`, `plan_changed`, `rejected_plan`,
    `idempotency_key_reused`).
    """
    require(user=account, capability=Capability.ROLL_BACK)
    now = clock.now()
    reason = clean_reason(reason)
    detected_at = _checked_detection(detected_at, now=now)
    detected_by = spoken(detected_by, field="detected_by")[:200]
    owner = f"token:{actor.token_id}" if actor.token_id else f"user:{account.pk}"
    asked = _hash_of_request(targets, strategic=strategic, break_glass=bool(break_glass_reason), coordination=coordination)
    if idempotency_key is not None and (before := _same_request(owner, idempotency_key, asked)) is not None:
        return before
    if break_glass_reason:
        break_glass_reason = spoken(break_glass_reason, field="break_glass_reason")
        require_may_break_glass(account=account, actor=actor, reason=break_glass_reason)
    try:
        proposal = _proposal_if_free(targets, account=account, strategic=strategic, coordination=coordination, seen_plan_hash=seen_plan_hash)
        if not proposal.alone and not break_glass_reason:
            _require_new_plan(proposal)
    except (Conflict, InvalidInput):
        # The same request may have come in a moment ago, through another process.
        if idempotency_key is not None and (before := _same_request(owner, idempotency_key, asked)) is not None:
            return before
        raise
    try:
        with transaction.atomic():
            rollback = create_request(
                proposal,
                account=account,
                actor=actor,
                reason=reason,
                via=via,
                now=now,
                detected_at=detected_at,
                detected_by=detected_by,
                idempotency_key=idempotency_key,
                idempotency_owner=owner if idempotency_key else "",
                request_hash=asked,
            )
            if proposal.alone:
                return authorise(rollback, how=AuthorisedBy.OWN, by=principal_of(account), actor=actor, at=now)
            if break_glass_reason:
                return break_the_glass(rollback, account=account, actor=actor, reason=break_glass_reason, at=now)
            tell_approvers(rollback)
            return rollback
    except (IntegrityError, Conflict) as error:
        # Two at once: the database let one of them in.
        if idempotency_key is not None and (before := _same_request(owner, idempotency_key, asked)) is not None:
            return before
        for target in targets:
            refuse_unless_free(target.policy)
        if isinstance(error, Conflict):
            raise
        # The other one has ended already: what it left is to be looked at first.
        raise Conflict(
            "Another rollback of this alias has just ended. Look at where it stands, and ask again if it is still needed.", code="rollback_active"
        ) from error


def _proposal_if_free(targets: Sequence[Target], *, account: User, strategic: bool, coordination: Coordination | None, seen_plan_hash: str | None) -> Proposal:
    for target in targets:
        # Before the plan is built: 49 of 50 who press at once learn of the one, whatever its flip has done to the policy by now.
        refuse_unless_free(target.policy)
    proposal = propose_rollback(targets=targets, account=account, strategic=strategic, coordination=coordination)
    if seen_plan_hash is not None and seen_plan_hash != proposal.plan_hash:
        raise Conflict(
            "The plan has changed since you looked at it: somebody changed the policy, the procedure or a connection. Look at the new plan and confirm again.",
            code="plan_changed",
        )
    return proposal


def find_active(policy: RoutingPolicy) -> Rollback | None:
    """The rollback that holds this alias now, if any. One query."""
    part = RollbackPart.objects.select_related("rollback").filter(policy=policy, holds_alias=True).first()
    return part.rollback if part else None


def authorise(rollback: Rollback, *, how: AuthorisedBy, by: User, actor: Actor, at: dt.datetime) -> Rollback:
    """Write down by whose authority it runs, and start its first part that has not run. In the open transaction.

    Raises Conflict `already_running` when another execution holds the alias.
    """
    rollback.authorised_how, rollback.authorised_by, rollback.authorised_at = how, by, at
    rollback.expires_at = rollback.tell_next_at = None
    rollback.save(update_fields=["authorised_how", "authorised_by", "authorised_at", "expires_at", "tell_next_at"])
    if rollback.state != RollbackState.RUNNING:
        rollback = change_state(
            rollback_id=rollback.pk,
            to=RollbackState.RUNNING,
            actor=actor,
            event="rollback.authorised",
            data={"how": how, "by": by.username, "plan_hash": rollback.plan_hash},
            outcome="",
        )
    else:
        record(
            event="rollback.authorised",
            actor=actor,
            subject_type="rollback",
            subject_id=rollback.pk,
            data={"how": how, "by": by.username, "plan_hash": rollback.plan_hash},
        )
    start_next_part(rollback, actor=actor)
    return rollback


def break_the_glass(rollback: Rollback, *, account: User, actor: Actor, reason: str, at: dt.datetime) -> Rollback:
    """Start above one's authority; every lead is told, and one has to sign the review. In the open transaction."""
    rollback.break_glass_reason = reason
    rollback.save(update_fields=["break_glass_reason"])
    rollback = authorise(rollback, how=AuthorisedBy.BREAK_GLASS, by=principal_of(account), actor=actor, at=at)
    record(event="rollback.glass_broken", actor=actor, subject_type="rollback", subject_id=rollback.pk, data={"reason": reason})
    tell(
        people=list_people_with(Role.PLATFORM_LEAD, Role.LEADERSHIP).exclude(pk=account.pk),
        key=f"break-glass:{rollback.pk}",
        subject=f"Break-glass: {actor.label} rolls back {aliases_of(rollback)} without approval",
        text=f"Why: {reason}\nThe review is open until a lead signs it.",
        url=address_of(rollback),
    )
    return rollback


def start_next_part(rollback: Rollback, *, actor: Actor) -> RollbackPart | None:
    """Queue the execution of the first part that has none. None when all have one. In the open transaction."""
    part = (
        rollback.parts.filter(execution=None)
        .select_related("policy__environment", "policy__artefact", "bad_version", "procedure_version")
        .order_by("position")
        .first()
    )
    if part is None:
        return None
    # The whole's clock runs from the decision; the clock of a later alias starts when its turn comes.
    decided_at = rollback.decided_at if part.position == 0 else clock.now()
    execution = start_execution(
        kind=ExecutionKind.ROLLBACK,
        policy=part.policy,
        plan=plan_of(part),
        actor=actor,
        user=rollback.principal,
        requested_by_label=rollback.requested_by_label,
        decided_at=decided_at,
    )
    part.execution = execution
    part.save(update_fields=["execution"])
    return part


def aliases_of(rollback: Rollback) -> str:
    """`smart-reasoner, support-answer in production`. One query."""
    aliases = ", ".join(rollback.parts.order_by("position").values_list("policy__alias", flat=True))
    return f"{aliases} in {rollback.environment.slug}"


def rollback_active(rollback: Rollback, alias: str) -> Conflict:
    """The refusal of a second rollback on an alias; it points to the first."""
    return Conflict(
        f"A rollback of {alias} is there already: {rollback.get_state_display().lower()}, requested by {rollback.requested_by_label}"
        f" at {rollback.decided_at:%H:%M:%S} UTC ({rollback.pk}). Follow that one.",
        code="rollback_active",
        rollback_id=str(rollback.pk),
        state=rollback.state,
        url=address_of(rollback),
    )


def create_request(
    proposal: Proposal,
    *,
    account: User,
    actor: Actor,
    reason: str,
    via: Via,
    now: dt.datetime,
    detected_at: dt.datetime | None = None,
    detected_by: str = "",
    **fields: Any,
) -> Rollback:
    """Write a request down with its parts, in the open transaction. It waits for approval until `authorise` says otherwise."""
    authority = proposal.authority
    environment = proposal.parts[0].policy.environment
    rollback = Rollback.objects.create(
        state=RollbackState.AWAITING_APPROVAL,
        environment=environment,
        is_strategic=proposal.strategic,
        coordination=proposal.coordination.as_json() if proposal.coordination else None,
        reason=reason,
        requested_by=account,
        principal=principal_of(account),
        requested_by_label=actor.label,
        requested_via=via,
        is_lab=environment.is_lab,
        plan_hash=proposal.plan_hash,
        required_role=authority.role,
        required_because=authority.because,
        tell_next_at=now + dt.timedelta(seconds=authority.tell_next_after_seconds),
        expires_at=now + dt.timedelta(seconds=authority.expires_after_seconds),
        detected_at=detected_at,
        detected_by=detected_by,
        decided_at=now,
        target_seconds=proposal.target_seconds,
        **fields,
    )
    parts = [
        RollbackPart(
            rollback=rollback,
            position=position,
            policy=part.policy,
            bad_version=part.plan.bad_version,
            procedure_version=part.plan.procedure_version,
            plan=part.plan.content,
            fingerprint=part.plan.fingerprint,
        )
        for position, part in enumerate(proposal.parts)
    ]
    # Aliases are taken in one order, whatever theirs in the rollback is: two coordinated requests at once do not wait for each other.
    RollbackPart.objects.bulk_create(sorted(parts, key=lambda part: part.policy_id))
    record(
        event="rollback.requested",
        actor=actor,
        subject_type="rollback",
        subject_id=rollback.pk,
        data={
            "aliases": [part.policy.alias for part in proposal.parts],
            "environment": environment.slug,
            "bad_versions": [part.plan.bad_version.label for part in proposal.parts],
            "scope": proposal.scope,
            "strategic": proposal.strategic,
            **({"coordination": proposal.coordination.as_json()} if proposal.coordination else {}),
            "reason": reason,
            "plan_hash": proposal.plan_hash,
            "required_role": authority.role,
            "required_because": authority.because,
            "via": via,
            "detected_at": detected_at.isoformat() if detected_at else None,
        },
    )
    return rollback


def tell_approvers(rollback: Rollback) -> None:
    """Tell those who may approve this plan: the required authority; when nobody has it, whoever comes next. In the open transaction."""
    level = list(list_people_with(Role(rollback.required_role)).exclude(pk=rollback.principal_id))
    level = level or list(list_people_with(*next_level_roles(rollback.required_role)).exclude(pk=rollback.principal_id))
    told = tell(
        people=level,
        key=f"approve:{rollback.pk}:{rollback.plan_number}",
        subject=f"Approval wanted: {rollback.requested_by_label} asks to roll back {aliases_of(rollback)}",
        text=f"Why: {rollback.reason}",
        url=address_of(rollback),
    )
    record(
        event="rollback.escalated",
        actor=Actor(kind="system", label="authority"),
        subject_type="rollback",
        subject_id=rollback.pk,
        data={"role": rollback.required_role, "told": told, "expires_at": rollback.expires_at.isoformat() if rollback.expires_at else None},
    )


def refuse_unless_free(policy: RoutingPolicy) -> None:
    """Raise Conflict (`rollback_active`, `already_running`) when something holds the alias, pointing to it."""
    active = find_active(policy)
    if active is not None:
        raise rollback_active(active, policy.alias)
    running = find_active_execution(policy)
    if running is not None:
        # A rollback may have come in between the two looks, and its execution with it.
        active = find_active(policy)
        if active is not None:
            raise rollback_active(active, policy.alias)
        raise Conflict(
            f"A {running.get_kind_display().lower()} of {policy.alias} in {policy.environment.slug} runs already ({running.pk}). Wait for its end or stop it.",
            code="already_running",
            execution_id=str(running.pk),
            url=owner_of(running).address(running),
        )


def _require_new_plan(proposal: Proposal) -> None:
    """A plan that was rejected is not asked for again."""
    rejection = (
        Approval.objects.select_related("user", "rollback").filter(plan_hash=proposal.plan_hash, decision=Decision.REJECTED).order_by("-decided_at").first()
    )
    if rejection is not None:
        raise Conflict(
            f"{rejection.user} rejected this very plan at {rejection.decided_at:%Y-%m-%d %H:%M} UTC: “{rejection.reason}”. Ask again with another plan"
            " (another version or scope, or when the policy has changed), have somebody with the authority start it, or break the glass.",
            code="rejected_plan",
            rollback_id=str(rejection.rollback_id),
            url=address_of(rejection.rollback),
        )


def _same_request(owner: str, key: str, asked: str) -> Rollback | None:
    before = Rollback.objects.select_related("environment").filter(idempotency_owner=owner, idempotency_key=key).first()
    if before is not None and before.request_hash != asked:
        raise Conflict("This idempotency key was used for another request. Use a new key.", code="idempotency_key_reused", url=address_of(before))
    return before


def _hash_of_request(targets: Sequence[Target], *, strategic: bool, break_glass: bool, coordination: Coordination | None) -> str:
    wanted = [[target.policy.pk, target.bad_version.pk if target.bad_version else None] for target in targets]
    content: dict[str, Any] = {"targets": wanted, "strategic": strategic, "break_glass": break_glass}
    if coordination is not None:
        content["coordinated"] = coordination.slug
    return canonical_hash(content)


def _checked_detection(detected_at: dt.datetime | None, *, now: dt.datetime) -> dt.datetime | None:
    if detected_at is not None and not now - EARLIEST_DETECTION <= detected_at <= now:
        sentence = f"The detection lies between {EARLIEST_DETECTION.days} days ago and now."
        raise InvalidInput(sentence, code="detected_at_invalid", fields={"detected_at": [sentence]})
    return detected_at
