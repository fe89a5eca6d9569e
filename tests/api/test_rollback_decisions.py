"""Decisions over the API: approve, reject, withdraw, break the glass, sign the review."""

from __future__ import annotations

import datetime as dt
import time
from typing import Any

import pytest

from rollbackhub.accounts.enums import Role
from rollbackhub.api.models import KeptAnswer
from rollbackhub.audit.models import AuditEvent
from rollbackhub.common.clock import now
from rollbackhub.rollbacks.models import Approval, Rollback
from rollbackhub.routing.models import RoutingPolicy
from tests.api.conftest import Caller
from tests.api.openapi import CheckedClient
from tests.factories.fixtures import Cast
from tests.rollbacks.conftest import again, ask, reroute, service_of, weight_of

WHY = "Customers get wrong refunds, nobody answers"
KEY = "3f0e8f1c-0b7c-4c58-9d2a-1f1f4f1f4f1f"


@pytest.fixture
def waiting(cast: Cast, corpus: RoutingPolicy) -> Rollback:
    """The on-call engineer has asked for what takes a lead."""
    return ask(corpus, account=cast.on_call)


def act(client: CheckedClient, rollback: Rollback, action: str, *, key: str | None = None, **body: Any) -> Any:
    headers: dict[str, Any] = {"HTTP_IDEMPOTENCY_KEY": key} if key else {}
    return client.post(f"/api/v1/rollbacks/{rollback.pk}/{action}/", body, format="json", **headers)


def approve(client: CheckedClient, rollback: Rollback, **body: Any) -> Any:
    return act(client, rollback, "approve", **({"plan_hash": rollback.plan_hash} | body))


def still_waits(rollback: Rollback) -> bool:
    return again(rollback).state == "awaiting_approval" and not Approval.objects.exists()


# Approve.


def test_approve_starts_it_and_is_on_the_record(waiting: Rollback, cast: Cast, by_password: Caller) -> None:
    response = approve(by_password(cast.lead), waiting, reason="go")
    assert response.status_code == 200
    body = response.json()
    assert (body["state"], body["authority"]["how"], body["authority"]["by"], body["approvers"]) == ("running", "approval", "lead", [])
    approval = body["approvals"][0]
    assert (approval["decision"], approval["by"], approval["role"], approval["via"], approval["reason"]) == ("approved", "lead", "platform_lead", "api", "go")
    assert approval["plan_hash"] == waiting.plan_hash
    assert AuditEvent.objects.filter(event="rollback.approved", actor_kind="person", actor_user_id=cast.lead.pk).count() == 1


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        ("on_call", 403, "own_request"),
        ("lead", 200, None),
        ("leadership", 200, None),
        ("admin", 200, None),
        ("auditor", 403, "forbidden"),
        ("stranger", 403, "forbidden"),
    ],
)
def test_approve_by_each_of_the_cast(name: str, status: int, code: str | None, waiting: Rollback, cast: Cast, by_password: Caller) -> None:
    response = approve(by_password(getattr(cast, name)), waiting)
    assert (response.status_code, response.json().get("code")) == (status, code)
    assert still_waits(waiting) == (status != 200)


def test_approve_needs_the_authority(cast: Cast, corpus: RoutingPolicy, by_password: Caller) -> None:
    rollback = ask(corpus, account=cast.on_call, strategic=True)
    response = approve(by_password(cast.lead), rollback)
    assert (response.status_code, response.json()["code"]) == (403, "not_an_approver")
    assert still_waits(rollback)


@pytest.mark.parametrize("action", ["approve", "reject"])
@pytest.mark.parametrize("service", [False, True])
def test_decide_is_never_a_tokens(action: str, service: bool, waiting: Rollback, cast: Cast, by_token: Caller) -> None:
    account = service_of(cast.lead, Role.PLATFORM_LEAD) if service else cast.lead
    response = act(by_token(account), waiting, action, plan_hash=waiting.plan_hash, reason="because")
    assert (response.status_code, response.json()["code"]) == (403, "token_not_allowed")
    assert still_waits(waiting)


def test_approve_by_a_service_account_in_a_session_is_refused(waiting: Rollback, cast: Cast, by_password: Caller) -> None:
    response = approve(by_password(service_of(cast.lead, Role.PLATFORM_LEAD)), waiting)
    assert (response.status_code, response.json()["code"]) == (403, "token_not_allowed")
    assert still_waits(waiting)


@pytest.mark.parametrize("action", ["approve", "reject"])
def test_decide_without_a_fresh_password_says_where_to_enter_it(action: str, waiting: Rollback, cast: Cast, by_session: Caller) -> None:
    response = act(by_session(cast.lead), waiting, action, plan_hash=waiting.plan_hash, reason="because")
    assert (response.status_code, response.json()["code"], response.json()["url"]) == (403, "reauthentication_required", "/accounts/reauthenticate/")
    assert still_waits(waiting)


def test_approve_long_after_the_password_is_refused(waiting: Rollback, cast: Cast, by_password: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    before = time.time() - 301
    monkeypatch.setattr("allauth.account.internal.flows.login.time.time", lambda: before)
    client = by_password(cast.lead)
    monkeypatch.undo()
    assert approve(client, waiting).json()["code"] == "reauthentication_required"
    assert still_waits(waiting)


def test_approve_needs_the_csrf_token(waiting: Rollback, cast: Cast, by_session: Caller) -> None:
    assert approve(by_session(cast.lead, csrf=True), waiting).status_code == 403
    assert still_waits(waiting)


def test_approve_what_was_not_looked_at_is_refused(waiting: Rollback, cast: Cast, by_password: Caller) -> None:
    client = by_password(cast.lead)
    assert list(act(client, waiting, "approve").json()["fields"]) == ["plan_hash"]
    response = approve(client, waiting, plan_hash="0" * 64)
    assert (response.status_code, response.json()["code"], response.json()["url"]) == (409, "plan_changed", f"/rollbacks/{waiting.pk}/")
    assert still_waits(waiting)


@pytest.mark.parametrize("key", [None, KEY])
def test_approve_of_a_plan_that_has_changed_is_refused_and_the_new_plan_can_be_approved(
    key: str | None, waiting: Rollback, corpus: RoutingPolicy, cast: Cast, by_password: Caller
) -> None:
    client = by_password(cast.lead)
    reroute(corpus, bad=40)
    assert approve(client, waiting, key=key).json()["code"] == "plan_changed"
    renewed = client.get(f"/api/v1/rollbacks/{waiting.pk}/").json()
    assert renewed["plan_hash"] != waiting.plan_hash
    assert renewed["parts"][0]["weights"]["before"][0]["weight"] == 40
    assert approve(client, waiting, key=key, plan_hash=renewed["plan_hash"]).json()["state"] == "running"


@pytest.mark.parametrize("key", [None, KEY])
def test_approve_after_expiry_is_refused_and_leaves_it_expired(key: str | None, waiting: Rollback, cast: Cast, by_password: Caller) -> None:
    Rollback.objects.filter(pk=waiting.pk).update(expires_at=now() - dt.timedelta(seconds=1))
    response = approve(by_password(cast.lead), waiting, key=key)
    assert (response.status_code, response.json()["code"]) == (409, "expired")
    assert again(waiting).state == "expired"
    assert not KeptAnswer.objects.exists()


def test_approve_after_another_is_told_who_was_faster(waiting: Rollback, cast: Cast, by_password: Caller) -> None:
    approve(by_password(cast.lead), waiting)
    response = approve(by_password(cast.leadership), waiting)
    assert (response.status_code, response.json()["code"]) == (409, "already_decided")
    assert "Lee Lead was faster" in response.json()["detail"]


def test_approve_with_the_same_key_answers_as_the_first(waiting: Rollback, cast: Cast, by_password: Caller) -> None:
    client = by_password(cast.lead)
    first, second = (approve(client, waiting, key=KEY) for _ in range(2))
    assert (first.status_code, second.status_code, second.headers["Idempotent-Replayed"]) == (200, 200, "true")
    assert first.json() == second.json()
    assert Approval.objects.count() == 1


# Reject, withdraw.


def test_reject_ends_it_and_the_same_plan_is_not_asked_for_again(waiting: Rollback, corpus: RoutingPolicy, cast: Cast, by_password: Caller) -> None:
    body = act(by_password(cast.lead), waiting, "reject", plan_hash=waiting.plan_hash, reason="not the cause").json()
    assert (body["state"], body["approvals"][0]["decision"]) == ("rejected", "rejected")
    assert "not the cause" in body["outcome"]
    assert weight_of(corpus) == 25
    again_asked = by_password(cast.on_call).post("/api/v1/rollbacks/", {"alias": "answers-corpus", "reason": "please"}, format="json")
    assert (again_asked.status_code, again_asked.json()["code"]) == (409, "rejected_plan")
    assert again_asked.json()["api_url"] == f"/api/v1/rollbacks/{waiting.pk}/"


@pytest.mark.parametrize("reason", ["", "no"])
def test_reject_needs_a_reason(reason: str, waiting: Rollback, cast: Cast, by_password: Caller) -> None:
    response = act(by_password(cast.lead), waiting, "reject", plan_hash=waiting.plan_hash, reason=reason)
    assert (response.status_code, list(response.json()["fields"])) == (422, ["reason"])
    assert still_waits(waiting)


def test_withdraw_by_the_requesters_token(waiting: Rollback, on_call: CheckedClient) -> None:
    body = act(on_call, waiting, "withdraw", reason="found another cause").json()
    assert (body["state"], body["approvers"], body["clock"]["closed"] is not None) == ("withdrawn", [], True)


def test_withdraw_by_somebody_else_takes_a_lead(waiting: Rollback, cast: Cast, by_session: Caller) -> None:
    response = act(by_session(cast.admin), waiting, "withdraw", reason="found another cause")
    assert (response.status_code, response.json()["code"]) == (403, "not_the_requester")
    assert act(by_session(cast.lead), waiting, "withdraw", reason="found another cause").json()["state"] == "withdrawn"
    late = act(by_session(cast.lead), waiting, "withdraw", reason="found another cause")
    assert (late.status_code, late.json()["code"], late.json()["api_url"]) == (409, "wrong_state", f"/api/v1/rollbacks/{waiting.pk}/")


# Break the glass, sign the review.


def test_break_glass_starts_it_and_the_review_is_open_until_a_lead_signs(waiting: Rollback, cast: Cast, by_session: Caller) -> None:
    body = act(by_session(cast.on_call), waiting, "break-glass", reason=WHY, plan_hash=waiting.plan_hash).json()
    assert (body["state"], body["authority"]["how"], body["review_is_open"]) == ("running", "break_glass", True)
    refused = act(by_session(cast.on_call), waiting, "sign-review", note="fine by me")
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    signed = act(by_session(cast.lead), waiting, "sign-review", note="It was right").json()
    assert (signed["review_is_open"], signed["authority"]["review_signed_by"]) == (False, "lead")
    twice = act(by_session(cast.leadership), waiting, "sign-review", note="It was right")
    assert (twice.status_code, twice.json()["code"]) == (409, "already_signed")


def test_break_glass_needs_a_real_reason_and_the_present_plan(waiting: Rollback, cast: Cast, by_session: Caller) -> None:
    client = by_session(cast.on_call)
    short = act(client, waiting, "break-glass", reason="urgent", plan_hash=waiting.plan_hash)
    assert (short.status_code, list(short.json()["fields"])) == (422, ["break_glass_reason"])
    assert act(client, waiting, "break-glass", reason=WHY, plan_hash="0" * 64).json()["code"] == "plan_changed"
    assert still_waits(waiting)


@pytest.mark.parametrize(("action", "person"), [("break-glass", "on_call"), ("sign-review", "lead")])
def test_break_glass_and_its_review_are_never_a_tokens(action: str, person: str, waiting: Rollback, cast: Cast, by_token: Caller) -> None:
    response = act(by_token(getattr(cast, person)), waiting, action, reason=WHY, plan_hash=waiting.plan_hash)
    assert (response.status_code, response.json()["code"]) == (403, "token_not_allowed")
    assert still_waits(waiting)


@pytest.mark.parametrize("name", ["admin", "auditor", "stranger"])
def test_break_glass_is_for_who_is_on_call(name: str, waiting: Rollback, cast: Cast, by_session: Caller) -> None:
    response = act(by_session(getattr(cast, name)), waiting, "break-glass", reason=WHY, plan_hash=waiting.plan_hash)
    assert response.status_code == 403
    assert still_waits(waiting)


def test_sign_review_of_an_ordinary_rollback_is_a_409(reasoner: RoutingPolicy, cast: Cast, by_session: Caller) -> None:
    response = act(by_session(cast.lead), ask(reasoner, account=cast.on_call), "sign-review", note="fine")
    assert (response.status_code, response.json()["code"]) == (409, "no_review")
