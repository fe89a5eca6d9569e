"""What was live at time T: the page."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.test import Client

from rollbackhub.common.clock import now
from rollbackhub.routing.models import RoutingPolicy
from tests.dashboard.people import client_of, page
from tests.dashboard.test_registry_pages import plain
from tests.factories.fixtures import Cast
from tests.factories.registry import EnvironmentFactory
from tests.factories.routing import BAD, GOOD, PolicyRevisionFactory, RoutingPolicyFactory

LIVE = "/registry/live/"
HOUR = dt.timedelta(hours=1)


@pytest.fixture
def began(db: None) -> dt.datetime:
    """Three hours ago `smart-reasoner` began, an hour later it got a canary; `late` came after that; staging has the same alias."""
    at = (now() - 3 * HOUR).replace(microsecond=0)
    production = EnvironmentFactory(slug="production")
    policy: RoutingPolicy = RoutingPolicyFactory(environment=production, alias="smart-reasoner", revision=False)
    PolicyRevisionFactory(policy=policy, weights={GOOD: 100}, created_at=at, reason="at first", actor_label="Adam Key")
    PolicyRevisionFactory(policy=policy, weights={GOOD: 75, BAD: 25}, created_at=at + HOUR, reason="canary", actor_label="Olga Call")
    late = RoutingPolicyFactory(environment=production, alias="late", revision=False)
    PolicyRevisionFactory(policy=late, weights={"v1": 100}, created_at=at + 2 * HOUR)
    staging = RoutingPolicyFactory(environment=EnvironmentFactory(slug="staging"), alias="smart-reasoner", artefact=policy.artefact, revision=False)
    PolicyRevisionFactory(policy=staging, created_at=at, reason="of staging")
    return at


@pytest.fixture
def viewer(cast: Cast) -> Client:
    """An auditor in India."""
    cast.auditor.timezone = "Asia/Kolkata"
    cast.auditor.save()
    return client_of(cast.auditor)


def utc(at: dt.datetime) -> str:
    """As it stands in an address."""
    return f"{at:%Y-%m-%dT%H:%M:%S}Z"


def test_live_page_at_each_time_is_what_stood_then(began: dt.datetime, viewer: Client) -> None:
    first = page(viewer, f"{LIVE}?at={utc(began + HOUR / 2)}")
    words = plain(first)
    assert "1 alias was live." in words
    assert "at first" in words
    assert "Adam Key" in words
    assert "100 %" in words
    assert BAD not in words
    assert "late" not in re.findall(r"aliases/([\w-]+)/", first)
    second = plain(page(viewer, f"{LIVE}?at={utc(began + HOUR)}"))
    assert "canary" in second
    assert "25 %" in second
    assert "Olga Call" in second
    third = page(viewer, f"{LIVE}?at={utc(began + 2 * HOUR)}")
    assert "2 aliases were live." in plain(third)
    assert 'href="/routing/production/aliases/smart-reasoner/?from=1&amp;to=2#difference"' in third
    assert "of staging" not in third


def test_live_page_before_anything_says_so(began: dt.datetime, viewer: Client) -> None:
    assert "Nothing was live then" in page(viewer, f"{LIVE}?at={utc(began - HOUR)}")


def test_live_page_without_a_time_is_now(began: dt.datetime, viewer: Client) -> None:
    words = plain(page(viewer, LIVE))
    assert "Now, 2 aliases are live." in words
    assert "still so" in words


def test_live_page_filters_stand_in_the_address(began: dt.datetime, viewer: Client) -> None:
    at = utc(began + 2 * HOUR)
    assert "1 alias was live" in plain(page(viewer, f"{LIVE}?at={at}&alias=LAT"))
    assert "No alias matches" in page(viewer, f"{LIVE}?at={at}&alias=zzz")
    assert "of staging" in page(viewer, f"{LIVE}?at={at}&environment=staging")
    assert "There is no environment moon." in page(viewer, f"{LIVE}?at={at}&environment=moon", status=404)


def test_live_page_viewers_time_becomes_an_address_that_means_the_same_to_all(began: dt.datetime, viewer: Client, cast: Cast) -> None:
    response = viewer.get(LIVE, {"at": "2026-03-01T14:05", "environment": "production", "alias": "smart"})
    assert response.status_code == 302
    assert parse_qs(urlsplit(response["Location"]).query) == {"at": ["2026-03-01T08:35:00Z"], "environment": ["production"], "alias": ["smart"]}
    assert 'value="2026-03-01T14:05:00"' in page(viewer, response["Location"]), "in the field: by the viewer's clock"
    cast.lead.timezone = "America/New_York"
    cast.lead.save()
    assert 'value="2026-03-01T03:35:00"' in page(client_of(cast.lead), response["Location"])


@pytest.mark.parametrize("at", ["2026-03-01T08:35:00+05:30", "2026-03-01T08:35:00%2B05:30"])
def test_live_page_takes_other_zones_with_a_plus_written_either_way(at: str, began: dt.datetime, viewer: Client) -> None:
    assert 'value="2026-03-01T08:35:00"' in page(viewer, f"{LIVE}?at={at}")


@pytest.mark.parametrize(
    ("at", "sentence"),
    [
        ("yesterday", "This is no time. Write it as 2026-11-23 14:05."),
        ("2026-13-01T00:00:00Z", "This is no time."),
        ("2999-01-01T00:00:00Z", "That time has not come yet."),
        ("2999-01-01T00:00", "That time has not come yet."),
        ("0001-01-01T00:00:00Z", "Nothing was live before 2000."),
        ("0001-01-01T00:00:00+14:00", "Nothing was live before 2000."),
        ("9999-12-31T23:59:59-14:00", "That time has not come yet."),
        ("<script>", "This is no time."),
    ],
)
def test_live_page_refuses_in_words(at: str, sentence: str, began: dt.datetime, viewer: Client) -> None:
    text = page(viewer, f"{LIVE}?at={at}", status=422)
    assert sentence in plain(text)
    assert "<script>alert" not in text
    assert "aliases/smart-reasoner" not in text


def test_live_page_a_time_that_the_clock_left_out_is_refused(began: dt.datetime, cast: Cast) -> None:
    cast.lead.timezone = "Europe/Berlin"
    cast.lead.save()
    assert "may not exist" in plain(page(client_of(cast.lead), f"{LIVE}?at=2026-03-29T02:30", status=422))


def test_live_page_without_an_environment_says_what_will_fill_it(viewer: Client) -> None:
    assert "No environment yet" in page(viewer, LIVE)


def test_live_page_long_alias_is_refused_not_broken(began: dt.datetime, viewer: Client) -> None:
    page(viewer, f"{LIVE}?alias={'x' * 200}", status=422)


def test_live_page_takes_a_fixed_number_of_queries(began: dt.datetime, viewer: Client, django_assert_max_num_queries: Any) -> None:
    page(viewer, LIVE)
    for number in range(60):
        RoutingPolicyFactory(environment=EnvironmentFactory(slug="production"), alias=f"many-{number:02d}", revision={"v1": 100})
    with django_assert_max_num_queries(17):
        text = page(viewer, LIVE)
    assert "Now, 62 aliases are live." in plain(text)
    assert "Page 1 of 2" in text
