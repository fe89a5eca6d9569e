"""Aliases are made, and bound to what moves them, over the API."""

from __future__ import annotations

from typing import Any

import pytest

from rollbackhub.audit.models import AuditEvent
from rollbackhub.registry.models import Connection, Environment
from rollbackhub.routing.models import RoutingPolicy
from tests.api.conftest import Caller
from tests.factories.fixtures import Cast
from tests.factories.registry import ArtefactFactory, ConnectionFactory, EnvironmentFactory, VersionFactory

ALIASES = "/api/v1/aliases/"
BINDING = "/api/v1/aliases/staging/support-agent/binding/"
TARGET = {"service": "support-agent"}
SETTINGS = {"deploy_url": "http://127.0.0.1:1/deploy", "status_url": "http://127.0.0.1:1/services/{service}", "signing_ref": "env:DEPLOY_SECRET"}


@pytest.fixture
def staging(db: None) -> Environment:
    """With a deploy hook, and agent code of two versions."""
    place: Environment = EnvironmentFactory(slug="staging", kind="staging")
    ConnectionFactory(environment=place, connector="deploy", settings=SETTINGS)
    artefact = ArtefactFactory(slug="agent", change_type="agent_code")
    for label in ("v1", "v2"):
        VersionFactory(artefact=artefact, label=label)
    return place


def body(**other: Any) -> dict[str, Any]:
    candidates = [{"id": "agent:v2", "version_pin": "v2", "weight": 100}, {"id": "agent:v1", "version_pin": "v1", "weight": 0}]
    values = {"alias": "support-agent", "environment": "staging", "artefact": "agent", "connection": "deploy", "target": TARGET}
    return {**values, "candidates": candidates, "reason": "new", **other}


def test_alias_that_a_connection_moves_is_made_and_says_how_far_it_has_come(staging: Environment, cast: Cast, by_token: Caller) -> None:
    response = by_token(cast.lead).post(ALIASES, body(), format="json")
    assert response.status_code == 201, response.json()
    content = response.json()
    assert response.headers["Location"] == content["url"] == "/api/v1/aliases/staging/support-agent/"
    wanted = {"connection": "deploy", "connector": "deploy", "revision": 0, "current": False, "delivered_at": None, "problem": ""}
    assert content["delivery"] == {**wanted, "target": {"consumers": [], "service": "support-agent"}}
    assert content["gateways"] == {"live": 0, "acknowledged": 0, "nodes": []}
    assert AuditEvent.objects.filter(event="policy.created", data__connection="deploy").exists()


def test_alias_without_a_connection_is_the_gateways(staging: Environment, cast: Cast, by_token: Caller) -> None:
    values = body()
    del values["connection"], values["target"]
    content = by_token(cast.lead).post(ALIASES, values, format="json").json()
    assert content["delivery"] is None
    assert [row["weight"] for row in content["candidates"]] == [100, 0]


HALVES = [{"id": "agent:v2", "version_pin": "v2", "weight": 50}, {"id": "agent:v1", "version_pin": "v1", "weight": 50}]


@pytest.mark.parametrize(
    ("changes", "status", "code", "field"),
    [
        ({"artefact": "nothing"}, 422, "artefact_not_found", "artefact"),
        ({"connection": "mlflow"}, 422, "invalid_target", "connection"),
        ({"target": {}}, 422, "invalid_target", "target.service"),
        ({"target": {"service": "a", "token": "abc"}}, 422, "invalid_target", "target.token"),
        ({"target": ["service"]}, 422, None, "target"),
        ({"candidates": HALVES}, 422, "not_splittable", "candidates"),
        ({"candidates": []}, 422, None, "candidates"),
        ({"alias": "no spaces"}, 422, None, "alias"),
        ({"environment": "nowhere"}, 404, "environment_not_found", None),
    ],
)
def test_alias_that_does_not_fit_is_refused_and_nothing_is_made(
    changes: dict[str, Any], status: int, code: str | None, field: str | None, staging: Environment, cast: Cast, by_token: Caller
) -> None:
    response = by_token(cast.lead).post(ALIASES, body(**changes), format="json")
    content = response.json()
    assert response.status_code == status, content
    assert code in (None, content["code"])
    assert field is None or field in content["fields"]
    assert not RoutingPolicy.objects.exists()


SECRET = "hunter2-Qx81-never-shown"


@pytest.mark.parametrize(
    "changes",
    [
        {"target": {"service": "support-agent", "token": SECRET}},
        {"target": {"service": f"{SECRET} !"}},
        {"target": {"service": "support-agent", "auth": SECRET}},
        {"target": {"service": "support-agent", "consumers": [{"url": f"https://me:{SECRET}@host/"}]}},
        {"target": SECRET},
        {"connection": SECRET},
    ],
)
def test_secret_that_is_refused_is_not_repeated_in_the_answer(changes: dict[str, Any], staging: Environment, cast: Cast, by_token: Caller) -> None:
    client = by_token(cast.lead)
    made = client.post(ALIASES, body(**changes), format="json")
    client.post(ALIASES, body(), format="json")
    bound = client.post(BINDING, {"connection": "deploy", "target": TARGET, "reason": "x", **changes}, format="json")
    for response in (made, bound):
        assert response.status_code == 422
        assert SECRET not in response.content.decode()


def test_alias_that_exists_is_a_conflict(staging: Environment, cast: Cast, by_token: Caller) -> None:
    client = by_token(cast.lead)
    assert client.post(ALIASES, body(), format="json").status_code == 201
    response = client.post(ALIASES, body(), format="json")
    assert (response.status_code, response.json()["code"]) == (409, "policy_exists")


def test_target_that_another_alias_moves_is_a_conflict_that_names_it(staging: Environment, cast: Cast, by_token: Caller) -> None:
    client = by_token(cast.lead)
    client.post(ALIASES, body(), format="json")
    made = client.post(ALIASES, body(alias="second"), format="json")
    assert (made.status_code, made.json()["code"], made.json()["alias"]) == (409, "target_taken", "support-agent")
    client.post(ALIASES, body(alias="second", target={"service": "second"}), format="json")
    bound = client.post("/api/v1/aliases/staging/second/binding/", {"connection": "deploy", "target": TARGET, "reason": "both"}, format="json")
    assert (bound.status_code, bound.json()["code"]) == (409, "target_taken")
    assert RoutingPolicy.objects.get(alias="second").target["service"] == "second"


def test_same_key_makes_one_alias(staging: Environment, cast: Cast, by_token: Caller) -> None:
    client = by_token(cast.lead)
    answers = [client.post(ALIASES, body(), format="json", headers={"Idempotency-Key": "once"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert RoutingPolicy.objects.count() == 1


def test_binding_is_changed_kept_on_the_record_and_taken_away(staging: Environment, cast: Cast, by_token: Caller) -> None:
    client = by_token(cast.lead)
    client.post(ALIASES, body(), format="json")
    other = Connection.objects.create(environment=staging, connector="deploy", name="second", settings=SETTINGS)
    bound = client.post(BINDING, {"connection": "second", "target": {"service": "other"}, "reason": "moved"}, format="json")
    assert bound.status_code == 200, bound.json()
    assert bound.json()["delivery"]["connection"] == "second"
    assert RoutingPolicy.objects.get().connection == other
    event = AuditEvent.objects.get(event="policy.bound")
    assert (event.data["before"]["connection"], event.data["after"]["target"]["service"], event.data["reason"]) == ("deploy", "other", "moved")
    freed = client.post(BINDING, {"connection": None, "reason": "gateways now"}, format="json")
    assert freed.json()["delivery"] is None


def test_binding_that_does_not_fit_is_refused_and_changes_nothing(staging: Environment, cast: Cast, by_token: Caller) -> None:
    client = by_token(cast.lead)
    client.post(ALIASES, body(), format="json")
    for values, code in (
        ({"connection": "prometheus", "target": {}}, "invalid_target"),
        ({"connection": None, "target": TARGET}, "invalid_target"),
        ({"connection": "deploy", "target": {"service": "../x"}}, "invalid_target"),
    ):
        response = client.post(BINDING, {**values, "reason": "wrong"}, format="json")
        assert (response.status_code, response.json()["code"]) == (422, code)
    assert RoutingPolicy.objects.get().target == {"consumers": [], "service": "support-agent"}


def test_people_without_the_right_are_refused(staging: Environment, cast: Cast, by_token: Caller) -> None:
    by_token(cast.lead).post(ALIASES, body(), format="json")
    for person in (cast.on_call, cast.leadership, cast.auditor):
        client = by_token(person)
        assert client.post(ALIASES, body(alias="another"), format="json").status_code == 403
        assert client.post(BINDING, {"connection": None, "reason": "x"}, format="json").status_code == 403
    assert by_token(cast.lead, scopes=("route",)).post(BINDING, {"connection": None, "reason": "x"}, format="json").status_code == 403
    assert RoutingPolicy.objects.get().connection is not None
