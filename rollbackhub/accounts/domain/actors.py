"""From a person (and the token they used) to the actor of the audit log."""

from __future__ import annotations

from rollbackhub.accounts.models import ApiToken, User
from rollbackhub.audit.actors import Actor


def actor_of(user: User, token: ApiToken | None = None) -> Actor:
    """The person as an actor; with a token, the token of that person."""
    name = user.get_full_name() or user.get_username()
    if token is not None:
        return Actor(kind="token", label=f"{name} by token {token.name}", user_id=user.pk, token_id=token.token_key)
    return Actor(kind="person", label=name, user_id=user.pk)
