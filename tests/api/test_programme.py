"""Drill plans, planned drills, quiet periods and calendar feeds over the API."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from drills.domain.planning import plan_ahead
from drills.domain.programme import mark_late, start_due
from drills.models import CalendarFeed, Drill, DrillPlan, PlannedDrill, QuietPeriod
from rollbackhub.common import clock
from rollbackhub.routing.models import RoutingPolicy
from tests.api.conftest import Caller
from tests.api.openapi import CheckedClient
from tests.factories.accounts import TeamFactory
from tests.factories.drills import CalendarFeedFactory, PlannedDrillFactory, QuietPeriodFactory
from tests.factories.executions import ExecutionFactory
from tests.factories.fixtures import Cast
from tests.routing.conftest import seed_policy

PLANS, PLANNED, QUIET, FEEDS = "/api/v1/drill-plans/", "/api/v1/planned-drills/", "/api/v1/quiet-periods/", "/api/v1/calendar-feeds/"
WANTED = {"name": "Reasoner", "owner": "oncall", "alias": "smart-reasoner", "cadence": "monthly"}
KEY = {"Idempotency-Key": "3f0e8f1c"}


@pytest.fixture
def policy(db: None) -> RoutingPolicy:
    return seed_policy()


@pytest.fixture(autouse=True)
def at(monkeypatch: pytest.MonkeyPatch) -> list[dt.datetime]:
    """The clock: Tuesday, 1 December 2026, 7:00 UTC; the test may set its one entry."""
    found = [dt.datetime(2026, 12, 1, 7, tzinfo=dt.UTC)]
    monkeypatch.setattr(clock, "now", lambda: found[0])
    return found


@pytest.fixture
def lead(by_session: Caller, cast: Cast) -> CheckedClient:
    return by_session(cast.lead)


def test_plan_is_made_once_and_says_what_comes_next(lead: CheckedClient, policy: RoutingPolicy) -> None:
    response = lead.post(PLANS, WANTED, format="json", headers=KEY)
    assert response.status_code == 201, response.content
    body = response.json()
    assert response["Location"] == body["url"]
    assert (body["alias"], body["artefact"], body["team"], body["owner"], body["target_in_words"]) == (
        "smart-reasoner",
        None,
        "platform",
        "oncall",
        "smart-reasoner",
    )
    assert (body["next"]["starts_at"], body["next"]["state"], body["last"]) == ("2026-12-01T10:00:00Z", "due", None)
    again = lead.post(PLANS, WANTED, format="json", headers=KEY)
    assert (again.status_code, again.json(), again["Idempotent-Replayed"]) == (201, body, "true")
    assert DrillPlan.objects.count() == 1
    assert str(DrillPlan.objects.get().seed) not in response.content.decode()
    assert lead.get(PLANS, {"team": "platform", "active": "true", "owner": "oncall"}).json()["results"] == [body]
    assert lead.get(PLANS, {"active": "false"}).json()["results"] == []
    one = lead.get(body["url"])
    assert one.json() == body
    assert lead.get(body["url"], HTTP_IF_NONE_MATCH=one["ETag"]).status_code == 304


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"owner": "nobody"}, "owner"),
        ({"owner": "auditor"}, "owner"),
        ({"alias": "no-such"}, "alias"),
        ({"environment": "moon"}, "alias"),
        ({"cadence": "cron", "cron": "*/5 * * * *"}, "cron"),
        ({"cadence": "weekly"}, "cadence"),
        ({"late_hours": 0}, "late_hours"),
        ({"artefact": "smart-reasoner-model"}, "target"),
        ({"team": "nobody"}, "team"),
        ({"seed": 7}, "seed"),
    ],
)
def test_plan_that_cannot_be_is_422_with_the_field(lead: CheckedClient, policy: RoutingPolicy, change: dict[str, Any], field: str) -> None:
    response = lead.post(PLANS, {**WANTED, **change}, format="json")
    assert response.status_code == 422, response.content
    assert list(response.json()["fields"]) == [field]
    assert not DrillPlan.objects.exists()


def test_plan_of_an_artefact_is_changed_ended_and_taken_up(lead: CheckedClient, policy: RoutingPolicy) -> None:
    wanted = {"name": "By chance", "owner": "oncall", "artefact": "smart-reasoner-model", "announced": False}
    url = lead.post(PLANS, wanted, format="json").json()["url"]
    body = lead.post(url, {"cadence": "cron", "cron": "0 10 * * 2", "announced": True}, format="json").json()
    assert (body["cron"], body["next"]["starts_at"], body["next"]["alias"]) == ("0 10 * * 2", "2026-12-01T10:00:00Z", None)
    ended = lead.post(f"{url}end/", {"reason": "no more"}, format="json")
    assert (ended.status_code, ended.json()["active"], ended.json()["next"]) == (200, False, None)
    assert lead.post(f"{url}end/", {}, format="json").json()["code"] == "plan_ended"
    assert lead.post(url, {"active": True}, format="json").json()["active"]
    assert lead.post(url, {"alias": "smart-reasoner"}, format="json").json()["alias"] == "smart-reasoner"


def test_unannounced_drill_has_no_time_in_any_answer(lead: CheckedClient, policy: RoutingPolicy, by_token: Caller, cast: Cast) -> None:
    url = lead.post(PLANS, {**WANTED, "announced": False}, format="json").json()["url"]
    times = [f"{planned.starts_at:%H:%M:%S}" for planned in PlannedDrill.objects.all()]
    pages = [PLANS, url, PLANNED, *(f"{PLANNED}{planned.pk}/" for planned in PlannedDrill.objects.all()), f"{PLANNED}?page_size=1"]
    for client in (lead, by_token(cast.auditor), by_token(cast.admin)):
        for page in pages:
            text = client.get(page).content.decode()
            assert not any(time in text for time in times), page
    row = lead.get(PLANNED).json()["results"][0]
    assert (row["starts_at"], row["latest_at"], row["period_in_words"], row["announced"]) == (None, None, "December 2026", False)
    refused = lead.post(f"{PLANNED}{row['id']}/start/", {}, format="json")
    assert (refused.status_code, refused.json()["code"]) == (409, "unannounced")


def test_unannounced_drill_that_has_begun_shows_its_draw(lead: CheckedClient, policy: RoutingPolicy, at: list[dt.datetime]) -> None:
    lead.post(PLANS, {**WANTED, "announced": False}, format="json")
    planned = PlannedDrill.objects.order_by("slot")[0]
    assert lead.get(f"{PLANNED}{planned.pk}/").json()["draw"] is None
    at[0] = planned.starts_at
    assert start_due() == 1
    body = lead.get(f"{PLANNED}{planned.pk}/").json()
    assert body["draw"]["agrees"] is True
    assert body["draw"]["drawn_time"] == body["starts_at"]


def test_planned_drills_are_listed_in_pages_and_filtered(lead: CheckedClient, policy: RoutingPolicy) -> None:
    lead.post(PLANS, WANTED, format="json")
    lead.post(PLANS, {**WANTED, "name": "Hidden", "announced": False}, format="json")
    plan = DrillPlan.objects.get(name="Reasoner")
    PlannedDrillFactory(plan=plan, failed=True, starts_at=dt.datetime(2026, 7, 1, 10, tzinfo=dt.UTC))
    seen, url = [], f"{PLANNED}?page_size=2"
    while url:
        page = lead.get(url).json()
        seen += [row["id"] for row in page["results"]]
        url = page["next"]
    assert len(seen) == len(set(seen)) == PlannedDrill.objects.count() == 9
    assert [row["state"] for row in lead.get(PLANNED, {"state": "failed", "plan": str(plan.pk), "team": "platform"}).json()["results"]] == ["failed"]
    june = lead.get(PLANNED, {"until": "2026-07-31T00:00:00Z", "alias": "smart-reasoner", "environment": "staging"}).json()["results"]
    assert [row["why"] for row in june] == ["The gateway served something else."]
    assert june[0]["drill_url"].startswith("/api/v1/drills/")
    assert len(lead.get(PLANNED, {"since": "2026-12-31T00:00:00Z", "until": "2027-01-31T00:00:00Z"}).json()["results"]) == 3


def test_list_of_planned_drills_takes_few_queries(lead: CheckedClient, policy: RoutingPolicy, django_assert_max_num_queries: Any) -> None:
    for number in range(4):
        lead.post(PLANS, {**WANTED, "name": f"plan {number}"}, format="json")
    with django_assert_max_num_queries(4):
        lead.get(PLANNED)
    with django_assert_max_num_queries(7):
        lead.get(PLANS)


def test_planned_drill_is_started_by_who_may_drill(on_call: CheckedClient, lead: CheckedClient, policy: RoutingPolicy) -> None:
    lead.post(PLANS, WANTED, format="json")
    first, second, *_ = PlannedDrill.objects.order_by("slot")
    response = on_call.post(f"{PLANNED}{first.pk}/start/", {}, format="json", headers=KEY)
    assert (response.status_code, response.json()["state"]) == (200, "running")
    assert on_call.post(f"{PLANNED}{first.pk}/start/", {}, format="json", headers=KEY)["Idempotent-Replayed"] == "true"
    assert Drill.objects.count() == 1
    busy = on_call.post(f"{PLANNED}{second.pk}/start/", {}, format="json")
    assert (busy.status_code, busy.json()["code"], busy.json()["execution_id"]) == (409, "already_running", str(Drill.objects.get().pk))
    assert on_call.post(f"{PLANNED}{first.pk}/start/", {}, format="json").json()["code"] == "wrong_state"


def test_planned_drill_is_excused_by_a_lead_in_person(lead: CheckedClient, policy: RoutingPolicy, by_token: Caller, cast: Cast) -> None:
    lead.post(PLANS, WANTED, format="json")
    planned = PlannedDrill.objects.order_by("slot")[0]
    url = f"{PLANNED}{planned.pk}/excuse/"
    assert by_token(cast.lead).post(url, {"reason": "x"}, format="json").json()["code"] == "token_not_allowed"
    assert lead.post(url, {}, format="json").status_code == 422
    body = lead.post(url, {"reason": "The team moves house."}, format="json").json()
    assert (body["state"], body["why"], body["excused_by"]) == ("excused", "The team moves house.", "lead")


def test_missed_drill_says_why(lead: CheckedClient, policy: RoutingPolicy, at: list[dt.datetime]) -> None:
    lead.post(PLANS, WANTED, format="json")
    at[0] = dt.datetime(2026, 12, 9, tzinfo=dt.UTC)
    mark_late()
    body = lead.get(PLANS).json()["results"][0]
    assert (body["missed"], body["last"]["state"], body["last"]["why"][:22]) == (1, "missed", "RollbackHub did not ru")


def test_quiet_period_is_made_listed_and_taken_back(lead: CheckedClient, policy: RoutingPolicy) -> None:
    lead.post(PLANS, WANTED, format="json")
    wanted = {"starts_at": "2026-12-01T09:00:00Z", "ends_at": "2026-12-03T00:00:00Z", "reason": "Freeze", "team": "platform"}
    response = lead.post(QUIET, wanted, format="json")
    assert response.status_code == 201, response.content
    assert plan_ahead() == 1
    assert lead.get(PLANNED).json()["results"][0]["starts_at"] == "2026-12-03T10:00:00Z"
    QuietPeriodFactory(team=TeamFactory(slug="other"), starts_at=clock.now())
    assert [row["reason"] for row in lead.get(QUIET, {"team": "platform", "since": "2026-12-01T00:00:00Z"}).json()["results"]] == ["Freeze"]
    assert lead.get(QUIET, {"until": "2026-01-01T00:00:00Z"}).json()["results"] == []
    assert lead.delete(response.json()["url"]).status_code == 204
    assert not QuietPeriod.objects.filter(reason="Freeze").exists()
    assert lead.post(QUIET, {**wanted, "ends_at": wanted["starts_at"]}, format="json").json()["fields"] == {"ends_at": ["It must end after it starts."]}
    everybody = lead.post(QUIET, {name: value for name, value in wanted.items() if name != "team"}, format="json")
    assert everybody.json()["team"] is None


def test_quiet_period_without_a_time_zone_is_refused(lead: CheckedClient, policy: RoutingPolicy) -> None:
    wanted = {"starts_at": "2026-12-30T00:00:00", "ends_at": "2026-12-31T00:00:00+05:30", "reason": "Freeze", "team": "platform"}
    response = lead.post(QUIET, wanted, format="json")
    assert (response.status_code, list(response.json()["fields"])) == (422, ["starts_at"])
    assert "This names no time zone. Write it as 2026-11-23T01:20:00Z" in response.json()["detail"]
    assert lead.get(QUIET, {"since": "2026-12-30"}).status_code == 422
    assert not QuietPeriod.objects.exists()


def test_feed_shows_its_address_once_and_is_revoked(lead: CheckedClient, policy: RoutingPolicy, anonymous: CheckedClient, by_token: Caller, cast: Cast) -> None:
    wanted = {"team": "platform", "name": "Lee's phone"}
    made = lead.post(FEEDS, wanted, format="json", headers=KEY)
    body = made.json()
    path = body["address"].removeprefix("http://127.0.0.1:8000")
    assert path.startswith("/drills/calendar/")
    assert anonymous.get(path).status_code == 200
    replayed = lead.post(FEEDS, wanted, format="json", headers=KEY).json()
    assert replayed == {**body, "address": None}
    assert path.split("/")[-1].removesuffix(".ics") not in lead.get(FEEDS).content.decode() + lead.get(body["url"]).content.decode()
    assert lead.get(body["url"]).json()["last_used_at"] == "2026-12-01T07:00:00Z"
    assert lead.post(f"{body['url']}revoke/", {}, format="json").json()["revoked_at"] == "2026-12-01T07:00:00Z"
    assert anonymous.get(path).status_code == 404
    assert lead.post(f"{body['url']}revoke/", {}, format="json").json()["code"] == "feed_revoked"
    CalendarFeedFactory()
    assert len(lead.get(FEEDS, {"team": "platform"}).json()["results"]) == 1
    assert CalendarFeed.objects.count() == 2
    assert by_token(cast.on_call).get(FEEDS).status_code == 403


def test_running_execution_is_named_when_an_alias_is_busy(on_call: CheckedClient, lead: CheckedClient, policy: RoutingPolicy) -> None:
    lead.post(PLANS, WANTED, format="json")
    busy = ExecutionFactory(policy=policy, running=True)
    planned = PlannedDrill.objects.order_by("slot")[0]
    problem = on_call.post(f"{PLANNED}{planned.pk}/start/", {}, format="json").json()
    assert problem["api_url"] == f"/api/v1/executions/{busy.pk}/"
