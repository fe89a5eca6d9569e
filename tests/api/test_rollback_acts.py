"""Acts over the API on a rollback that runs or has stopped."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from rollbackhub.accounts.enums import Role
from rollbackhub.audit.models import AuditEvent
from rollbackhub.common.clock import now
from rollbackhub.common.verdict import Verdict
from rollbackhub.rollbacks.models import Rollback
from rollbackhub.routing.models import RoutingPolicy
from tests.api.conftest import Caller
from tests.api.openapi import CheckedClient
from tests.factories.fixtures import Cast
from tests.rollbacks.conftest import again, ask, ends, run, script, service_of, weight_of

pytestmark = pytest.mark.usefixtures("scripted")

ACTIONS: dict[str, dict[str, str]] = {
    "retry": {},
    "skip": {"reason": "known"},
    "undo": {"reason": "known"},
    "stop": {"reason": "known"},
    "close": {"reason": "known"},
    "correct-detection": {"reason": "known", "detected_at": "2026-01-01T00:00:00Z"},
    "roll-back-instead": {},
}
LEADS_ONLY = ("skip", "correct-detection")


def act(client: CheckedClient, rollback: Rollback, action: str, **body: Any) -> Any:
    return client.post(f"/api/v1/rollbacks/{rollback.pk}/{action}/", body, format="json")


@pytest.fixture
def stopped(cast: Cast, reasoner: RoutingPolicy) -> Rollback:
    """It stopped before anything was changed."""
    script("preflight", ends(Verdict.FAILED))
    rollback = run(ask(reasoner, account=cast.on_call))
    script("preflight", None)
    assert rollback.state == "needs_human"
    return rollback


@pytest.fixture
def undrained(cast: Cast, reasoner: RoutingPolicy) -> Rollback:
    """It is written, but the bad version still gets traffic."""
    script("drain", ends(Verdict.FAILED))
    rollback = run(ask(reasoner, account=cast.on_call))
    script("drain", None)
    assert rollback.state == "partially_restored"
    return rollback


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("name", ["auditor", "stranger"])
def test_act_needs_a_role_that_may_roll_back(name: str, action: str, stopped: Rollback, cast: Cast, by_session: Caller) -> None:
    response = act(by_session(getattr(cast, name)), stopped, action, **ACTIONS[action])
    assert (response.status_code, response.json()["code"]) == (403, "forbidden")
    assert again(stopped).number == stopped.number


@pytest.mark.parametrize("action", ACTIONS)
def test_act_by_a_token_without_the_scope_is_refused(action: str, stopped: Rollback, cast: Cast, by_token: Caller) -> None:
    response = act(by_token(cast.lead, scopes=("read", "drill", "route")), stopped, action, **ACTIONS[action])
    assert response.status_code == 403
    assert again(stopped).number == stopped.number


@pytest.mark.parametrize("action", [*LEADS_ONLY, "close"])
def test_act_of_a_person_is_never_a_tokens(action: str, stopped: Rollback, cast: Cast, by_token: Caller) -> None:
    for account in (cast.lead, service_of(cast.lead, Role.PLATFORM_LEAD)):
        response = act(by_token(account), stopped, action, **ACTIONS[action])
        assert (response.status_code, response.json()["code"]) == (403, "token_not_allowed")
    assert again(stopped).number == stopped.number


@pytest.mark.parametrize("action", LEADS_ONLY)
@pytest.mark.parametrize("name", ["on_call", "admin"])
def test_act_of_a_lead_is_refused_to_others(name: str, action: str, stopped: Rollback, cast: Cast, by_session: Caller) -> None:
    response = act(by_session(getattr(cast, name)), stopped, action, **ACTIONS[action])
    assert (response.status_code, response.json()["code"]) == (403, "forbidden")
    assert again(stopped).number == stopped.number


@pytest.mark.parametrize("action", ["retry", "skip", "undo", "stop", "roll-back-instead"])
def test_act_that_the_state_does_not_allow_is_a_409(action: str, reasoner: RoutingPolicy, cast: Cast, by_session: Caller) -> None:
    verified = run(ask(reasoner, account=cast.on_call))
    response = act(by_session(cast.lead), verified, action, **ACTIONS[action])
    assert (response.status_code, response.json()["code"]) == (409, "wrong_state")
    assert again(verified).number == verified.number


@pytest.mark.parametrize("action", ["skip", "undo", "stop", "close", "correct-detection"])
def test_act_needs_its_reason(action: str, stopped: Rollback, cast: Cast, by_session: Caller) -> None:
    for reason in ({}, {"reason": ""}, {"reason": "x"}):
        response = act(by_session(cast.lead), stopped, action, **{key: value for key, value in ACTIONS[action].items() if key != "reason"} | reason)
        assert (response.status_code, list(response.json()["fields"])) == (422, ["reason"])
    assert again(stopped).number == stopped.number


def test_retry_goes_on_by_token_and_ends_verified(stopped: Rollback, on_call: CheckedClient, reasoner: RoutingPolicy) -> None:
    body = act(on_call, stopped, "retry").json()
    assert body["state"] == "running"
    assert run(stopped).state == "verified"
    assert weight_of(reasoner) == 0
    attempts = [step["attempt"] for step in on_call.get(body["url"]).json()["parts"][0]["execution"]["steps"] if step["key"] == "preflight"]
    assert attempts == [1, 2]


def test_skip_goes_on_without_the_step_and_says_so(undrained: Rollback, cast: Cast, by_session: Caller) -> None:
    assert act(by_session(cast.lead), undrained, "skip", reason="the counter is broken").json()["state"] == "running"
    ended = run(undrained)
    assert ended.restored_at is None
    assert "skipped" in by_session(cast.lead).get(f"/api/v1/rollbacks/{undrained.pk}/").json()["outcome"]


def test_undo_puts_the_weights_back(undrained: Rollback, on_call: CheckedClient, reasoner: RoutingPolicy) -> None:
    assert weight_of(reasoner) == 0
    assert act(on_call, undrained, "undo", reason="it was not the cause").json()["state"] == "undoing"
    assert run(undrained).state == "undone"
    assert weight_of(reasoner) == 25


def test_stop_of_one_that_has_not_begun_changes_nothing(reasoner: RoutingPolicy, on_call: CheckedClient, cast: Cast) -> None:
    rollback = ask(reasoner, account=cast.on_call)
    body = act(on_call, rollback, "stop", reason="wrong alias").json()
    assert body["state"] == "cancelled"
    assert "wrong alias" in body["outcome"]
    assert weight_of(reasoner) == 25


def test_close_of_a_verified_one_by_token(reasoner: RoutingPolicy, on_call: CheckedClient, cast: Cast) -> None:
    verified = run(ask(reasoner, account=cast.on_call))
    body = act(on_call, verified, "close", reason="all is well").json()
    assert (body["state"], body["clock"]["closed"] is not None) == ("closed", True)


def test_close_gives_up_in_a_session(stopped: Rollback, cast: Cast, by_session: Caller, reasoner: RoutingPolicy) -> None:
    body = act(by_session(cast.on_call), stopped, "close", reason="done by hand").json()
    assert (body["state"], body["rollback_seconds"]) == ("closed", None)
    assert "done by hand" in body["outcome"]
    assert ask(reasoner, account=cast.on_call).state == "running"


def test_correct_detection_is_audited_with_old_and_new(reasoner: RoutingPolicy, cast: Cast, by_session: Caller) -> None:
    rollback = run(ask(reasoner, account=cast.on_call))
    earlier = (rollback.decided_at - dt.timedelta(minutes=10)).isoformat()
    body = act(by_session(cast.lead), rollback, "correct-detection", detected_at=earlier, reason="first complaint").json()
    assert body["segments"]["detect"] == 600
    assert dt.datetime.fromisoformat(body["clock"]["detected"]) == dt.datetime.fromisoformat(earlier)
    data = AuditEvent.objects.get(event="rollback.detection_corrected").data
    assert (data["before"], dt.datetime.fromisoformat(data["after"]), data["reason"]) == (None, dt.datetime.fromisoformat(earlier), "first complaint")
    late = act(by_session(cast.lead), rollback, "correct-detection", detected_at=now().isoformat(), reason="first complaint")
    assert (late.status_code, list(late.json()["fields"])) == (422, ["detected_at"])
