"""One's own tokens over the API."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest

from rollbackhub.accounts.enums import Scope
from rollbackhub.accounts.models import ApiToken
from rollbackhub.api.models import KeptAnswer
from rollbackhub.audit.models import AuditEvent
from tests.api.conftest import Caller
from tests.api.openapi import CheckedClient
from tests.factories.accounts import PASSWORD, ApiTokenFactory
from tests.factories.fixtures import Cast

TOKENS = "/api/v1/tokens/"
WANTED = {"name": "pipeline", "scopes": ["read", "drill"], "days": 30}


@pytest.fixture
def session(cast: Cast, by_session: Caller) -> CheckedClient:
    """The on-call engineer in a session that has not proved again who they are."""
    return by_session(cast.on_call)


@pytest.fixture
def proved(session: CheckedClient) -> CheckedClient:
    """The same, just after giving the password again."""
    response = session.post("/accounts/reauthenticate/", {"password": PASSWORD})
    assert response.status_code == 302
    return session


def test_create_token_shows_it_once_and_it_works(proved: CheckedClient, anonymous: CheckedClient) -> None:
    response = proved.post(TOKENS, WANTED, format="json")
    assert response.status_code == 201
    body = response.json()
    assert response.headers["Location"] == body["url"]
    assert (body["name"], body["scopes"]) == ("pipeline", ["read", "drill"])
    me = anonymous.get("/api/v1/me/", HTTP_AUTHORIZATION=f"Token {body['token']}").json()
    assert (me["token"]["id"], me["capabilities"]) == (body["id"], ["view", "drill"])
    listed = proved.get(TOKENS).json()["results"]
    assert [row["id"] for row in listed] == [body["id"]]
    assert body["token"] not in str(listed)
    assert AuditEvent.objects.filter(event="accounts.token_issued", actor_kind="person").count() == 1


def test_create_token_without_proving_again_is_a_403_that_says_where(session: CheckedClient) -> None:
    response = session.post(TOKENS, WANTED, format="json")
    assert (response.status_code, response.json()["code"]) == (403, "reauthentication_required")
    assert response.json()["url"] == "/accounts/reauthenticate/"
    assert not ApiToken.objects.exists()


def test_create_token_long_after_proving_is_a_403(proved: CheckedClient, monkeypatch: pytest.MonkeyPatch) -> None:
    later = time.time() + 301
    monkeypatch.setattr("allauth.account.internal.flows.reauthentication.time.time", lambda: later)
    assert proved.post(TOKENS, WANTED, format="json").json()["code"] == "reauthentication_required"


def test_create_token_by_a_token_is_refused(cast: Cast, by_token: Caller) -> None:
    response = by_token(cast.admin).post(TOKENS, WANTED, format="json")
    assert (response.status_code, response.json()["code"]) == (403, "session_only")
    assert ApiToken.objects.count() == 1


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"name": ""}, "name"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["administer"]}, "scopes.0"),
        ({"scopes": "read"}, "scopes"),
        ({"days": 0}, "days"),
        ({"days": 367}, "days"),
        ({"user": 1}, "user"),
    ],
)
def test_create_token_that_is_wrong_is_refused(wrong: dict[str, Any], field: str, proved: CheckedClient) -> None:
    response = proved.post(TOKENS, WANTED | wrong, format="json")
    assert (response.status_code, list(response.json()["fields"])) == (422, [field])
    assert not ApiToken.objects.exists()


def test_create_token_with_a_key_again_makes_none_and_does_not_show_it_again(proved: CheckedClient) -> None:
    first, second = (proved.post(TOKENS, WANTED, format="json", HTTP_IDEMPOTENCY_KEY="k1").json() for _ in range(2))
    assert second == first | {"token": None}
    assert ApiToken.objects.count() == 1
    assert first["token"] not in KeptAnswer.objects.get().body


def test_list_tokens_shows_ones_own_only_and_when_they_were_used(cast: Cast, by_token: Caller) -> None:
    ApiTokenFactory(user=cast.lead)
    client = by_token(cast.on_call)
    (row,) = client.get(TOKENS).json()["results"]
    assert row["id"] == client.token.token_key  # type: ignore[attr-defined]
    assert row["last_used_at"] is not None


def test_delete_token_in_a_session_ends_it(session: CheckedClient, cast: Cast, anonymous: CheckedClient) -> None:
    token = ApiTokenFactory(user=cast.on_call)
    assert session.delete(f"{TOKENS}{token.token_key}/").status_code == 204
    assert anonymous.get("/api/v1/me/", HTTP_AUTHORIZATION=f"Token {token.plain}").status_code == 401
    assert AuditEvent.objects.filter(event="accounts.token_revoked").count() == 1
    assert session.delete(f"{TOKENS}{token.token_key}/").status_code == 404


def test_delete_token_of_somebody_else_is_a_404(session: CheckedClient, cast: Cast) -> None:
    token = ApiTokenFactory(user=cast.lead)
    assert session.delete(f"{TOKENS}{token.token_key}/").status_code == 404
    assert ApiToken.objects.filter(pk=token.pk).exists()


def test_delete_token_by_a_token_works_for_itself_only(cast: Cast, by_token: Caller) -> None:
    client, other = by_token(cast.on_call), ApiTokenFactory(user=cast.on_call)
    assert client.delete(f"{TOKENS}{other.token_key}/").json()["code"] == "session_only"
    assert client.delete(f"{TOKENS}{client.token.token_key}/").status_code == 204  # type: ignore[attr-defined]
    assert list(ApiToken.objects.values_list("pk", flat=True)) == [other.pk]


def test_list_tokens_takes_a_fixed_number_of_queries(cast: Cast, by_token: Caller, django_assert_num_queries: Any) -> None:
    client = by_token(cast.on_call)
    client.get("/api/v1/me/")
    for _ in range(2):
        ApiTokenFactory.create_batch(4, user=cast.on_call)
        with django_assert_num_queries(3):
            client.get(TOKENS)


def test_documentation_has_a_row_for_every_scope_and_for_no_other() -> None:
    text = (Path(__file__).parents[2] / "docs/api.md").read_text()
    table = text.split("| scope | lets |")[1].split("\n\n")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == Scope.values
    assert "prints the token once**" in text
