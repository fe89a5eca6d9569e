"""Who may do what. Pure: it asks the person and the token that are handed in, nothing else."""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum
from typing import TYPE_CHECKING

from rollbackhub.accounts.enums import Role, Scope
from rollbackhub.common.errors import Forbidden, InvalidInput

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

    from rollbackhub.accounts.models import ApiToken, User

MAX_TOKEN_DAYS = 366


class Capability(StrEnum):
    """Something that a person may or may not do."""

    VIEW = "view"
    DRILL = "drill"
    ROUTE = "route"
    CONFIGURE = "configure"
    REGISTER = "register"
    RETIRE = "retire"
    RELEASE = "release"
    ROLL_BACK = "roll_back"
    APPROVE = "approve"
    RESPOND = "respond"
    LEAD = "lead"
    AUDIT = "audit"
    ADMINISTER = "administer"


ROLES: dict[Capability, frozenset[Role]] = {
    Capability.VIEW: frozenset(Role),
    Capability.DRILL: frozenset({Role.ON_CALL, Role.PLATFORM_LEAD, Role.ADMIN}),
    Capability.ROUTE: frozenset({Role.ON_CALL, Role.PLATFORM_LEAD, Role.ADMIN}),
    Capability.CONFIGURE: frozenset({Role.PLATFORM_LEAD, Role.ADMIN}),
    Capability.REGISTER: frozenset({Role.ON_CALL, Role.PLATFORM_LEAD, Role.ADMIN}),
    Capability.RETIRE: frozenset({Role.PLATFORM_LEAD, Role.ADMIN}),
    Capability.RELEASE: frozenset({Role.ON_CALL, Role.PLATFORM_LEAD, Role.ADMIN}),
    Capability.ROLL_BACK: frozenset({Role.ON_CALL, Role.PLATFORM_LEAD, Role.LEADERSHIP, Role.ADMIN}),
    Capability.APPROVE: frozenset({Role.ON_CALL, Role.PLATFORM_LEAD, Role.LEADERSHIP, Role.ADMIN}),
    Capability.RESPOND: frozenset({Role.ON_CALL, Role.PLATFORM_LEAD, Role.LEADERSHIP, Role.ADMIN}),
    Capability.LEAD: frozenset({Role.PLATFORM_LEAD, Role.LEADERSHIP}),
    Capability.AUDIT: frozenset({Role.AUDITOR, Role.PLATFORM_LEAD, Role.LEADERSHIP, Role.ADMIN}),
    Capability.ADMINISTER: frozenset({Role.ADMIN}),
}
"""One of these roles is needed."""

SCOPES: dict[Capability, Scope] = {
    Capability.VIEW: Scope.READ,
    Capability.AUDIT: Scope.READ,
    Capability.DRILL: Scope.DRILL,
    Capability.ROUTE: Scope.ROUTE,
    Capability.CONFIGURE: Scope.CONFIGURE,
    Capability.REGISTER: Scope.REGISTER,
    Capability.RETIRE: Scope.REGISTER,
    Capability.RELEASE: Scope.RELEASE,
    Capability.ROLL_BACK: Scope.ROLLBACK,
    Capability.RESPOND: Scope.RESPOND,
}
"""A token needs this scope besides. What is not here no token may do."""

_WORDS: dict[Capability, str] = {
    Capability.VIEW: "look at this",
    Capability.DRILL: "start or stop drills",
    Capability.ROUTE: "change routing policies",
    Capability.CONFIGURE: "set up aliases and procedures or import history",
    Capability.REGISTER: "register versions",
    Capability.RETIRE: "archive or retire versions",
    Capability.RELEASE: "release versions",
    Capability.ROLL_BACK: "roll back",
    Capability.APPROVE: "decide about a rollback request",
    Capability.RESPOND: "work on incidents",
    Capability.LEAD: "take a lead's decision",
    Capability.AUDIT: "read the audit log",
    Capability.ADMINISTER: "change settings",
}


def may(*, user: User | AnonymousUser, capability: Capability, token: ApiToken | None = None) -> bool:
    """Whether this person, through this token if there is one, may do it. Nobody may who is not signed in or no longer active."""
    return _refusal(user, capability, token) is None


def require(*, user: User | AnonymousUser, capability: Capability, token: ApiToken | None = None) -> None:
    """Raise Forbidden with a sentence that says what is missing, unless `may`."""
    sentence = _refusal(user, capability, token)
    if sentence is not None:
        raise Forbidden(sentence)


def principal_of(user: User) -> User:
    """The person who answers for what this account does: of a service account its responsible person, else the account's own."""
    return user.responsible or user


def require_valid_token(*, name: str, scopes: Collection[str], days: int) -> None:
    """Raise InvalidInput, per field, unless a token could be issued like that. `days` until it expires."""
    fields: dict[str, list[str]] = {}
    if not name.strip() or len(name) > 100:
        fields["name"] = ["Give the token a name of 1 to 100 characters that says who uses it."]
    unknown = sorted(set(scopes) - set(Scope.values))
    if unknown:
        fields["scopes"] = [f"There is no scope {', '.join(unknown)}; there are {', '.join(Scope.values)}."]
    elif not scopes:
        fields["scopes"] = [f"Choose at least one of {', '.join(Scope.values)}."]
    if not 1 <= days <= MAX_TOKEN_DAYS:
        fields["days"] = [f"A token lives 1 to {MAX_TOKEN_DAYS} days, not {days}."]
    if fields:
        raise InvalidInput("The token cannot be issued: " + " ".join(sentence for found in fields.values() for sentence in found), fields=fields)


def _refusal(user: User | AnonymousUser, capability: Capability, token: ApiToken | None) -> str | None:
    """Why not; None when allowed."""
    if user.is_anonymous or not user.is_active:
        return f"Sign in to {_WORDS[capability]}."
    needed = ROLES[capability]
    if not user.has_role(*needed):
        names = [role.label for role in Role if role in needed]
        one_of = f"one of the roles {', '.join(names)}" if len(names) > 1 else f"the role {names[0]}"
        return f"To {_WORDS[capability]} you need {one_of}. An administrator can grant it."
    if token is None:
        return None
    if token.user_id != user.pk:
        return "This token belongs to somebody else."
    scope = SCOPES.get(capability)
    if scope is None:
        return f"No token may {_WORDS[capability]}; sign in instead."
    if scope not in token.scopes:
        return f"To {_WORDS[capability]} this token needs the scope {scope.value}; it has {', '.join(token.scopes) or 'none'}."
    return None
