"""Roll-forwards over the API: a fix instead, and back from it."""

from __future__ import annotations

from typing import Any

import pytest

from rollbackhub.accounts.enums import Role
from rollbackhub.common.verdict import Verdict
from rollbackhub.registry.models import Version
from rollbackhub.rollbacks.models import Rollback, RollForward
from rollbackhub.routing.models import RoutingPolicy
from tests.api.conftest import Caller
from tests.api.openapi import CheckedClient
from tests.factories.fixtures import Cast
from tests.factories.registry import VersionFactory
from tests.rollbacks.conftest import BAD, GOOD, again, ends, run, script, scripted_actions, seed_production, service_of, weight_of

__all__ = ["scripted_actions"]

FORWARDS = "/api/v1/roll-forwards/"
FIX = "v3"
GATES = [{"gate": "canary", "name": "Lee Lead", "reason": "one line"}, {"gate": "eval", "name": "Olga Call", "reason": "ran by hand"}]
KEY = "3f0e8f1c-0b7c-4c58-9d2a-1f1f4f1f4f1f"

pytestmark = pytest.mark.usefixtures("scripted", "scripted_actions")


@pytest.fixture
def fix(reasoner: RoutingPolicy) -> Version:
    """A fixed version that no policy has yet."""
    found: Version = VersionFactory(artefact=reasoner.artefact, label=FIX)
    return found


def forward(client: CheckedClient, *, key: str | None = None, **body: Any) -> Any:
    wanted = {"alias": "smart-reasoner", "fix_version": FIX, "reason": "typo in the prompt", "skipped_gates": GATES}
    headers: dict[str, Any] = {"HTTP_IDEMPOTENCY_KEY": key} if key else {}
    return client.post(FORWARDS, wanted | body, format="json", **headers)


def test_roll_forward_starts_with_its_gates_on_the_record(fix: Version, reasoner: RoutingPolicy, cast: Cast, by_session: Caller) -> None:
    client = by_session(cast.on_call)
    response = forward(client, percents=[5, 100])
    assert response.status_code == 201
    body = response.json()
    assert response.headers["Location"] == body["url"]
    assert (body["state"], body["authority"]["how"]) == ("rolling_forward", "own")
    row = body["roll_forwards"][0]
    assert (row["fix_version"], row["state"], row["canary_percents"], row["started_by"]) == (FIX, "running", [5, 100], "oncall")
    assert row["skipped_gates"] == GATES
    execution = client.get(row["execution_url"]).json()
    assert (execution["page"], execution["weights"]["rolled_back"]) == (body["page"], None)
    assert [{entry["version_pin"]: entry["weight"] for entry in stage} for stage in execution["weights"]["stages"]] == [
        {FIX: 5, GOOD: 95},
        {FIX: 25, GOOD: 75},
    ]


def test_roll_forward_that_holds_closes_as_rolled_forward(fix: Version, reasoner: RoutingPolicy, cast: Cast, by_session: Caller) -> None:
    client = by_session(cast.on_call)
    url = forward(client, percents=[100]).json()["url"]
    run(Rollback.objects.get())
    body = client.get(url).json()
    assert (body["state"], body["roll_forwards"][0]["state"]) == ("rolled_forward", "held")
    assert (weight_of(reasoner, FIX), weight_of(reasoner, BAD)) == (25, 0)
    assert client.get(f"{url}samples/").status_code == 200


def test_roll_forward_that_does_not_hold_is_turned_back(fix: Version, reasoner: RoutingPolicy, cast: Cast, by_session: Caller, by_token: Caller) -> None:
    client = by_session(cast.on_call)
    url = forward(client).json()["url"]
    script("hold_1", ends(Verdict.FAILED))
    assert run(Rollback.objects.get()).state == "needs_human"
    assert client.get(url).json()["roll_forwards"][0]["state"] == "failed"
    body = by_token(cast.on_call).post(f"{url}roll-back-instead/").json()
    assert (body["state"], body["parts"][0]["bad_version"]) == ("running", FIX)
    assert run(Rollback.objects.get()).state == "verified"
    assert weight_of(reasoner, FIX) == 0
    assert again(Rollback.objects.get()).restored_at is not None


@pytest.mark.parametrize(
    ("body", "code", "fields"),
    [
        ({"fix_version": "v9"}, "roll_forward_invalid", ["fix_version"]),
        ({"fix_version": BAD}, "roll_forward_invalid", ["fix_version"]),
        ({"fix_version": GOOD}, "roll_forward_invalid", ["fix_version"]),
        ({"alias": "nobody"}, "policy_not_found", ["alias"]),
        ({"environment": "staging"}, "not_production", ["environment"]),
        ({"bad_version": "v9"}, "version_not_in_policy", ["bad_version"]),
        ({"reason": "x"}, "reason_missing", ["reason"]),
        ({"skipped_gates": []}, "gates_invalid", ["gate_canary"]),
        ({"skipped_gates": GATES[1:]}, "gates_invalid", ["gate_canary"]),
        ({"skipped_gates": GATES + GATES[:1]}, "gates_invalid", ["skipped_gates"]),
        ({"skipped_gates": [GATES[0] | {"name": ""}]}, "invalid_input", ["skipped_gates.0.name"]),
        ({"skipped_gates": [GATES[0] | {"gate": "lunch"}]}, "invalid_input", ["skipped_gates.0.gate"]),
        ({"percents": [50, 25]}, "roll_forward_invalid", ["percents"]),
        ({"percents": [0, 100]}, "invalid_input", ["percents.0"]),
        ({"percents": []}, "invalid_input", ["percents"]),
        ({"speed": "fast"}, "invalid_input", ["speed"]),
    ],
)
def test_roll_forward_that_cannot_be_is_refused_with_its_field(
    body: Any, code: str, fields: list[str], fix: Version, reasoner: RoutingPolicy, cast: Cast, by_session: Caller
) -> None:
    seed_production("model", alias="smart-reasoner", environment="staging")
    response = forward(by_session(cast.lead), **body)
    assert (response.status_code, response.json()["code"], list(response.json()["fields"])) == (422, code, fields)
    assert not Rollback.objects.exists()


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        ("on_call", 201, None),
        ("lead", 201, None),
        ("leadership", 201, None),
        ("admin", 403, "not_authorised"),
        ("auditor", 403, "forbidden"),
        ("stranger", 403, "forbidden"),
    ],
)
def test_roll_forward_by_each_of_the_cast(name: str, status: int, code: str | None, fix: Version, cast: Cast, by_session: Caller) -> None:
    response = forward(by_session(getattr(cast, name)))
    assert (response.status_code, response.json().get("code")) == (status, code)
    assert RollForward.objects.exists() == (status == 201)


def test_roll_forward_takes_the_authority_of_the_rollback(corpus: RoutingPolicy, cast: Cast, by_session: Caller) -> None:
    VersionFactory(artefact=corpus.artefact, label=FIX)
    assert forward(by_session(cast.on_call), alias="answers-corpus").json()["code"] == "not_authorised"
    assert forward(by_session(cast.lead), alias="answers-corpus").status_code == 201


@pytest.mark.parametrize("service", [False, True])
def test_roll_forward_is_never_a_tokens(service: bool, fix: Version, cast: Cast, by_token: Caller) -> None:
    account = service_of(cast.on_call, Role.ON_CALL) if service else cast.on_call
    response = forward(by_token(account))
    assert (response.status_code, response.json()["code"]) == (403, "token_not_allowed")
    assert not RollForward.objects.exists()


def test_roll_forward_beside_another_is_a_409_that_points_to_it(fix: Version, cast: Cast, by_session: Caller) -> None:
    first = forward(by_session(cast.on_call)).json()
    response = forward(by_session(cast.lead))
    assert (response.status_code, response.json()["code"], response.json()["api_url"]) == (409, "rollback_active", first["url"])


def test_roll_forward_with_the_same_key_is_the_same(fix: Version, cast: Cast, by_session: Caller) -> None:
    client = by_session(cast.on_call)
    first, second = (forward(client, key=KEY) for _ in range(2))
    assert (first.status_code, second.status_code, second.headers["Idempotent-Replayed"]) == (201, 201, "true")
    assert second.json() == first.json()
    assert RollForward.objects.count() == 1
    assert forward(client, key=KEY, reason="another").json()["code"] == "idempotency_key_reused"
