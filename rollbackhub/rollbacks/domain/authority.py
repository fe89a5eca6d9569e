"""Who may decide about a rollback: the authority table, and the questions that are asked of it."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from django.db import transaction

from rollbackhub.accounts.domain.actors import name_of
from rollbackhub.accounts.domain.notices import list_people_with
from rollbackhub.accounts.enums import Role
from rollbackhub.accounts.models import User
from rollbackhub.accounts.rules import principal_of
from rollbackhub.audit.actors import Actor
from rollbackhub.audit.domain.record import record
from rollbackhub.common import clock
from rollbackhub.common.errors import Forbidden, InvalidInput
from rollbackhub.rollbacks.enums import AuthorisedBy, AuthoritySubject
from rollbackhub.rollbacks.models import AuthorityRule, Rollback
from rollbackhub.rollbacks.rules import LEVELS, MIN_BREAK_GLASS_REASON, level_of, may_approve, may_decide_alone, required_role

REAUTHENTICATED_WITHIN = dt.timedelta(minutes=5)
"""An approver has entered the password within this time."""


@dataclass(frozen=True, slots=True)
class Authority:
    """What a rollback needs: the role that decides it alone, why, and the times of an escalation in seconds."""

    role: Role
    because: AuthoritySubject
    tell_next_after_seconds: int
    expires_after_seconds: int

    @property
    def in_words(self) -> str:
        """`Platform lead, because it is coordinated (several aliases)`."""
        return f"{self.role.label}, by the rule for {self.because.label.lower()}"


def get_authority(*, change_types: list[str], parts: int, strategic: bool) -> Authority:
    """What the table says now. A subject without a row needs leadership. One query."""
    rules = {rule.subject: rule for rule in AuthorityRule.objects.all()}
    role, subject = required_role({key: rule.role for key, rule in rules.items()}, change_types=change_types, parts=parts, strategic=strategic)
    rule = rules.get(subject) or AuthorityRule(subject=subject, role=role)
    return Authority(
        role=role, because=AuthoritySubject(subject), tell_next_after_seconds=rule.tell_next_after_seconds, expires_after_seconds=rule.expires_after_seconds
    )


def may_start_alone(*, account: User, authority: Authority) -> bool:
    """Whether this account decides it alone. A service account has its own authority or its person's, whichever is lower."""
    return all(may_decide_alone(_roles_now(person) or (), required=authority.role) for person in {account, principal_of(account)})


def list_approvers(rollback_required: str, *, principal: User) -> list[User]:
    """The people who may approve such a request of this person, by name. One query, roles with it."""
    people = list_people_with(*LEVELS, Role.ADMIN).exclude(pk=principal.pk).prefetch_related("role_assignments")
    return [person for person in people if may_approve({row.role for row in person.role_assignments.all()}, required=rollback_required)]


def require_may_decide(*, rollback: Rollback, approver: User, actor: Actor, reauthenticated_at: dt.datetime | None) -> Role:
    """The role by which this person may approve or reject this request.

    Raises Forbidden `token_not_allowed`, `own_request`, `not_an_approver`, `reauthentication_required`.
    """
    if actor.kind != "person" or approver.is_service:
        raise Forbidden("Approvals are given by people who are signed in, never by a token or a service account.", code="token_not_allowed")
    if approver.pk == rollback.principal_id or approver.pk == rollback.requested_by_id:
        raise Forbidden("Nobody decides about their own request. Ask one of the approvers.", code="own_request")
    roles = _roles_now(approver)
    if roles is None or not may_approve(roles, required=rollback.required_role):
        needed = Role(rollback.required_role).label
        raise Forbidden(f"To decide about this request you need the role {needed} or a higher one, or {Role.ADMIN.label}.", code="not_an_approver")
    if reauthenticated_at is None or clock.now() - reauthenticated_at > REAUTHENTICATED_WITHIN:
        raise Forbidden("Enter your password again first: it must be less than 5 minutes ago.", code="reauthentication_required")
    return Role.ADMIN if level_of(roles) < level_of([rollback.required_role]) else max((r for r in LEVELS if r in roles), key=LEVELS.index)


def require_may_break_glass(*, account: User, actor: Actor, reason: str) -> None:
    """Raises Forbidden (token, service account, no operational role) and InvalidInput (no real reason typed)."""
    if actor.kind == "token" or account.is_service:
        raise Forbidden("Break-glass is a person's decision: sign in, a token or a service account cannot take it.", code="token_not_allowed")
    if not level_of(_roles_now(account) or ()):
        raise Forbidden("Break-glass is for the on-call engineer or an authority above.", code="not_on_call")
    if len(reason.strip()) < MIN_BREAK_GLASS_REASON:
        sentence = f"Type why it cannot wait for an approval, in at least {MIN_BREAK_GLASS_REASON} characters: every lead is told, and one has to sign it."
        raise InvalidInput(sentence, code="reason_missing", fields={"break_glass_reason": [sentence]})


def missing_authority(rollback: Rollback, *, present_hash: str, required: str) -> str | None:
    """Why a rollback that was authorised may not start now: roles, plans and the table (`required`) are looked at again. None: it may."""
    if rollback.authorised_by is None:
        return "nobody has authorised it."
    person = rollback.authorised_by
    name = name_of(person)
    roles = _roles_now(person)
    if roles is None:
        return f"the account of {name}, who authorised it, is no longer active."
    if rollback.authorised_how == AuthorisedBy.OWN and not may_decide_alone(roles, required=required):
        return f"{name} no longer has the authority ({Role(required).label}) that it takes. Request it again."
    if rollback.authorised_how == AuthorisedBy.APPROVAL:
        if not may_approve(roles, required=required):
            return f"{name}, who approved it, no longer may. Request it again."
        if not rollback.approvals.filter(plan_hash=present_hash, decision="approved", user=person).exists():
            return "the plan is not the one that was approved. Look at the new plan and have it approved."
    if rollback.authorised_how == AuthorisedBy.BREAK_GLASS and not level_of(roles):
        return f"{name} is no longer on call. Request it again."
    if rollback.plan_hash != present_hash:
        return "the plan is not the one that was authorised. Request it again."
    return None


def wrong_fields_of_rule(*, subject: str, role: str, tell_next_after_seconds: int, expires_after_seconds: int) -> dict[str, list[str]]:
    """What is wrong with a row of the authority table, by field; empty: nothing. Pure."""
    fields: dict[str, list[str]] = {}
    if subject not in AuthoritySubject.values:
        fields["subject"] = [f"There is no subject {subject}; there are {', '.join(AuthoritySubject.values)}."]
    if role not in [level.value for level in LEVELS]:
        fields["role"] = [f"Choose one of {', '.join(level.value for level in LEVELS)}."]
    if not 0 < tell_next_after_seconds < expires_after_seconds <= 7 * 86400:
        fields["expires_after_seconds"] = ["The next level is told before the request expires, and it expires within 7 days."]
    return fields


def set_rule(*, subject: str, role: str, tell_next_after_seconds: int, expires_after_seconds: int, actor: Actor) -> AuthorityRule:
    """Change a row of the authority table. Raises InvalidInput."""
    fields = wrong_fields_of_rule(subject=subject, role=role, tell_next_after_seconds=tell_next_after_seconds, expires_after_seconds=expires_after_seconds)
    if fields:
        raise InvalidInput(" ".join(sentence for found in fields.values() for sentence in found), fields=fields)
    with transaction.atomic():
        rule = AuthorityRule.objects.select_for_update().filter(subject=subject).first() or AuthorityRule(subject=subject)
        before = {"role": rule.role, "tell_next_after_seconds": rule.tell_next_after_seconds, "expires_after_seconds": rule.expires_after_seconds}
        rule.role, rule.tell_next_after_seconds, rule.expires_after_seconds = role, tell_next_after_seconds, expires_after_seconds
        rule.save()
        after = {"role": role, "tell_next_after_seconds": tell_next_after_seconds, "expires_after_seconds": expires_after_seconds}
        record(event="authority.rule_changed", actor=actor, subject_type="authority", subject_id=subject, data={"before": before, "after": after})
    return rule


def _roles_now(user: User) -> frozenset[str] | None:
    """The person's roles as the database has them now, whatever was loaded before; None when the account is not active."""
    fresh = User.objects.filter(pk=user.pk, is_active=True).first()
    return fresh.roles if fresh is not None else None
