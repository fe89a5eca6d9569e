"""The OpenAPI description as it is served, and who is calling."""

from __future__ import annotations

import pytest
from django.core.management import call_command

from tests.api.conftest import Caller
from tests.api.openapi import CheckedClient, description
from tests.factories.fixtures import Cast


def test_schema_is_served_as_it_is_generated(on_call: CheckedClient) -> None:
    response = on_call.get("/api/schema/?format=json")
    assert response.status_code == 200
    assert response.json() == description()
    assert on_call.get("/api/schema/").content.startswith(b"openapi: 3.1.0")


def test_schema_for_nobody_is_a_401_problem(anonymous: CheckedClient) -> None:
    response = anonymous.get("/api/schema/")
    assert (response.status_code, response.headers["Content-Type"]) == (401, "application/problem+json")


def test_schema_is_valid_openapi_without_a_warning(tmp_path: object) -> None:
    call_command("spectacular", "--validate", "--fail-on-warn", "--file", f"{tmp_path}/schema.yml")


@pytest.mark.parametrize(
    ("name", "capabilities"),
    [
        ("on_call", ["view", "drill", "route", "register", "release", "roll_back", "approve", "respond"]),
        ("lead", ["view", "drill", "route", "configure", "register", "retire", "release", "roll_back", "approve", "respond", "lead", "audit"]),
        ("leadership", ["view", "roll_back", "approve", "respond", "lead", "audit"]),
        ("auditor", ["view", "audit"]),
        ("admin", ["view", "drill", "route", "configure", "register", "retire", "release", "roll_back", "approve", "respond", "audit", "administer"]),
        ("stranger", []),
    ],
)
def test_me_tells_what_each_role_may_do(name: str, capabilities: list[str], cast: Cast, by_session: Caller) -> None:
    assert by_session(getattr(cast, name)).get("/api/v1/me/").json()["capabilities"] == capabilities


def test_me_by_token_tells_what_the_token_may_do(cast: Cast, by_token: Caller) -> None:
    body = by_token(cast.admin, scopes=("read", "route")).get("/api/v1/me/").json()
    assert (body["roles"], body["capabilities"], body["token"]["scopes"]) == (["admin"], ["view", "route", "audit"], ["read", "route"])
