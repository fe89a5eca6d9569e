"""Idempotency-Key: the same request twice acts once."""

from __future__ import annotations

import datetime as dt
import threading
from typing import Any

import pytest

from rollbackhub.api import idempotency
from rollbackhub.api.models import KeptAnswer
from rollbackhub.common.clock import now
from rollbackhub.executions.models import Execution
from rollbackhub.routing.models import PolicyRevision, RoutingPolicy
from tests.api.conftest import Caller
from tests.api.openapi import CheckedClient
from tests.factories.accounts import ApiTokenFactory
from tests.factories.drills import DrillFactory
from tests.factories.executions import ProcedureVersionFactory
from tests.factories.fixtures import Cast, make_cast
from tests.factories.routing import BAD, GOOD, RoutingPolicyFactory, candidate_id

DRILLS = "/api/v1/drills/"
KEY = "3f0e8f1c-0b7c-4c58-9d2a-1f1f4f1f4f1f"


@pytest.fixture
def policy(db: None) -> RoutingPolicy:
    """smart-reasoner in staging, with the procedure of its change type."""
    ProcedureVersionFactory()
    return RoutingPolicyFactory(alias="smart-reasoner")


def start(client: CheckedClient, *, key: str = KEY, alias: str = "smart-reasoner", **body: str) -> Any:
    return client.post(DRILLS, {"alias": alias, **body}, format="json", HTTP_IDEMPOTENCY_KEY=key)


def revise(client: CheckedClient, *, expected: int = 1, key: str | None = KEY) -> Any:
    candidates = [{"id": candidate_id(BAD), "version_pin": BAD, "weight": 0}, {"id": candidate_id(GOOD), "version_pin": GOOD, "weight": 100}]
    headers: dict[str, Any] = {"HTTP_IDEMPOTENCY_KEY": key} if key else {}
    body = {"expected_revision": expected, "reason": "test", "candidates": candidates}
    return client.post("/api/v1/policies/staging/smart-reasoner/revisions/", body, format="json", **headers)


def test_replay_gives_the_first_answer_and_starts_nothing(policy: RoutingPolicy, on_call: CheckedClient) -> None:
    first, second = start(on_call), start(on_call)
    assert (first.status_code, second.status_code) == (201, 201)
    assert second.json() == first.json()
    assert second.headers["Location"] == first.headers["Location"]
    assert "Idempotent-Replayed" not in first.headers
    assert second.headers["Idempotent-Replayed"] == "true"
    assert Execution.objects.count() == 1


def test_replay_after_the_drill_has_ended_still_starts_nothing(policy: RoutingPolicy, on_call: CheckedClient) -> None:
    first = start(on_call)
    on_call.post(f"{first.json()['url']}cancel/")
    assert start(on_call).json()["id"] == first.json()["id"]
    assert Execution.objects.count() == 1


def test_replay_of_a_revision_answers_as_the_first_instead_of_409(policy: RoutingPolicy, on_call: CheckedClient) -> None:
    first, second = revise(on_call), revise(on_call)
    assert (first.status_code, second.status_code) == (201, 201)
    assert second.json() == first.json()
    assert PolicyRevision.objects.count() == 2
    assert revise(on_call, key=None).json()["code"] == "revision_moved"


def test_replay_of_a_cancel_answers_as_the_first(policy: RoutingPolicy, on_call: CheckedClient) -> None:
    url = f"{DRILLS}{DrillFactory(execution__policy=policy).pk}/cancel/"
    first, second = (on_call.post(url, HTTP_IDEMPOTENCY_KEY=KEY) for _ in range(2))
    assert (first.status_code, second.status_code) == (200, 200)
    assert first.json() == second.json()


@pytest.mark.parametrize("other", [{"alias": "writer"}, {"note": "other"}, {"bad_version": GOOD}])
def test_key_of_another_request_is_a_409(other: dict[str, str], policy: RoutingPolicy, on_call: CheckedClient) -> None:
    RoutingPolicyFactory(alias="writer")
    start(on_call)
    response = start(on_call, **other)
    assert (response.status_code, response.json()["code"]) == (409, "idempotency_key_reused")
    assert Execution.objects.count() == 1


def test_key_for_another_address_is_a_409(policy: RoutingPolicy, on_call: CheckedClient) -> None:
    start(on_call)
    assert revise(on_call).json()["code"] == "idempotency_key_reused"
    assert PolicyRevision.objects.count() == 1


def test_keys_of_two_callers_have_nothing_to_do_with_each_other(policy: RoutingPolicy, cast: Cast, by_token: Caller, by_session: Caller) -> None:
    RoutingPolicyFactory(alias="writer")
    RoutingPolicyFactory(alias="third")
    clients = [(by_token(cast.on_call), "smart-reasoner"), (by_token(cast.on_call), "writer"), (by_session(cast.on_call), "third")]
    assert [start(client, alias=alias).status_code for client, alias in clients] == [201, 201, 201]
    assert Execution.objects.count() == 3


def test_refused_request_is_not_kept_and_may_be_tried_again(policy: RoutingPolicy, on_call: CheckedClient) -> None:
    running = DrillFactory(execution__policy=policy)
    assert start(on_call).status_code == 409
    assert not KeptAnswer.objects.exists()
    on_call.post(f"{DRILLS}{running.pk}/cancel/")
    assert start(on_call).status_code == 201


def test_unexpected_error_while_acting_keeps_nothing(policy: RoutingPolicy, on_call: CheckedClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rollbackhub.api.drills.views.created", lambda *_, **__: 1 / 0)
    on_call.raise_request_exception = False
    assert start(on_call).status_code == 500
    assert not KeptAnswer.objects.exists()
    assert not Execution.objects.exists()


@pytest.mark.parametrize("key", ["", " ", "a b", "é", "a" * 101, "a\tb", '"', '""', "a\x00b"])
def test_key_that_cannot_be_one_is_refused(key: str, policy: RoutingPolicy, on_call: CheckedClient) -> None:
    response = start(on_call, key=key)
    assert (response.status_code, response.json()["code"]) == (422, "invalid_idempotency_key")
    assert not Execution.objects.exists()


def test_key_quoted_and_bare_are_the_same(policy: RoutingPolicy, on_call: CheckedClient) -> None:
    assert start(on_call, key=f'"{KEY}"').status_code == 201
    assert start(on_call, key=KEY).headers["Idempotent-Replayed"] == "true"


def test_replay_needs_the_right_still(policy: RoutingPolicy, cast: Cast, on_call: CheckedClient) -> None:
    start(on_call)
    cast.on_call.role_assignments.all().delete()
    assert start(on_call).status_code == 403


def test_kept_answers_are_forgotten_after_a_week(policy: RoutingPolicy, on_call: CheckedClient) -> None:
    for days, key in ((8, "old"), (6, "young")):
        row = KeptAnswer.objects.create(owner="user:0", key=key, request_hash="0" * 64, status=200, body="{}")
        KeptAnswer.objects.filter(pk=row.pk).update(created_at=now() - dt.timedelta(days=days))
    start(on_call)
    assert set(KeptAnswer.objects.values_list("key", flat=True)) == {"young", KEY}


def test_many_at_once_with_one_key_start_one_drill_and_get_one_answer(fresh_database: Any) -> None:
    ProcedureVersionFactory()
    RoutingPolicyFactory(alias="smart-reasoner")
    plain = ApiTokenFactory(user=make_cast().on_call, scopes=["read", "drill"]).plain
    answers: list[Any] = []
    barrier = threading.Barrier(6)

    def call() -> None:
        from django.db import connection

        client = CheckedClient()
        client.credentials(HTTP_AUTHORIZATION=f"Token {plain}")
        barrier.wait()
        answers.append(start(client))
        connection.close()

    threads = [threading.Thread(target=call) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.status_code for answer in answers] == [201] * 6
    assert len({answer.content for answer in answers}) == 1
    assert sorted(answer.headers.get("Idempotent-Replayed", "") for answer in answers) == ["", *["true"] * 5]
    assert Execution.objects.count() == 1


def test_key_of_accepts_what_clients_send() -> None:
    assert idempotency._KEY.fullmatch("drill:smart-reasoner@2026-11-23/1+a=b_c.d")
