"""What was live at time T, over the API."""

from __future__ import annotations

import datetime as dt
from typing import Any
from urllib.parse import urlencode

import pytest

from rollbackhub.common.clock import now
from rollbackhub.routing.models import RoutingPolicy
from tests.api.conftest import Caller
from tests.api.openapi import CheckedClient
from tests.factories.fixtures import Cast
from tests.factories.registry import EnvironmentFactory
from tests.factories.routing import BAD, GOOD, PolicyRevisionFactory, RoutingPolicyFactory

LIVE = "/api/v1/live/"
HOUR = dt.timedelta(hours=1)


@pytest.fixture
def began(db: None) -> dt.datetime:
    """Three hours ago `smart-reasoner` began; an hour later it went to the new version, another hour later back. `late` came in between."""
    at = (now() - 3 * HOUR).replace(microsecond=0)
    production = EnvironmentFactory(slug="production")
    policy: RoutingPolicy = RoutingPolicyFactory(environment=production, alias="smart-reasoner", revision=False)
    PolicyRevisionFactory(policy=policy, weights={GOOD: 100, BAD: 0}, created_at=at)
    PolicyRevisionFactory(policy=policy, weights={GOOD: 75, BAD: 25}, reason="canary", actor_label="Olga Call", created_at=at + HOUR)
    PolicyRevisionFactory(policy=policy, weights={GOOD: 100, BAD: 0}, reason="rolled back", actor_label="Lee Lead", created_at=at + 2 * HOUR)
    late = RoutingPolicyFactory(environment=production, alias="late", revision=False)
    PolicyRevisionFactory(policy=late, weights={"v1": 100}, created_at=at + HOUR + HOUR / 2)
    staging = RoutingPolicyFactory(environment=EnvironmentFactory(slug="staging"), alias="smart-reasoner", artefact=policy.artefact, revision=False)
    PolicyRevisionFactory(policy=staging, created_at=at)
    return at


def rows(client: CheckedClient, at: dt.datetime, **query: str) -> list[dict[str, Any]]:
    """What the API says was live."""
    found: list[dict[str, Any]] = client.get(LIVE, {"at": at.isoformat(), **query}).json()["results"]
    return found


def weights(row: dict[str, Any]) -> dict[str, int]:
    """Version to weight."""
    return {candidate["version_pin"]: candidate["weight"] for candidate in row["candidates"]}


def test_live_at_each_time_is_what_stood_then(began: dt.datetime, on_call: CheckedClient) -> None:
    first = rows(on_call, began + HOUR / 2)
    assert [(row["alias"], row["revision"], weights(row)) for row in first] == [("smart-reasoner", 1, {GOOD: 100, BAD: 0})]
    assert dt.datetime.fromisoformat(first[0]["since"]) == began
    second = rows(on_call, began + HOUR)
    assert [(row["revision"], row["changed_by"], row["reason"], weights(row)) for row in second] == [(2, "Olga Call", "canary", {GOOD: 75, BAD: 25})]
    third = {row["alias"]: row for row in rows(on_call, began + 2 * HOUR + HOUR / 2)}
    assert list(third) == ["late", "smart-reasoner"]
    assert (third["smart-reasoner"]["revision"], weights(third["late"])) == (3, {"v1": 100})
    assert on_call.get(third["smart-reasoner"]["revision_url"]).json()["reason"] == "rolled back"


def test_live_alias_that_did_not_exist_yet_is_not_listed(began: dt.datetime, on_call: CheckedClient) -> None:
    assert rows(on_call, began + HOUR, alias="late") == []
    assert rows(on_call, began - dt.timedelta(microseconds=1)) == []
    assert [row["alias"] for row in rows(on_call, began + 2 * HOUR, alias="late")] == ["late"]


def test_live_filters(began: dt.datetime, on_call: CheckedClient) -> None:
    artefact = RoutingPolicy.objects.filter(alias="smart-reasoner")[0].artefact.slug
    assert [row["alias"] for row in rows(on_call, now(), artefact=artefact)] == ["smart-reasoner"]
    assert [(row["environment"], row["revision"]) for row in rows(on_call, now(), environment="staging")] == [("staging", 1)]


@pytest.mark.parametrize(
    ("query", "code", "words"),
    [
        ({"at": "yesterday"}, "invalid_input", "This is no instant. Write it as 2026-11-23T01:20:00Z"),
        ({"at": "2026-13-01T00:00:00Z"}, "invalid_input", "no instant"),
        ({"at": "2999-01-01T00:00:00Z"}, "at_in_future", "has not come yet"),
        ({"at": "2026-01-01T00:00:00Z", "colour": "red"}, "invalid_input", "Unknown"),
        ({"at": "2026-01-01T00:00:00Z", "cursor": "x"}, "invalid_cursor", "cursor"),
    ],
)
def test_live_refuses_in_words(query: dict[str, str], code: str, words: str, began: dt.datetime, on_call: CheckedClient) -> None:
    response = on_call.get(LIVE, query)
    assert (response.status_code, response.json()["code"]) == (422, code)
    assert words in response.json()["detail"]


def test_live_plus_that_became_a_space_says_how_to_write_it(began: dt.datetime, on_call: CheckedClient) -> None:
    assert "%2B" in on_call.get(f"{LIVE}?at=2026-01-01T00:00:00+05:30").json()["detail"]
    assert on_call.get(f"{LIVE}?{urlencode({'at': '2026-01-01T00:00:00+05:30'})}").status_code == 200


def test_live_unknown_environment_is_a_404(began: dt.datetime, on_call: CheckedClient) -> None:
    assert on_call.get(LIVE, {"at": began.isoformat(), "environment": "moon"}).json()["code"] == "environment_not_found"


def test_live_who_may_look(began: dt.datetime, cast: Cast, by_token: Caller, anonymous: CheckedClient) -> None:
    query = {"at": began.isoformat()}
    assert anonymous.get(LIVE, query).status_code == 401
    assert by_token(cast.stranger).get(LIVE, query).status_code == 403
    assert by_token(cast.admin, scopes=("drill",)).get(LIVE, query).status_code == 403
    assert by_token(cast.auditor, scopes=("read",)).get(LIVE, query).status_code == 200


def test_live_pages_in_a_fixed_number_of_queries(began: dt.datetime, on_call: CheckedClient, django_assert_num_queries: Any) -> None:
    production = EnvironmentFactory(slug="production")
    names = [RoutingPolicyFactory(environment=production).alias for _ in range(7)]
    on_call.get("/api/v1/me/")
    seen: list[str] = []
    url: str | None = f"{LIVE}?{urlencode({'at': now().isoformat(), 'page_size': 4})}"
    while url:
        with django_assert_num_queries(5):
            page = on_call.get(url).json()
        seen += [row["alias"] for row in page["results"]]
        url = page["next"]
    assert seen == sorted([*names, "late", "smart-reasoner"])
