"""Tokens and sessions."""

from __future__ import annotations

import datetime as dt

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from rollbackhub.accounts.models import ApiToken
from rollbackhub.common.clock import now
from tests.api.conftest import Caller
from tests.api.openapi import CheckedClient
from tests.factories.accounts import ApiTokenFactory
from tests.factories.fixtures import Cast

ME = "/api/v1/me/"


@pytest.mark.parametrize("scheme", ["Token", "token", "Bearer", "BEARER"])
def test_token_in_either_scheme_signs_in(scheme: str, cast: Cast, anonymous: CheckedClient) -> None:
    token = ApiTokenFactory(user=cast.on_call)
    response = anonymous.get(ME, HTTP_AUTHORIZATION=f"{scheme} {token.plain}")
    assert response.status_code == 200
    assert response.json()["username"] == "oncall"
    assert response.json()["token"]["id"] == token.token_key


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("Token 0123456789abcdef", "invalid_token"),
        ("Token", "invalid_token"),
        ("Token a b", "invalid_token"),
        ("Token ' OR 1=1", "invalid_token"),
        ("Token " + "a" * 5000, "invalid_token"),
        ("Token é", "invalid_token"),
        ("Token a\x00b", "invalid_token"),
        ("Basic b25jYWxsOnB3", "not_authenticated"),
        ("", "not_authenticated"),
    ],
)
def test_token_that_is_none_is_a_401(header: str, code: str, anonymous: CheckedClient) -> None:
    response = anonymous.get(ME, HTTP_AUTHORIZATION=header)
    assert (response.status_code, response.json()["code"]) == (401, code)
    assert response.headers["WWW-Authenticate"].startswith("Token")


def test_token_with_right_start_and_wrong_rest_is_refused(cast: Cast, anonymous: CheckedClient) -> None:
    plain = ApiTokenFactory(user=cast.on_call).plain
    wrong = plain[:-1] + ("0" if plain[-1] != "0" else "1")
    assert anonymous.get(ME, HTTP_AUTHORIZATION=f"Token {wrong}").status_code == 401


def test_token_expired_is_refused_and_kept(cast: Cast, anonymous: CheckedClient) -> None:
    token = ApiTokenFactory(user=cast.on_call)
    ApiToken.objects.filter(pk=token.pk).update(expiry=now() - dt.timedelta(seconds=1))
    response = anonymous.get(ME, HTTP_AUTHORIZATION=f"Token {token.plain}")
    assert (response.status_code, response.json()["code"]) == (401, "token_expired")
    assert ApiToken.objects.filter(pk=token.pk).exists()


def test_token_of_inactive_person_is_refused(cast: Cast, anonymous: CheckedClient) -> None:
    token = ApiTokenFactory(user=cast.on_call)
    type(cast.on_call).objects.filter(pk=cast.on_call.pk).update(is_active=False)
    response = anonymous.get(ME, HTTP_AUTHORIZATION=f"Token {token.plain}")
    assert (response.status_code, response.json()["code"]) == (401, "person_not_active")


def test_token_use_is_noted_once_a_minute(cast: Cast, by_token: Caller) -> None:
    client = by_token(cast.on_call)
    with CaptureQueriesContext(
        connection,
    ) as first:
        client.get(ME)
    with CaptureQueriesContext(connection) as second:
        client.get(ME)
    assert ApiToken.objects.get(user=cast.on_call).last_used_at is not None
    assert [len([query for query in queries if query["sql"].startswith("UPDATE")]) for queries in (first, second)] == [1, 0]


def test_token_is_stored_hashed(cast: Cast) -> None:
    token = ApiTokenFactory(user=cast.on_call)
    stored = ApiToken.objects.filter(pk=token.pk).values().get()
    assert token.plain not in str(stored)


def test_token_loses_its_rights_with_its_persons_role(cast: Cast, by_token: Caller) -> None:
    client = by_token(cast.on_call)
    assert client.get("/api/v1/drills/").status_code == 200
    cast.on_call.role_assignments.all().delete()
    assert client.get("/api/v1/drills/").status_code == 403


def test_session_signs_in(cast: Cast, by_session: Caller) -> None:
    response = by_session(cast.auditor).get(ME)
    assert response.json()["token"] is None
    assert response.json()["capabilities"] == ["view", "audit"]
