"""Callers of the API. Every answer that they get is checked against the OpenAPI description."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from rollbackhub.accounts.enums import Scope
from rollbackhub.accounts.models import User
from rollbackhub.api.throttling import CALLERS, STRANGERS
from rollbackhub.routing.models import RoutingPolicy
from tests.api.openapi import CheckedClient
from tests.factories.accounts import PASSWORD, ApiTokenFactory
from tests.factories.fixtures import Cast, cast
from tests.rollbacks.conftest import Observe, seed_production

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
def by_password(by_session: Caller) -> Caller:
    """A client that is signed in and has just entered the password: `by_password(user)`."""

    def make(user: User) -> CheckedClient:
        client = by_session(user)
        assert client.post("/accounts/reauthenticate/", {"password": PASSWORD}).status_code == 302
        return client

    return make


@pytest.fixture
def reasoner(db: None) -> RoutingPolicy:
    """A model's alias in production, the bad version with 25 %: on-call engineers decide about it."""
    return seed_production("model", alias="smart-reasoner")


@pytest.fixture
def corpus(db: None) -> RoutingPolicy:
    """A data set's alias in production: rolling it back is a platform lead's."""
    return seed_production("dataset", alias="answers-corpus")


@pytest.fixture
def scripted() -> Iterator[None]:
    """No test plays another's script of what the gateways show."""
    Observe.plays.clear()
    yield
    Observe.plays.clear()


@pytest.fixture
def on_call(by_token: Caller, cast: Cast) -> CheckedClient:
    """The on-call engineer, by a token with every scope."""
    return by_token(cast.on_call)


@pytest.fixture
def anonymous(db: None) -> CheckedClient:
    """Nobody."""
    return CheckedClient()
