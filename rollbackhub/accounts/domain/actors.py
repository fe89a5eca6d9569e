"""From a person (and the token they used) to the actor of the audit log."""

from __future__ import annotations

from rollbackhub.accounts.models import ApiToken, User
from rollbackhub.audit.actors import Actor
from rollbackhub.audit.models import AuditEvent

LONGEST_LABEL = AuditEvent._meta.get_field("actor_label").max_length or 0


def name_of(user: User) -> str:
    """What people call the person: the full name, else the account's."""
    return user.get_full_name() or user.get_username()


def actor_of(user: User, token: ApiToken | None = None) -> Actor:
    """The person as an actor; with a token, the token of that person. A very long name is cut; the ids say exactly who it was."""
    name = name_of(user)
    if token is not None:
        return Actor(kind="token", label=_cut(f"{name} by token {token.name}"), user_id=user.pk, token_id=token.token_key)
    return Actor(kind="person", label=_cut(name), user_id=user.pk)


def _cut(label: str) -> str:
    return label if len(label) <= LONGEST_LABEL else f"{label[: LONGEST_LABEL - 1]}…"
