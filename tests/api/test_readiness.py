"""The readiness of an alias over the API, fit for a CI gate."""

from __future__ import annotations

from typing import Any

import pytest

from rollbackhub.readiness.models import Readiness, ReadinessChange
from rollbackhub.registry.models import Version
from tests.api.conftest import Caller
from tests.api.openapi import CheckedClient
from tests.dashboard.world import World, make_world
from tests.factories.fixtures import Cast
from tests.factories.readiness import PreflightFindingFactory, PreflightRunFactory
from tests.factories.routing import BAD, GOOD

ADDRESS = "/api/v1/aliases/smart-reasoner/readiness/"


@pytest.fixture
def world(cast: Cast) -> World:
    world = make_world()
    PreflightRunFactory(environment=world.production)
    return world


def codes(body: dict[str, Any]) -> list[str]:
    return [reason["code"] for reason in body["reasons"]]


def test_readiness_of_a_proven_alias_is_ready_with_its_proof(world: World, on_call: CheckedClient) -> None:
    body = on_call.get(ADDRESS).json()
    assert (body["state"], body["rollbackable"], body["reasons"]) == ("ready", True, [])
    assert (body["alias"], body["environment"], body["bad_version"]) == ("smart-reasoner", "production", BAD)
    assert [target["version"] for target in body["targets"]] == [GOOD]
    assert (body["proof"]["state"], body["proof"]["changes"]) == ("valid", [])
    assert body["proof"]["run"]["id"] == str(world.passed.pk)
    assert body["last_computed_at"] is None


def test_readiness_says_why_not_and_what_changed(world: World, on_call: CheckedClient) -> None:
    PreflightFindingFactory(policy=world.lonely)
    Version.objects.filter(label=GOOD, artefact__slug="reasoner-model").update(digest="sha256:other")
    body = on_call.get(ADDRESS).json()
    assert (body["state"], body["rollbackable"], codes(body)) == ("at_risk", False, ["proof_stale"])
    (change,) = body["proof"]["changes"]
    assert (change["part"], change["what"]) == ("target", f"digest of {GOOD}")
    lonely = on_call.get("/api/v1/aliases/legacy-classifier/readiness/").json()
    assert lonely["state"] == "not_ready"
    assert codes(lonely) == ["config_mismatch", "never_drilled"]
    assert all(reason["remedy"] and reason["url"].startswith("/") for reason in lonely["reasons"])


def test_readiness_in_staging_is_asked_by_name(world: World, on_call: CheckedClient) -> None:
    body = on_call.get(f"{ADDRESS}?environment=staging").json()
    assert (body["environment"], body["proof"]["state"]) == ("staging", "valid")
    assert codes(body) == ["not_checked"]


def test_readiness_is_read_and_nothing_is_written(world: World, on_call: CheckedClient) -> None:
    on_call.get(ADDRESS)
    assert not Readiness.objects.exists()
    assert not ReadinessChange.objects.exists()


@pytest.mark.parametrize(
    ("address", "status", "code"),
    [
        ("/api/v1/aliases/nothing/readiness/", 404, "policy_not_found"),
        (f"{ADDRESS}?environment=nowhere", 404, "policy_not_found"),
        (f"{ADDRESS}?environment=no where", 422, "invalid_input"),
        (f"{ADDRESS}?enviroment=production", 422, "invalid_input"),
    ],
)
def test_readiness_of_what_there_is_not_is_refused(world: World, on_call: CheckedClient, address: str, status: int, code: str) -> None:
    answer = on_call.get(address)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_readiness_is_for_whoever_may_look(world: World, cast: Cast, by_session: Caller, by_token: Caller) -> None:
    assert by_session(cast.auditor).get(ADDRESS).status_code == 200
    assert by_token(cast.on_call, scopes=("read",)).get(ADDRESS).status_code == 200
    assert by_session(cast.stranger).get(ADDRESS).status_code == 403
    assert by_token(cast.on_call, scopes=("drill",)).get(ADDRESS).status_code == 403


def test_readiness_takes_a_fixed_number_of_queries(world: World, on_call: CheckedClient, django_assert_max_num_queries: Any) -> None:
    on_call.get(ADDRESS)
    with django_assert_max_num_queries(32):
        on_call.get(ADDRESS)
