"""Fifty who press “roll back” on one alias in the same moment, on the page, through the API and from code, while the engine runs."""

from __future__ import annotations

import threading
from typing import Any

from django.db import connection
from django.test import Client
from rest_framework.test import APIClient

from rollbackhub.accounts.models import User
from rollbackhub.audit.models import AuditEvent
from rollbackhub.common import clock
from rollbackhub.common.errors import Conflict
from rollbackhub.executions.actions.base import StepOutcome
from rollbackhub.executions.domain.context import StepContext
from rollbackhub.executions.models import Execution
from rollbackhub.rollbacks.domain.proposal import Target, propose_rollback
from rollbackhub.rollbacks.enums import RollbackState
from rollbackhub.rollbacks.models import Rollback, RollbackPart
from rollbackhub.routing.models import PolicyRevision, RoutingPolicy
from tests.databases import FreshDatabase
from tests.factories.accounts import ApiTokenFactory
from tests.factories.fixtures import make_cast
from tests.rollbacks.conftest import REASON, ask, fresh, passes, run, script, seed_production, weight_of
from tests.threads import at_once

PRESSERS = 50
ADDRESS = "/rollbacks/start/production/?alias=smart-reasoner"


def seen_hash(policy: RoutingPolicy, account: User) -> str:
    """The plan that everybody has on their screen."""
    return propose_rollback(targets=[Target(fresh(policy))], account=account).plan_hash


class Engine(threading.Thread):
    """Rolls back whatever is begun, so that the flip happens while others still press. Verifying ends when they all have."""

    def __init__(self) -> None:
        super().__init__()
        self.all_pressed = threading.Event()
        self.ended: Rollback | None = None

        def verify(context: StepContext) -> StepOutcome:
            while not self.all_pressed.is_set():
                context.pause(0.05)
            return passes(context)

        script("verify", verify)

    def run(self) -> None:
        try:
            deadline = clock.monotonic() + 60
            while clock.monotonic() < deadline:
                found = Rollback.objects.filter(state=RollbackState.RUNNING).first()
                if found is not None:
                    self.ended = run(found)
                    return
                clock.sleep(0.01)
        finally:
            connection.close()


def test_fifty_at_once_are_one_rollback_and_forty_nine_answers_that_point_to_it(fresh_database: FreshDatabase) -> None:
    policy, cast = seed_production("model", alias="smart-reasoner"), make_cast()
    # What is tested is who wins, not how long fifty wait for a connection on a machine that is busy with other tests.
    pool: Any = connection.pool  # type: ignore[attr-defined]
    pool.timeout = 60.0
    accounts = [cast.on_call, cast.lead, cast.leadership]
    pages = [Client() for _ in range(PRESSERS)]
    for number, client in enumerate(pages[::3]):
        client.force_login(accounts[number % 3])
    tokens = [ApiTokenFactory(user=account, scopes=["read", "rollback"]).plain for account in accounts]
    plan = seen_hash(policy, cast.on_call)

    def press(number: int) -> tuple[str, str, str]:
        """How it ended: `begun` or the refusal's code, the rollback's id, and where the answer sends the person."""
        if number % 3 == 0:
            answer = pages[number].post(ADDRESS, {"reason": REASON, "seen_plan_hash": plan, "idempotency_key": f"page-{number}"}, follow=False)
            assert answer.status_code == 302, answer.content.decode()[:2000]
            # The page takes both to the rollback; whoever was not first is told so there.
            told = "A rollback of smart-reasoner is there already" in pages[number].get(answer["Location"]).content.decode()
            return "rollback_active" if told else "begun", answer["Location"].split("/")[2], answer["Location"]
        if number % 3 == 1:
            api = APIClient()
            api.credentials(HTTP_AUTHORIZATION=f"Token {tokens[number % len(tokens)]}")
            body = {"alias": "smart-reasoner", "reason": REASON}
            content: dict[str, Any] = api.post("/api/v1/rollbacks/", body, format="json", HTTP_IDEMPOTENCY_KEY=f"key-{number}").json()
            if "id" in content:
                return "begun", content["id"], f"/rollbacks/{content['id']}/"
            return content["code"], content["rollback_id"], content["url"]
        try:
            rollback = ask(policy, account=accounts[number % 3], idempotency_key=f"code-{number}")
        except Conflict as error:
            return error.code, str(error.extra["rollback_id"]), str(error.extra["url"])
        return "begun", str(rollback.pk), f"/rollbacks/{rollback.pk}/"

    engine = Engine()
    engine.start()
    answers = at_once(PRESSERS, press)
    engine.all_pressed.set()
    engine.join()
    failed = [answer for answer in answers if isinstance(answer, Exception)]
    assert not failed, failed[0]
    one = Rollback.objects.get()
    assert sorted(answer[0] for answer in answers if isinstance(answer, tuple)) == ["begun"] + ["rollback_active"] * (PRESSERS - 1)
    assert {answer[1:] for answer in answers if isinstance(answer, tuple)} == {(str(one.pk), f"/rollbacks/{one.pk}/")}
    assert (Execution.objects.count(), RollbackPart.objects.count()) == (1, 1)
    assert AuditEvent.objects.filter(event="rollback.requested").count() == AuditEvent.objects.filter(event="execution.requested").count() == 1
    assert engine.ended is not None
    assert engine.ended.state == RollbackState.VERIFIED
    assert (weight_of(policy), PolicyRevision.objects.filter(policy=policy).count()) == (0, 2)


def test_fifty_with_one_key_get_the_same_rollback(fresh_database: FreshDatabase) -> None:
    policy, cast = seed_production("model", alias="smart-reasoner"), make_cast()
    engine = Engine()
    # It ends while some still press: the key tells them apart from those who ask anew.
    engine.all_pressed.set()
    engine.start()
    results = at_once(PRESSERS, lambda _: ask(policy, account=cast.on_call, idempotency_key="one"))
    engine.join()
    assert [result for result in results if isinstance(result, Exception)] == []
    assert {result.pk for result in results if isinstance(result, Rollback)} == {Rollback.objects.get().pk}
    assert Execution.objects.count() == 1
    assert ask(policy, account=cast.on_call, idempotency_key="one") == Rollback.objects.get()


def test_one_key_for_two_requests_is_refused(fresh_database: FreshDatabase) -> None:
    cast = make_cast()
    pair = [seed_production("model", alias="one"), seed_production("prompt", alias="two")]
    results = at_once(10, lambda number: ask(pair[number % 2], account=cast.on_call, idempotency_key="one"))
    refused = [result.code for result in results if isinstance(result, Conflict)]
    assert refused == ["idempotency_key_reused"] * 5
    assert len({result.pk for result in results if isinstance(result, Rollback)}) == 1
    assert Rollback.objects.count() == 1


def test_same_key_of_two_people_is_two_keys(fresh_database: FreshDatabase) -> None:
    cast = make_cast()
    one, two = seed_production("model", alias="one"), seed_production("model", alias="two")
    first = ask(one, account=cast.on_call, idempotency_key="one")
    second = ask(two, account=cast.lead, idempotency_key="one")
    assert first != second
