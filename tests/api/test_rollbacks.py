"""Rollbacks over the API: plan, request, list, detail, samples."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

import pytest

from rollbackhub.accounts.enums import Role
from rollbackhub.api.models import KeptAnswer
from rollbackhub.api.schema import CAPABILITY
from rollbackhub.audit.models import AuditEvent
from rollbackhub.common.clock import now
from rollbackhub.executions.models import Execution
from rollbackhub.rollbacks.models import Rollback
from rollbackhub.routing.models import RoutingPolicy
from tests.api.conftest import Caller
from tests.api.openapi import CheckedClient, description
from tests.factories.executions import ExecutionFactory, SampleFactory, StepAttemptFactory
from tests.factories.fixtures import Cast
from tests.rollbacks.conftest import BAD, GOOD, ask, run, seed_production, service_of, weight_of

ROLLBACKS = "/api/v1/rollbacks/"
WANTED = {"environment": "production", "alias": "smart-reasoner", "reason": "degraded feedback"}
KEY = "3f0e8f1c-0b7c-4c58-9d2a-1f1f4f1f4f1f"


def start(client: CheckedClient, *, key: str | None = None, **body: Any) -> Any:
    headers: dict[str, Any] = {"HTTP_IDEMPOTENCY_KEY": key} if key else {}
    return client.post(ROLLBACKS, WANTED | body, format="json", **headers)


# The request.


def test_request_within_authority_runs_at_once(reasoner: RoutingPolicy, on_call: CheckedClient) -> None:
    response = start(on_call, detected_by="alert feedback_low")
    assert response.status_code == 201
    body = response.json()
    assert response.headers["Location"] == body["url"] == f"{ROLLBACKS}{body['id']}/"
    assert (body["page"], body["samples_url"]) == (f"/rollbacks/{body['id']}/", f"{ROLLBACKS}{body['id']}/samples/")
    assert (body["state"], body["aliases"], body["environment"], body["scope"], body["strategic"]) == (
        "running",
        ["smart-reasoner"],
        "production",
        "single",
        False,
    )
    assert (body["authority"]["required_role"], body["authority"]["how"], body["authority"]["by"]) == ("on_call", "own", "oncall")
    assert (body["requested_via"], body["approvers"], body["approvals"], body["rollback_seconds"]) == ("api", [], [], None)
    assert body["parts"][0]["weights"]["before"][0] == {"id": f"anthropic:{BAD}:ap-south-1", "version_pin": BAD, "weight": 25}
    assert [entry["weight"] for entry in body["parts"][0]["weights"]["rolled_back"]] == [0, 100]
    assert body["parts"][0]["execution"]["state"] == "queued"
    rollback = Rollback.objects.get()
    assert (str(rollback.pk), rollback.detected_by, rollback.requested_by.username) == (body["id"], "alert feedback_low", "oncall")
    event = AuditEvent.objects.get(event="rollback.requested")
    assert (event.actor_kind, event.actor_token_id) == ("token", on_call.token.token_key)  # type: ignore[attr-defined]
    assert on_call.get(response.headers["Location"]).json() == body


def test_request_above_authority_waits_and_names_who_may_approve(corpus: RoutingPolicy, on_call: CheckedClient, cast: Cast) -> None:
    body = start(on_call, alias="answers-corpus").json()
    assert (body["state"], body["authority"]["required_role"], body["authority"]["because"]) == ("awaiting_approval", "platform_lead", "dataset")
    assert body["approvers"] == [
        {"username": "admin", "name": "Adam Key"},
        {"username": "lead", "name": "Lee Lead"},
        {"username": "leadership", "name": "Vera Vice"},
    ]
    assert body["expires_at"] is not None
    assert body["parts"][0]["execution"] is None
    assert not Execution.objects.exists()


def test_request_of_several_keeps_their_order_and_versions(reasoner: RoutingPolicy, corpus: RoutingPolicy, by_token: Caller, cast: Cast) -> None:
    aliases = [{"alias": "smart-reasoner", "bad_version": GOOD}, {"alias": "answers-corpus"}]
    body = start(by_token(cast.lead), alias=None, aliases=aliases).json()
    assert (body["state"], body["scope"], body["aliases"]) == ("running", "coordinated", ["smart-reasoner", "answers-corpus"])
    assert [part["bad_version"] for part in body["parts"]] == [GOOD, BAD]
    assert [part["execution"] is None for part in body["parts"]] == [False, True]


def test_request_strategic_waits_for_leadership(reasoner: RoutingPolicy, by_token: Caller, cast: Cast) -> None:
    body = start(by_token(cast.lead), strategic=True).json()
    assert (body["state"], body["strategic"], body["authority"]["required_role"]) == ("awaiting_approval", True, "leadership")


@pytest.mark.parametrize(
    ("body", "code", "fields"),
    [
        ({"reason": ""}, "invalid_input", ["reason"]),
        ({"reason": "x"}, "reason_missing", ["reason"]),
        ({"reason": "x" * 1001}, "invalid_input", ["reason"]),
        ({"alias": "nobody"}, "policy_not_found", ["alias"]),
        ({"environment": "moon"}, "policy_not_found", ["alias"]),
        ({"environment": "staging"}, "not_production", ["environment"]),
        ({"alias": None}, "invalid_input", ["alias"]),
        ({"aliases": [{"alias": "smart-reasoner"}]}, "invalid_input", ["alias"]),
        ({"alias": None, "aliases": []}, "invalid_input", ["aliases"]),
        ({"alias": None, "aliases": [{"alias": "smart-reasoner"}, {"alias": "nobody"}]}, "policy_not_found", ["aliases.1.alias"]),
        ({"alias": None, "aliases": [{"alias": "smart-reasoner", "bad_version": "v0"}]}, "version_not_in_policy", ["aliases.0.bad_version"]),
        ({"alias": None, "aliases": [{"alias": "smart-reasoner", "weight": 1}]}, "invalid_input", ["aliases.0.weight"]),
        ({"alias": None, "aliases": [{"alias": "smart-reasoner"}] * 2}, "alias_twice", ["aliases"]),
        ({"alias": None, "aliases": [{"alias": "smart-reasoner"}], "bad_version": BAD}, "invalid_input", ["bad_version"]),
        ({"bad_version": "v0"}, "version_not_in_policy", ["bad_version"]),
        ({"detected_at": "2999-01-01T00:00:00Z"}, "detected_at_invalid", ["detected_at"]),
        ({"detected_at": "yesterday"}, "invalid_input", ["detected_at"]),
        ({"detected": "2026-01-01T00:00:00Z"}, "invalid_input", ["detected"]),
    ],
)
def test_request_that_cannot_be_is_refused_with_its_field(body: Any, code: str, fields: list[str], reasoner: RoutingPolicy, on_call: CheckedClient) -> None:
    seed_production("model", alias="smart-reasoner", environment="staging")
    response = start(on_call, **body)
    assert (response.status_code, response.json()["code"], list(response.json()["fields"])) == (422, code, fields)
    assert not Rollback.objects.exists()


def test_request_beside_another_is_a_409_that_points_to_it(reasoner: RoutingPolicy, on_call: CheckedClient, by_session: Caller, cast: Cast) -> None:
    first = start(on_call).json()
    response = start(by_session(cast.lead))
    body = response.json()
    assert (response.status_code, body["code"], body["state"]) == (409, "rollback_active", "running")
    assert (body["rollback_id"], body["url"], body["api_url"]) == (first["id"], first["page"], first["url"])
    assert Rollback.objects.count() == 1


def test_request_of_a_plan_that_has_changed_is_refused(reasoner: RoutingPolicy, on_call: CheckedClient) -> None:
    response = start(on_call, plan_hash="0" * 64)
    assert (response.status_code, response.json()["code"]) == (409, "plan_changed")
    assert not Rollback.objects.exists()


@pytest.mark.parametrize(
    ("name", "status", "state"),
    [
        ("on_call", 201, "running"),
        ("lead", 201, "running"),
        ("leadership", 201, "running"),
        ("admin", 201, "awaiting_approval"),
        ("auditor", 403, None),
        ("stranger", 403, None),
    ],
)
def test_request_by_each_of_the_cast(name: str, status: int, state: str | None, reasoner: RoutingPolicy, cast: Cast, by_session: Caller) -> None:
    response = start(by_session(getattr(cast, name)))
    assert (response.status_code, response.json().get("state")) == (status, state)
    assert Rollback.objects.exists() == (status == 201)


def test_request_by_session_needs_the_csrf_token(reasoner: RoutingPolicy, cast: Cast, by_session: Caller) -> None:
    assert start(by_session(cast.on_call, csrf=True)).status_code == 403
    assert not Rollback.objects.exists()


@pytest.mark.parametrize("scopes", [("read",), ("read", "drill", "route")])
def test_request_by_token_needs_the_scope(scopes: tuple[str, ...], reasoner: RoutingPolicy, cast: Cast, by_token: Caller) -> None:
    response = start(by_token(cast.on_call, scopes=scopes))
    assert (response.status_code, response.json()["code"]) == (403, "forbidden")
    assert "rollback" in response.json()["detail"]
    assert start(by_token(cast.on_call, scopes=("rollback",))).status_code == 201


def test_request_by_service_account_is_its_persons(reasoner: RoutingPolicy, cast: Cast, by_token: Caller) -> None:
    service = service_of(cast.on_call, Role.ON_CALL)
    body = start(by_token(service)).json()
    assert (body["state"], body["authority"]["by"]) == ("running", "oncall")
    assert Rollback.objects.get().principal == cast.on_call


def test_request_with_break_glass_starts_in_a_session_and_opens_a_review(corpus: RoutingPolicy, cast: Cast, by_session: Caller) -> None:
    body = start(by_session(cast.on_call), alias="answers-corpus", break_glass_reason="Customers get wrong refunds, nobody answers").json()
    assert (body["state"], body["authority"]["how"], body["review_is_open"]) == ("running", "break_glass", True)
    assert body["authority"]["break_glass_reason"] == "Customers get wrong refunds, nobody answers"


@pytest.mark.parametrize("service", [False, True])
def test_request_with_break_glass_is_never_a_tokens(service: bool, corpus: RoutingPolicy, cast: Cast, by_token: Caller) -> None:
    account = service_of(cast.on_call, Role.ON_CALL) if service else cast.on_call
    response = start(by_token(account), alias="answers-corpus", break_glass_reason="Customers get wrong refunds, nobody answers")
    assert (response.status_code, response.json()["code"]) == (403, "token_not_allowed")
    assert not Rollback.objects.exists()


# The same key.


def test_same_key_gives_the_same_rollback(reasoner: RoutingPolicy, on_call: CheckedClient) -> None:
    first, second = start(on_call, key=KEY), start(on_call, key=KEY)
    assert (first.status_code, second.status_code) == (201, 201)
    assert second.json() == first.json()
    assert second.headers["Location"] == first.headers["Location"]
    assert second.headers["Idempotent-Replayed"] == "true"
    assert Rollback.objects.count() == 1


def test_same_key_gives_the_same_rollback_when_the_kept_answer_is_forgotten(reasoner: RoutingPolicy, on_call: CheckedClient) -> None:
    first = start(on_call, key=KEY).json()
    KeptAnswer.objects.all().delete()
    again = start(on_call, key=KEY)
    assert (again.status_code, again.json()["id"]) == (201, first["id"])
    assert Rollback.objects.count() == 1


@pytest.mark.parametrize("forgotten", [False, True])
def test_same_key_for_another_request_is_a_409(forgotten: bool, reasoner: RoutingPolicy, corpus: RoutingPolicy, on_call: CheckedClient) -> None:
    start(on_call, key=KEY)
    if forgotten:
        KeptAnswer.objects.all().delete()
    response = start(on_call, key=KEY, alias="answers-corpus")
    assert (response.status_code, response.json()["code"]) == (409, "idempotency_key_reused")
    assert Rollback.objects.count() == 1


def test_same_key_of_another_token_is_another_request(reasoner: RoutingPolicy, corpus: RoutingPolicy, cast: Cast, by_token: Caller) -> None:
    assert start(by_token(cast.on_call), key=KEY).status_code == 201
    assert start(by_token(cast.on_call), key=KEY, alias="answers-corpus").status_code == 201
    assert Rollback.objects.count() == 2


def test_refused_request_may_be_sent_again_with_its_key(reasoner: RoutingPolicy, on_call: CheckedClient) -> None:
    assert start(on_call, key=KEY, plan_hash="0" * 64).status_code == 409
    assert not KeptAnswer.objects.exists()
    assert start(on_call, key=KEY).status_code == 201


# The plan.


def plan(client: CheckedClient, **body: Any) -> Any:
    return client.post(f"{ROLLBACKS}plan/", body, format="json")


def test_plan_says_what_would_be_done_and_changes_nothing(reasoner: RoutingPolicy, on_call: CheckedClient, cast: Cast) -> None:
    response = plan(on_call, alias="smart-reasoner")
    assert response.status_code == 200
    body = response.json()
    assert body["authority"] == {"required_role": "on_call", "because": "model", "in_words": "On-call engineer, by the rule for model", "alone": True}
    assert {person["username"] for person in body["approvers"]} == {"lead", "leadership", "admin"}
    part = body["parts"][0]
    assert (part["bad_version"], part["good_versions"], part["revision"]) == (BAD, [GOOD], 1)
    assert [entry["weight"] for entry in part["weights"]["before"]] == [25, 75]
    assert [entry["weight"] for entry in part["weights"]["rolled_back"]] == [0, 100]
    assert part["proof"]["in_words"].startswith("Never drilled")
    assert part["expected"]["rollback"]["in_words"] == part["expected"]["roll_forward"]["in_words"] == "never measured"
    assert [step["key"] for step in part["steps"]] == ["preflight", "flip", "propagate", "drain", "verify"]
    assert not Rollback.objects.exists()
    assert weight_of(reasoner) == 25
    assert start(on_call, plan_hash=body["plan_hash"]).status_code == 201


def test_plan_expects_what_was_measured(on_call: CheckedClient, reasoner: RoutingPolicy) -> None:
    for seconds in (1.0, 2.0, 4.0):
        ExecutionFactory(policy=reasoner, passed=True, rollback_seconds=seconds)
    ExecutionFactory(policy=reasoner, failed=True)
    part = plan(on_call, alias="smart-reasoner").json()["parts"][0]
    assert part["expected"]["rollback"] == {
        "in_words": "median 2.0 s (1.0 to 4.0 s), 3 of 4 runs passed",
        "runs": 3,
        "tried": 4,
        "median_seconds": 2.0,
        "shortest_seconds": 1.0,
        "longest_seconds": 4.0,
    }
    assert part["proof"]["verdict"] == "failed"
    assert part["expected"]["roll_forward"]["tried"] == 0


def test_plan_of_several_needs_a_lead(reasoner: RoutingPolicy, corpus: RoutingPolicy, on_call: CheckedClient, by_token: Caller, cast: Cast) -> None:
    aliases = [{"alias": "smart-reasoner"}, {"alias": "answers-corpus"}]
    body = plan(on_call, aliases=aliases).json()
    assert (body["scope"], body["aliases"], body["authority"]["alone"]) == ("coordinated", ["smart-reasoner", "answers-corpus"], False)
    assert plan(by_token(cast.lead), aliases=aliases).json()["authority"]["alone"] is True


def test_plan_is_for_whoever_may_look(reasoner: RoutingPolicy, cast: Cast, by_session: Caller, by_token: Caller) -> None:
    assert plan(by_session(cast.auditor), alias="smart-reasoner").json()["authority"]["alone"] is False
    assert plan(by_session(cast.stranger), alias="smart-reasoner").status_code == 403
    assert plan(by_token(cast.on_call, scopes=("rollback",)), alias="smart-reasoner").status_code == 403


def test_plan_takes_no_idempotency_key_in_the_description() -> None:
    operation = description()["paths"][f"{ROLLBACKS}plan/"]["post"]
    assert not [parameter for parameter in operation.get("parameters", []) if parameter["in"] == "header"]
    assert (operation[CAPABILITY], description()["paths"][ROLLBACKS]["post"][CAPABILITY]) == ("view", "roll_back")


# List, detail, samples.


def test_detail_of_a_verified_rollback(reasoner: RoutingPolicy, on_call: CheckedClient, cast: Cast, scripted: None) -> None:
    rollback = run(ask(reasoner, account=cast.on_call, detected_at=now() - dt.timedelta(minutes=5)))
    body = on_call.get(f"{ROLLBACKS}{rollback.pk}/").json()
    assert (body["state"], body["missed_target_by"]) == ("verified", None)
    assert body["rollback_seconds"] == round(rollback.rollback_seconds or 0, 3)
    assert all(body["clock"][name] for name in ("detected", "decided", "authorised", "started", "executed", "propagated", "drained", "restored", "verified"))
    assert body["clock"]["closed"] is None
    assert set(body["segments"]) == {"detect", "authorise", "execute", "propagate", "drain", "verify"}
    part = body["parts"][0]
    assert part["stands"] == f"restored and verified without {BAD}"
    assert part["execution"]["verdict"] == "passed"
    execution = on_call.get(part["execution"]["url"]).json()
    assert (execution["id"], execution["page"]) == (part["execution"]["id"], body["page"])
    assert [row["page"] for row in on_call.get("/api/v1/executions/").json()["results"]] == [body["page"]]


def test_detail_polled_with_its_etag_is_a_304_until_something_changes(reasoner: RoutingPolicy, on_call: CheckedClient, cast: Cast, scripted: None) -> None:
    rollback = ask(reasoner, account=cast.on_call)
    url = f"{ROLLBACKS}{rollback.pk}/"
    etag = on_call.get(url).headers["ETag"]
    same = on_call.get(url, HTTP_IF_NONE_MATCH=etag)
    assert (same.status_code, same.content, same.headers["ETag"]) == (304, b"", etag)
    run(rollback)
    changed = on_call.get(url, HTTP_IF_NONE_MATCH=etag)
    assert (changed.status_code, changed.json()["state"]) == (200, "verified")


def test_detail_takes_a_fixed_number_of_queries(
    reasoner: RoutingPolicy, on_call: CheckedClient, cast: Cast, scripted: None, django_assert_num_queries: Any
) -> None:
    rollback = ask(reasoner, account=cast.on_call)
    waiting = ask(seed_production("dataset", alias="answers-corpus"), account=cast.on_call)
    on_call.get("/api/v1/me/")
    with django_assert_num_queries(12):
        on_call.get(f"{ROLLBACKS}{rollback.pk}/")
    run(rollback)
    with django_assert_num_queries(13):
        on_call.get(f"{ROLLBACKS}{rollback.pk}/")
    with django_assert_num_queries(9):
        on_call.get(f"{ROLLBACKS}{waiting.pk}/")


def test_rollback_that_does_not_exist_is_a_404(on_call: CheckedClient) -> None:
    for path in ("", "samples/"):
        assert on_call.get(f"{ROLLBACKS}{uuid.uuid4()}/{path}").json()["code"] == "rollback_not_found"


def test_list_is_newest_first_in_cursor_pages_and_filtered(
    reasoner: RoutingPolicy, corpus: RoutingPolicy, on_call: CheckedClient, cast: Cast, scripted: None
) -> None:
    verified = run(ask(reasoner, account=cast.on_call))
    waiting = ask(corpus, account=cast.on_call)
    both = ask(seed_production("prompt", alias="writer"), seed_production("model", alias="judge"), account=cast.lead)
    for age, rollback in enumerate((both, waiting, verified)):
        Rollback.objects.filter(pk=rollback.pk).update(created_at=now() - dt.timedelta(days=age))

    def ids(**query: str) -> list[str]:
        return [row["id"] for row in on_call.get(ROLLBACKS, query).json()["results"]]

    assert ids() == [str(rollback.pk) for rollback in (both, waiting, verified)]
    first = on_call.get(ROLLBACKS, {"page_size": "1"}).json()
    row = first["results"][0]
    assert (row["aliases"], row["bad_versions"], row["scope"], row["required_role"]) == (["writer", "judge"], [BAD, BAD], "coordinated", "platform_lead")
    assert [row["id"] for row in on_call.get(first["next"]).json()["results"]] == [str(waiting.pk)]
    assert ids(state="verified") == ids(alias="smart-reasoner") == [str(verified.pk)]
    assert ids(alias="judge") == ids(change_type="prompt") == [str(both.pk)]
    assert ids(environment="production") == ids()
    assert ids(environment="staging") == []
    assert ids(created_before=(now() - dt.timedelta(hours=36)).isoformat()) == [str(verified.pk)]
    assert ids(created_after=(now() - dt.timedelta(hours=12)).isoformat()) == [str(both.pk)]
    Rollback.objects.filter(pk=verified.pk).update(state="closed")
    assert ids(open="true") == [str(both.pk), str(waiting.pk)]
    assert on_call.get(ROLLBACKS, {"state": "gone"}).status_code == 422


def test_list_takes_a_fixed_number_of_queries(on_call: CheckedClient, cast: Cast, django_assert_num_queries: Any) -> None:
    on_call.get("/api/v1/me/")
    for number in range(2):
        ask(seed_production("model", alias=f"one-{number}"), account=cast.on_call)
        ask(seed_production("prompt", alias=f"two-{number}"), seed_production("model", alias=f"three-{number}"), account=cast.lead)
        # The token, the roles, the page, its parts with their policies and versions.
        with django_assert_num_queries(6):
            on_call.get(ROLLBACKS)


def test_samples_of_all_aliases_oldest_first(
    reasoner: RoutingPolicy, corpus: RoutingPolicy, on_call: CheckedClient, cast: Cast, scripted: None, django_assert_num_queries: Any
) -> None:
    rollback = run(ask(reasoner, corpus, account=cast.lead))
    first, second = (part.execution for part in rollback.parts.order_by("position"))
    made = [SampleFactory(attempt=StepAttemptFactory(execution=execution, position=90, key="extra"), value={"total": 1}) for execution in (first, second)]
    SampleFactory()
    url = f"{ROLLBACKS}{rollback.pk}/samples/"
    rows = [row for row in on_call.get(url).json()["results"] if row["step"] == "extra"]
    assert [(row["id"], row["alias"], row["execution_id"]) for row in rows] == [
        (made[0].pk, "smart-reasoner", str(first.pk if first else "")),
        (made[1].pk, "answers-corpus", str(second.pk if second else "")),
    ]
    assert [row["alias"] for row in on_call.get(url, {"alias": "answers-corpus", "kind": "traffic"}).json()["results"] if row["step"] == "extra"] == [
        "answers-corpus"
    ]
    with django_assert_num_queries(5):
        on_call.get(url)
