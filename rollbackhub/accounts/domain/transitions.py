"""The only writers of people's rights: roles, activity and API tokens. Each change is on the audit log."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable

from allauth.account.models import EmailAddress
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q

from rollbackhub.accounts.enums import Role, Scope
from rollbackhub.accounts.models import ApiToken, RoleAssignment, User
from rollbackhub.accounts.rules import require_valid_token
from rollbackhub.audit.actors import Actor
from rollbackhub.audit.domain.record import record
from rollbackhub.common.clock import now
from rollbackhub.common.errors import Conflict, InvalidInput
from rollbackhub.common.shown_text import problem_of, require_shown

TOKEN_USE_NOTED_EVERY = dt.timedelta(minutes=1)


def create_person(
    *,
    username: str,
    password: str,
    actor: Actor,
    email: str = "",
    first_name: str = "",
    last_name: str = "",
    timezone: str = "UTC",
    roles: Iterable[Role] = (),
) -> User:
    """Make an account that can sign in, with its roles. Raises InvalidInput with details per field (name taken, password too weak)."""
    user = User(
        username=User.normalize_username(username), email=User.objects.normalize_email(email), first_name=first_name, last_name=last_name, timezone=timezone
    )
    fields: dict[str, list[str]] = {}
    try:
        user.full_clean(exclude=["password"])
    except ValidationError as error:
        fields.update(error.message_dict)
    for name, text in (("username", user.username), ("first_name", first_name), ("last_name", last_name)):
        if problem := problem_of(text):
            fields.setdefault(name, []).append(problem)
    try:
        validate_password(password, user)
    except ValidationError as error:
        fields["password"] = list(error.messages)
    if fields:
        raise InvalidInput(f"The account {username} cannot be made: " + " ".join(sentence for found in fields.values() for sentence in found), fields=fields)
    user.set_password(password)
    with transaction.atomic():
        user.save(force_insert=True)
        record(event="accounts.person_created", actor=actor, subject_type="user", subject_id=user.pk, data={"username": user.username})
        for role in roles:
            grant_role(user=user, role=role, actor=actor)
    return user


def grant_role(*, user: User, role: Role | str, actor: Actor) -> bool:
    """Give a person a role; answers whether it is new. Raises InvalidInput for a role that does not exist."""
    granted = _role(role)
    with transaction.atomic():
        _, created = RoleAssignment.objects.get_or_create(user=user, role=granted)
        _settle(user)
        if created:
            record(event="accounts.role_granted", actor=actor, subject_type="user", subject_id=user.pk, data={"username": user.username, "role": granted.value})
    return created


def revoke_role(*, user: User, role: Role | str, actor: Actor) -> bool:
    """Take a role from a person; answers whether they had it. Raises Conflict (last_admin) when nobody could administer any more."""
    revoked = _role(role)
    with transaction.atomic():
        if revoked == Role.ADMIN:
            _require_another_admin(user)
        deleted, _ = RoleAssignment.objects.filter(user=user, role=revoked).delete()
        _settle(user)
        if deleted:
            record(event="accounts.role_revoked", actor=actor, subject_type="user", subject_id=user.pk, data={"username": user.username, "role": revoked.value})
    return bool(deleted)


def set_active(*, user: User, active: bool, actor: Actor) -> bool:
    """Let a person in again, or no longer; answers whether that is a change. Raises Conflict (last_admin)."""
    with transaction.atomic():
        found = User.objects.select_for_update().get(pk=user.pk)
        user.is_active = active
        if found.is_active == active:
            return False
        if not active:
            _require_another_admin(user)
        User.objects.filter(pk=user.pk).update(is_active=active)
        event = "accounts.person_reactivated" if active else "accounts.person_deactivated"
        record(event=event, actor=actor, subject_type="user", subject_id=user.pk, data={"username": user.username})
    return True


def change_email(*, user: User, email: str, actor: Actor) -> bool:
    """Give a person another e-mail address; answers whether it is another. The old one no longer signs in or resets the password.

    Raises InvalidInput when somebody has it already or it is none.
    """
    wanted = User.objects.normalize_email(email)
    with transaction.atomic():
        found = User.objects.select_for_update().get(pk=user.pk)
        user.email = wanted
        if found.email == wanted:
            return False
        found.email = wanted
        try:
            found.full_clean(exclude=["password"])
        except ValidationError as error:
            raise InvalidInput(" ".join(error.messages), fields={"email": list(error.messages)}) from error
        found.save(update_fields=["email"])
        # django-allauth keeps addresses of its own, by which it finds people.
        EmailAddress.objects.filter(user=user).exclude(email__iexact=wanted).delete()
        record(event="accounts.email_changed", actor=actor, subject_type="user", subject_id=user.pk, data={"username": user.username})
    return True


def set_responsible(*, user: User, responsible: User | None, actor: Actor) -> bool:
    """Make an account a service account of this person, or (None) a person's own; answers whether that is a change.

    Raises InvalidInput (the person is a service account, inactive, or the account itself; others count on the account) and Conflict
    (last_admin).
    """
    with transaction.atomic():
        # Both rows, in one order: two changes at once do not make a chain of service accounts.
        ids = {user.pk, *([responsible.pk] if responsible else [])}
        rows = {row.pk: row for row in User.objects.select_for_update(of=("self",)).filter(pk__in=ids).order_by("pk")}
        found = rows[user.pk]
        user.responsible = responsible
        if found.responsible_id == (responsible.pk if responsible else None):
            return False
        before = found.responsible.username if found.responsible else None
        if responsible is not None:
            _require_can_answer(found, rows[responsible.pk])
            if Role.ADMIN in found.roles:
                _require_another_admin(found)
        found.responsible = responsible
        found.save(update_fields=["responsible"])
        data = {"username": user.username, "before": before, "after": responsible.username if responsible else None}
        record(event="accounts.responsible_changed", actor=actor, subject_type="user", subject_id=user.pk, data=data)
    return True


def issue_token(*, user: User, name: str, scopes: Collection[Scope | str], days: int, actor: Actor) -> tuple[ApiToken, str]:
    """Make an API token that expires after so many days. The second answer is the token itself: shown once, kept nowhere.

    Raises InvalidInput for a missing name, unknown scopes or days out of range, and Conflict when the person may not sign in.
    """
    name = require_shown(name, field="name")
    wanted = [scope.value for scope in Scope if scope in set(scopes)]
    require_valid_token(name=name, scopes=[str(scope) for scope in scopes], days=days)
    if not user.is_active:
        raise Conflict(f"{user.username} is not active, so a token of theirs would be of no use.", code="person_not_active")
    with transaction.atomic():
        token, plain = ApiToken.objects.create(user=user, name=name, scopes=wanted, expiry=dt.timedelta(days=days))
        record(
            event="accounts.token_issued",
            actor=actor,
            subject_type="user",
            subject_id=user.pk,
            data=_token_facts(user, token) | {"scopes": wanted, "days": days},
        )
    return token, plain


def revoke_token(*, token: ApiToken, actor: Actor) -> None:
    """End a token at once. Nothing happens when it is gone already."""
    with transaction.atomic():
        deleted, _ = ApiToken.objects.filter(pk=token.pk).delete()
        if deleted:
            record(event="accounts.token_revoked", actor=actor, subject_type="user", subject_id=token.user_id, data=_token_facts(token.user, token))


def note_token_use(*, token: ApiToken) -> None:
    """Remember when a token was last used, written at most once a minute however often it is used."""
    present = now()
    due = present - TOKEN_USE_NOTED_EVERY
    if token.last_used_at is not None and token.last_used_at > due:
        return
    # The condition again in the database: of many processes that see the same old instant, one writes.
    if ApiToken.objects.filter(Q(last_used_at=None) | Q(last_used_at__lte=due), pk=token.pk).update(last_used_at=present):
        token.last_used_at = present


def _token_facts(user: User, token: ApiToken) -> dict[str, str]:
    # The first characters of the token are what lists show to tell tokens apart; 49 further hexadecimal digits are not stored.
    return {"username": user.username, "token_name": token.name, "token_id": token.token_key}


def _role(role: Role | str) -> Role:
    try:
        return Role(role)
    except ValueError as error:
        raise InvalidInput(f"There is no role {role}; there are {', '.join(Role.values)}.", fields={"role": ["Unknown role."]}) from error


def _settle(user: User) -> None:
    """Let what is derived from the roles follow: the cached roles, and the flags by which Django's admin lets in."""
    user.__dict__.pop("roles", None)
    user.is_staff = user.is_superuser = Role.ADMIN in user.roles
    User.objects.filter(pk=user.pk).update(is_staff=user.is_staff, is_superuser=user.is_superuser)


def _require_can_answer(service: User, person: User) -> None:
    sentence = ""
    if person.pk == service.pk:
        sentence = "An account does not answer for itself. Leave this empty for a person's own account."
    elif person.is_service or not person.is_active:
        sentence = f"{person.username} is {'a service account' if person.is_service else 'not active'}: a person who can sign in answers for a service account."
    elif service.service_accounts.exists():
        sentence = f"{service.username} answers for service accounts, so it cannot be one. Name somebody else for those first."
    if sentence:
        raise InvalidInput(sentence, fields={"responsible": [sentence]})


def _require_another_admin(user: User) -> None:
    """Raises Conflict when this is the last active administrator. Locks all of them, so that two cannot leave at once."""
    admins = RoleAssignment.objects.select_for_update(of=("self",)).filter(role=Role.ADMIN, user__is_active=True).order_by("pk")
    ids = {assignment.user_id for assignment in admins}
    if ids == {user.pk}:
        raise Conflict(f"{user.username} is the only administrator who can sign in. Make somebody else administrator first.", code="last_admin")
