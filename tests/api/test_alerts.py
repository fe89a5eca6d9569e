"""Alerts, proposals, hooks, rules and the kill switch over HTTP."""

from __future__ import annotations

import pytest

from rollbackhub.accounts.enums import Role
from rollbackhub.alerts.domain.processing import process
from rollbackhub.alerts.models import AlertHook, AlertRule, Automation, Proposal
from rollbackhub.api.models import KeptAnswer
from rollbackhub.rollbacks.models import Rollback
from tests.alerts.conftest import SECRET
from tests.alerts.conftest import hook as hook
from tests.alerts.conftest import proven as proven
from tests.alerts.posts import am_body, post
from tests.api.conftest import Caller
from tests.executions.proofs import Proven, spec
from tests.factories.accounts import TeamFactory
from tests.factories.alerts import AlertRuleFactory
from tests.factories.fixtures import Cast
from tests.factories.routing import BAD, GOOD
from tests.rollbacks.conftest import service_of


@pytest.fixture
def proposal(hook: AlertHook) -> Proposal:
    """What an alert about smart-reasoner has proposed."""
    AlertRuleFactory(name="by label")
    post(hook, am_body(), key=SECRET)
    process()
    return Proposal.objects.get()


def test_alerts_are_listed_filtered_and_retrieved(proposal: Proposal, cast: Cast, by_token: Caller) -> None:
    client = by_token(cast.auditor, scopes=("read",))
    (row,) = client.get("/api/v1/alerts/", {"state": "firing", "alias": "smart-reasoner", "environment": "production"}).json()["results"]
    assert (row["name"], row["became"], row["rule"], row["proposal_id"]) == ("ReasonerFeedbackBad", "opened", "by label", str(proposal.pk))
    assert client.get(row["url"]).json() == row
    assert client.get("/api/v1/alerts/", {"state": "resolved"}).json()["results"] == []


def test_proposal_is_confirmed_by_token_with_the_plan_that_was_seen(proposal: Proposal, proven: Proven, cast: Cast, by_token: Caller) -> None:
    client = by_token(cast.on_call, scopes=("read", "rollback"))
    (row,) = client.get("/api/v1/alert-proposals/", {"state": "open"}).json()["results"]
    assert (row["bad_version"], row["good_versions"], row["alias"]) == (BAD, [GOOD], "smart-reasoner")
    refused = client.post(f"{row['url']}confirm/", {"plan_hash": "0" * 64}, format="json")
    assert (refused.status_code, refused.json()["code"]) == (409, "plan_changed")
    headers = {"Idempotency-Key": "confirm-1"}
    answer = client.post(f"{row['url']}confirm/", {"plan_hash": row["plan_hash"]}, format="json", headers=headers)
    assert (answer.status_code, answer.json()["state"], answer.json()["rollback_id"]) == (200, "confirmed", str(Rollback.objects.get().pk))
    again = client.post(f"{row['url']}confirm/", {"plan_hash": row["plan_hash"]}, format="json", headers=headers)
    assert (again.json(), again.headers["Idempotent-Replayed"]) == (answer.json(), "true")
    ended = client.post(f"{row['url']}confirm/", {"plan_hash": row["plan_hash"]}, format="json")
    assert (ended.status_code, ended.json()["code"]) == (409, "proposal_ended")
    proven.revise([spec(BAD, 10), spec(GOOD, 90)])


def test_proposal_is_dismissed_in_a_session_only(proposal: Proposal, cast: Cast, by_token: Caller, by_session: Caller) -> None:
    address = f"/api/v1/alert-proposals/{proposal.pk}/dismiss/"
    refused = by_token(cast.on_call, scopes=("read", "rollback")).post(address, {"reason": "A false alarm."}, format="json")
    assert (refused.status_code, refused.json()["code"]) == (403, "token_not_allowed")
    answer = by_session(cast.on_call).post(address, {"reason": "A false alarm."}, format="json")
    assert (answer.json()["state"], answer.json()["ended_because"]) == ("dismissed", "A false alarm.")


def test_hook_is_made_with_its_secret_answered_once(proven: Proven, cast: Cast, by_token: Caller) -> None:
    TeamFactory(slug="ops")
    client = by_token(cast.lead, scopes=("read", "configure"))
    body = {"kind": "alertmanager", "name": "Alertmanager", "environment": "production", "team": "ops"}
    headers = {"Idempotency-Key": "hook-1"}
    answer = client.post("/api/v1/alert-hooks/", body, format="json", headers=headers)
    assert answer.status_code == 201
    secret = answer.json()["address"].rpartition("/")[2]
    made = AlertHook.objects.get()
    assert post(made, am_body(), key=secret) == 1
    again = client.post("/api/v1/alert-hooks/", body, format="json", headers=headers)
    assert again.json()["address"] is None
    assert not KeptAnswer.objects.filter(body__contains=secret).exists()
    process()
    (row,) = client.get("/api/v1/alert-hooks/").json()["results"]
    assert row["counts"] == {"taken": 1}
    assert client.post(f"{row['url']}end/", {}, format="json").json()["is_active"] is False
    assert client.post(f"{row['url']}end/", {}, format="json").json()["code"] == "hook_ended"
    wrong = client.post("/api/v1/alert-hooks/", body | {"kind": "standard"}, format="json")
    assert (wrong.status_code, list(wrong.json()["fields"])) == (422, ["signing_ref"])


def test_rule_is_written_changed_and_deleted(proven: Proven, cast: Cast, by_token: Caller) -> None:
    client = by_token(cast.lead, scopes=("read", "configure"))
    body = {"name": "Feedback", "matchers": [{"label": "severity", "op": "=~", "value": "critical|page"}], "alias": "smart-reasoner", "action": "roll_back"}
    made = client.post("/api/v1/alert-rules/", body, format="json")
    assert (made.status_code, made.json()["matchers"]) == (201, body["matchers"])
    changed = client.post(made.json()["url"], body | {"action": "page_only"}, format="json")
    assert changed.json()["action"] == "page_only"
    bad = [{"label": "severity", "op": "=~", "value": "(a+)+"}]
    refused = client.post(made.json()["url"], body | {"matchers": bad}, format="json")
    assert (refused.status_code, list(refused.json()["fields"])) == (422, ["matchers"])
    assert client.delete(made.json()["url"]).status_code == 204
    assert not AlertRule.objects.exists()


def test_kill_switch_is_pulled_by_token_and_released_by_a_lead_in_person(proven: Proven, cast: Cast, by_token: Caller, by_session: Caller) -> None:
    on_call = by_token(cast.on_call, scopes=("read", "rollback"))
    answer = on_call.post("/api/v1/automation/stop/", {}, format="json")
    assert Automation.objects.get().reason == "No reason was given."
    assert (answer.status_code, answer.json()["is_stopped"]) == (200, True)
    assert on_call.post("/api/v1/automation/stop/", {"reason": "It flaps."}, format="json").json()["code"] == "automation_stopped"
    lead = by_session(cast.lead)
    assert lead.post("/api/v1/automation/release/", {"reason": "It was mended."}, format="json").json()["is_stopped"] is False
    assert Automation.objects.get().is_stopped is False


def test_automation_is_turned_on_for_an_alias_and_off_again(proven: Proven, cast: Cast, by_token: Caller, by_session: Caller) -> None:
    bot = service_of(cast.on_call, Role.ON_CALL)
    address = "/api/v1/automation/production/smart-reasoner/"
    body = {"account": bot.username, "reason": "Nobody is awake."}
    row = by_session(cast.lead).post(address, body, format="json").json()
    assert (row["is_on"], row["account"], row["per_day"]) == (True, bot.username, 1)
    refused = by_session(cast.lead).post(address, body | {"account": "oncall"}, format="json")
    assert refused.status_code == 404
    off = by_token(cast.on_call, scopes=("rollback",)).post(f"{address}off/", {"reason": "Enough."}, format="json")
    assert off.json()["is_on"] is False
    assert by_session(cast.auditor).get("/api/v1/automation/").json()["aliases"][0]["is_on"] is False
