"""Callers of the API. Every answer that they get is checked against the OpenAPI description."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rollbackhub.accounts.enums import Scope
from rollbackhub.accounts.models import User
from rollbackhub.api.throttling import CALLERS, STRANGERS
from tests.api.openapi import CheckedClient
from tests.factories.accounts import ApiTokenFactory
from tests.factories.fixtures import Cast, cast

__all__ = ["cast"]

ALL_SCOPES = tuple(Scope.values)
Caller = Callable[..., CheckedClient]


@pytest.fixture(autouse=True)
def _unthrottled() -> None:
    """No test pays for another's calls."""
    CALLERS.forget()
    STRANGERS.forget()


@pytest.fixture
def by_token(db: None) -> Caller:
    """A client with a new token of this person: `by_token(user, scopes=[...])`."""

    def make(user: User, *, scopes: tuple[str, ...] = ALL_SCOPES) -> CheckedClient:
        token = ApiTokenFactory(user=user, scopes=list(scopes))
        client = CheckedClient()
        client.credentials(HTTP_AUTHORIZATION=f"Token {token.plain}")
        client.token = token  # type: ignore[attr-defined]
        return client

    return make


@pytest.fixture
def by_session(db: None) -> Caller:
    """A client that is signed in as this person, with CSRF checks as in production."""

    def make(user: User, *, csrf: bool = False) -> CheckedClient:
        client = CheckedClient(enforce_csrf_checks=csrf)
        client.force_login(user)
        return client

    return make


@pytest.fixture
def on_call(by_token: Caller, cast: Cast) -> CheckedClient:
    """The on-call engineer, by a token with every scope."""
    return by_token(cast.on_call)


@pytest.fixture
def anonymous(db: None) -> CheckedClient:
    """Nobody."""
    return CheckedClient()
