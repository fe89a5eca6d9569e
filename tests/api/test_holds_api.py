"""Stability holds over the API."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from rollbackhub.accounts.enums import Role
from rollbackhub.audit.models import AuditEvent
from rollbackhub.common.clock import now
from rollbackhub.registry.models import StabilityHold
from rollbackhub.routing.models import RoutingPolicy
from tests.api.conftest import Caller
from tests.api.openapi import CheckedClient
from tests.factories.fixtures import Cast
from tests.rollbacks.conftest import BAD, GOOD, ask, run, seed_production, service_of

HOLDS = "/api/v1/holds/"
KEY = "3f0e8f1c-0b7c-4c58-9d2a-1f1f4f1f4f1f"

pytestmark = pytest.mark.usefixtures("scripted")


@pytest.fixture
def hold(reasoner: RoutingPolicy, cast: Cast) -> StabilityHold:
    """On the version that a rollback took out."""
    run(ask(reasoner, account=cast.on_call))
    return StabilityHold.objects.get()


def lift(client: CheckedClient, hold_id: int, *, key: str | None = None, **body: Any) -> Any:
    headers: dict[str, Any] = {"HTTP_IDEMPOTENCY_KEY": key} if key else {}
    return client.post(f"{HOLDS}{hold_id}/lift/", body, format="json", **headers)


def give_weight(client: CheckedClient) -> Any:
    candidates = [{"id": f"anthropic:{label}:ap-south-1", "version_pin": label, "weight": weight} for label, weight in ((BAD, 25), (GOOD, 75))]
    body = {"expected_revision": 2, "reason": "ship it again", "candidates": candidates}
    return client.post("/api/v1/policies/production/smart-reasoner/revisions/", body, format="json")


def test_holds_are_listed_while_they_stand(hold: StabilityHold, on_call: CheckedClient) -> None:
    row = on_call.get(HOLDS).json()["results"][0]
    assert (row["id"], row["artefact"], row["version"], row["lifted_at"]) == (hold.pk, "smart-reasoner-artefact", BAD, None)
    assert (row["rollback_url"], row["lift_url"]) == (f"/api/v1/rollbacks/{hold.rollback_id}/", f"{HOLDS}{hold.pk}/lift/")
    assert "may get no weight in production" in row["sentence"]
    assert on_call.get(row["rollback_url"]).status_code == 200
    assert on_call.get(HOLDS, {"artefact": "other"}).json()["results"] == []
    StabilityHold.objects.filter(pk=hold.pk).update(started_at=now() - dt.timedelta(days=8), ends_at=now() - dt.timedelta(seconds=1))
    assert on_call.get(HOLDS).json()["results"] == []


def test_holds_take_a_fixed_number_of_queries_in_pages(on_call: CheckedClient, cast: Cast, django_assert_num_queries: Any) -> None:
    on_call.get("/api/v1/me/")
    made = []
    for number in range(3):
        policy = seed_production("model", alias=f"alias-{number}")
        run(ask(policy, account=cast.on_call))
        made.append(f"{policy.alias}-artefact")
        # The token, the roles, the page.
        with django_assert_num_queries(3):
            on_call.get(HOLDS)
    first = on_call.get(HOLDS, {"page_size": "2"}).json()
    second = on_call.get(first["next"]).json()
    assert [row["artefact"] for row in first["results"] + second["results"]] == made[::-1]


def test_held_version_gets_no_weight_until_a_lead_lifts_the_hold(hold: StabilityHold, on_call: CheckedClient, cast: Cast, by_session: Caller) -> None:
    refused = give_weight(on_call)
    assert (refused.status_code, refused.json()["code"]) == (422, "version_held")
    body = lift(by_session(cast.lead), hold.pk, reason="the cause was elsewhere").json()
    assert (body["lifted_by"], body["lift_reason"], body["lifted_at"] is not None) == ("lead", "the cause was elsewhere", True)
    assert AuditEvent.objects.filter(event="hold.lifted", actor_kind="person", actor_user_id=cast.lead.pk).count() == 1
    assert on_call.get(HOLDS).json()["results"] == []
    assert give_weight(on_call).status_code == 201


@pytest.mark.parametrize(("name", "status"), [("lead", 200), ("leadership", 200), ("on_call", 403), ("admin", 403), ("auditor", 403), ("stranger", 403)])
def test_lift_by_each_of_the_cast(name: str, status: int, hold: StabilityHold, cast: Cast, by_session: Caller) -> None:
    assert lift(by_session(getattr(cast, name)), hold.pk, reason="the cause was elsewhere").status_code == status
    assert (StabilityHold.objects.get().lifted_at is not None) == (status == 200)


def test_lift_is_never_a_tokens_or_a_service_accounts(hold: StabilityHold, cast: Cast, by_token: Caller, by_session: Caller) -> None:
    service = service_of(cast.lead, Role.PLATFORM_LEAD)
    for client in (by_token(cast.lead), by_token(service), by_session(service)):
        response = lift(client, hold.pk, reason="the cause was elsewhere")
        assert (response.status_code, response.json()["code"]) == (403, "token_not_allowed")
    assert StabilityHold.objects.get().lifted_at is None


def test_lift_needs_a_reason(hold: StabilityHold, cast: Cast, by_session: Caller) -> None:
    for body in ({}, {"reason": ""}, {"reason": "ok"}):
        response = lift(by_session(cast.lead), hold.pk, **body)
        assert (response.status_code, list(response.json()["fields"])) == (422, ["reason"])
    assert StabilityHold.objects.get().lifted_at is None


def test_lift_twice_is_a_409_and_with_its_key_the_same_answer(hold: StabilityHold, cast: Cast, by_session: Caller) -> None:
    client = by_session(cast.lead)
    first, second = (lift(client, hold.pk, key=KEY, reason="the cause was elsewhere") for _ in range(2))
    assert (first.status_code, second.json()) == (200, first.json())
    response = lift(client, hold.pk, reason="the cause was elsewhere")
    assert (response.status_code, response.json()["code"]) == (409, "hold_over")


def test_lift_of_a_hold_that_does_not_exist_is_a_404(cast: Cast, by_session: Caller) -> None:
    assert lift(by_session(cast.lead), 7, reason="the cause was elsewhere").json()["code"] == "hold_not_found"


def test_lift_by_session_needs_the_csrf_token(hold: StabilityHold, cast: Cast, by_session: Caller) -> None:
    assert lift(by_session(cast.lead, csrf=True), hold.pk, reason="the cause was elsewhere").status_code == 403
    assert StabilityHold.objects.get().lifted_at is None
