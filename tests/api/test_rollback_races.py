"""Many who press at once, through the API: one rollback, and everybody else is told which; two who decide at once."""

from __future__ import annotations

from typing import Any

import pytest

from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.audit.models import AuditEvent
from rollbackhub.executions.models import Execution
from rollbackhub.rollbacks.models import Approval, Rollback
from tests.api.openapi import CheckedClient, description
from tests.databases import FreshDatabase
from tests.factories.accounts import PASSWORD, ApiTokenFactory
from tests.factories.fixtures import make_cast
from tests.rollbacks.conftest import ask, seed_production
from tests.threads import at_once

ROLLBACKS = "/api/v1/rollbacks/"
WANTED = {"alias": "smart-reasoner", "reason": "degraded feedback"}


@pytest.fixture(autouse=True)
def _described() -> None:
    """The description that answers are checked against is made once, before the threads: its generator is for one thread."""
    description()


def by_token(plain: str) -> CheckedClient:
    client = CheckedClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {plain}")
    return client


def test_request_of_many_at_once_is_one_rollback_and_the_others_are_told_which(fresh_database: FreshDatabase) -> None:
    seed_production("model", alias="smart-reasoner")
    cast = make_cast()
    plain = [ApiTokenFactory(user=cast.on_call, scopes=["read", "rollback"]).plain for _ in range(8)]

    def press(number: int) -> Any:
        key: dict[str, Any] = {"HTTP_IDEMPOTENCY_KEY": f"key-{number}"} if number % 2 else {}
        return by_token(plain[number]).post(ROLLBACKS, WANTED, format="json", **key)

    answers: list[Any] = at_once(8, press)
    assert sorted(answer.status_code for answer in answers) == [201, *[409] * 7]
    one = Rollback.objects.get()
    assert {answer.json().get("rollback_id") or answer.json()["id"] for answer in answers} == {str(one.pk)}
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} == {"rollback_active"}
    assert Execution.objects.count() == 1
    assert AuditEvent.objects.filter(event="rollback.requested").count() == 1


def test_request_of_many_at_once_with_one_key_is_one_rollback_and_one_answer(fresh_database: FreshDatabase) -> None:
    seed_production("model", alias="smart-reasoner")
    plain = ApiTokenFactory(user=make_cast().on_call, scopes=["read", "rollback"]).plain
    answers: list[Any] = at_once(6, lambda number: by_token(plain).post(ROLLBACKS, WANTED, format="json", HTTP_IDEMPOTENCY_KEY="one"))
    assert [answer.status_code for answer in answers] == [201] * 6
    assert len({answer.content for answer in answers}) == 1
    assert Rollback.objects.count() == 1


@pytest.mark.parametrize("action", ["approve", "reject"])
def test_decide_of_two_at_once_one_wins_and_the_other_is_told(action: str, fresh_database: FreshDatabase) -> None:
    corpus = seed_production("dataset", alias="answers-corpus")
    cast = make_cast()
    rollback = ask(corpus, account=cast.on_call, actor=actor_of(cast.on_call))
    clients = []
    for person in (cast.lead, cast.leadership):
        client = CheckedClient()
        client.force_login(person)
        assert client.post("/accounts/reauthenticate/", {"password": PASSWORD}).status_code == 302
        clients.append(client)

    def decide(number: int) -> Any:
        verb = action if number else "approve"
        body = {"plan_hash": rollback.plan_hash, "reason": "because"}
        return clients[number].post(f"{ROLLBACKS}{rollback.pk}/{verb}/", body, format="json", HTTP_IDEMPOTENCY_KEY=f"key-{number}")

    answers: list[Any] = at_once(2, decide)
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    assert next(answer for answer in answers if answer.status_code == 409).json()["code"] == "already_decided"
    assert Approval.objects.count() == 1
