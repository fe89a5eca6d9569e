"""Actions over the API."""

from __future__ import annotations

import datetime as dt

import pytest

from rollbackhub.actions.enums import ActionState
from rollbackhub.actions.models import Action
from rollbackhub.common.clock import now
from tests.api.conftest import Caller
from tests.api.openapi import CheckedClient
from tests.factories.accounts import TeamFactory
from tests.factories.actions import ActionFactory
from tests.factories.fixtures import Cast

ACTIONS = "/api/v1/actions/"


@pytest.fixture
def action(cast: Cast) -> Action:
    """The auditor's, who may not drill."""
    found: Action = ActionFactory(owner=cast.auditor)
    return found


def test_actions_are_listed_and_filtered(on_call: CheckedClient, action: Action, cast: Cast) -> None:
    late = ActionFactory(due_on=now().date() - dt.timedelta(days=3), owner=cast.lead, team=TeamFactory(slug="search"))
    done = ActionFactory(done=True, origin="review")
    rows = on_call.get(ACTIONS).json()["results"]
    assert [row["id"] for row in rows] == [str(found.pk) for found in (late, action, done)]
    assert [row["overdue"] for row in rows] == [True, False, False]
    for query, wanted in (
        ({"team": "search"}, late),
        ({"owner": "lead"}, late),
        ({"overdue": "true"}, late),
        ({"state": "done"}, done),
        ({"origin": "review"}, done),
        ({"overdue": "false", "state": "open"}, action),
    ):
        assert [row["id"] for row in on_call.get(ACTIONS, query).json()["results"]] == [str(wanted.pk)], query
    assert on_call.get(ACTIONS, {"owner": "nobody"}).status_code == 422


def test_owner_changes_closes_and_opens_again(by_session: Caller, action: Action, cast: Cast) -> None:
    auditor, url = by_session(cast.auditor), f"{ACTIONS}{action.pk}/"
    changed = auditor.post(url, {"title": "Mend both", "due_on": "2027-01-31"}, format="json")
    assert (changed.status_code, changed.json()["title"], changed.json()["due_on"]) == (200, "Mend both", "2027-01-31")
    assert auditor.post(f"{url}close/", {"state": "not_doing"}, format="json").json()["code"] == "reason_missing"
    closed = auditor.post(f"{url}close/", {"state": "not_doing", "reason": "It goes away."}, format="json").json()
    assert (closed["state"], closed["closed_reason"], closed["closed_by"]) == ("not_doing", "It goes away.", "Audra Book")
    assert auditor.post(url, {"title": "x"}, format="json").json()["code"] == "wrong_state"
    again = auditor.post(f"{url}reopen/", {"reason": "It did not."}, format="json").json()
    assert (again["state"], again["closed_at"]) == ("open", None)
    handed = auditor.post(url, {"owner": "oncall"}, format="json").json()
    assert handed["owner"] == "oncall"
    assert auditor.post(f"{url}close/", {}, format="json").status_code == 403, "it is no longer theirs"


def test_who_may_drill_closes_anybodys_by_a_token_with_that_scope(by_token: Caller, action: Action, cast: Cast) -> None:
    url = f"{ACTIONS}{action.pk}/close/"
    reader = by_token(cast.on_call, scopes=("read",)).post(url, {}, format="json")
    assert (reader.status_code, reader.json()["code"]) == (403, "forbidden")
    assert "scope drill" in reader.json()["detail"]
    assert by_token(cast.leadership).post(url, {}, format="json").status_code == 403
    key = {"Idempotency-Key": "3f0e8f1c"}
    client = by_token(cast.on_call, scopes=("read", "drill"))
    first = client.post(url, {"reason": "Mended."}, format="json", headers=key)
    assert (first.status_code, first.json()["state"]) == (200, "done")
    assert client.post(url, {"reason": "Mended."}, format="json", headers=key)["Idempotent-Replayed"] == "true"
    action.refresh_from_db()
    assert action.state == ActionState.DONE


def test_one_action_has_an_etag(on_call: CheckedClient, action: Action) -> None:
    response = on_call.get(f"{ACTIONS}{action.pk}/")
    assert response.json()["origin_url"] == "/drills/"
    assert on_call.get(f"{ACTIONS}{action.pk}/", HTTP_IF_NONE_MATCH=response["ETag"]).status_code == 304
