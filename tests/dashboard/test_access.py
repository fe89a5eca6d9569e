"""Who may open what. The addresses come from the URL configuration itself: a new page without a rule fails here."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, reverse

from rollbackhub import urls as all_urls
from rollbackhub.accounts.rules import Capability
from rollbackhub.dashboard import urls
from tests.dashboard.people import client_of
from tests.factories.fixtures import Cast

ARGUMENTS: dict[str, Any] = {
    "drill_id": uuid.UUID(int=1),
    "rollback_id": uuid.UUID(int=1),
    "review_id": uuid.UUID(int=1),
    "incident_id": uuid.UUID(int=1),
    "note_id": 1,
    "correction_id": 1,
    "matter": "exposure",
    "attendance_id": 1,
    "wanted_id": 1,
    "decision_id": 1,
    "agenda": "misses",
    "screen": "misses",
    "hold_id": 1,
    "version_id": 1,
    "release_id": 1,
    "environment": "staging",
    "alias": "smart-reasoner",
    "slug": "reasoner-model",
    "event_id": 1,
    "question": "durations",
    "number": 1,
    "plan_id": 1,
    "planned_id": 1,
    "quiet_id": 1,
    "feed_id": 1,
    "action_id": uuid.UUID(int=1),
    "import_id": uuid.UUID(int=1),
    "alert_id": uuid.UUID(int=1),
    "proposal_id": uuid.UUID(int=1),
    "hook_id": uuid.UUID(int=1),
    "rule_id": 1,
    "postmortem_id": uuid.UUID(int=1),
    "channel_id": uuid.UUID(int=1),
    "delivery_id": uuid.UUID(int=1),
}
FOR_EVERYBODY_SIGNED_IN = {"dashboard:account"}
PUBLIC = {"healthz": "for probes: it tells no more than whether parts work", "calendar-feed": "by its secret: tests/drills/test_feeds.py"}
"""Addresses beside pages, API, settings and signing in: open to nobody signed in, and why."""
REFUSED_BY_THE_DOMAIN = {"rollbacks:break-glass": {"admin"}}
"""Who has the capability and is refused all the same: an administrator is no operational authority."""


def _patterns(patterns: list[Any], namespace: str = "") -> Iterator[tuple[str, URLPattern]]:
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from _patterns(pattern.url_patterns, f"{namespace}{pattern.namespace}:" if pattern.namespace else namespace)
        else:
            yield f"{namespace}{pattern.name}", pattern


PAGES = dict(_patterns(list(urls.urlpatterns)))


def _capability(name: str) -> Any:
    return getattr(PAGES[name].callback, "capability", None)


def _address(name: str) -> str:
    wanted = PAGES[name].pattern.converters
    return reverse(name, kwargs={key: ARGUMENTS[key] for key in wanted})


def _answer(client: Client, name: str) -> Any:
    """A GET, or a POST where only that is allowed."""
    response = client.get(_address(name))
    return client.post(_address(name)) if response.status_code == 405 else response


def test_pages_every_one_names_its_capability() -> None:
    assert len(PAGES) > 20
    nameless = [name for name, pattern in PAGES.items() if not hasattr(pattern.callback, "capability")]
    assert nameless == []
    assert {name for name in PAGES if _capability(name) is None} == FOR_EVERYBODY_SIGNED_IN


def test_addresses_beside_the_pages_are_known() -> None:
    beside = {pattern.name for pattern in all_urls.urlpatterns if isinstance(pattern, URLPattern) and pattern.name}
    assert beside == set(PUBLIC)


@pytest.mark.django_db
@pytest.mark.parametrize("name", sorted(PAGES))
def test_page_nobody_signed_in_goes_to_the_sign_in_and_back(name: str) -> None:
    response = _answer(Client(), name)
    assert response.status_code == 302
    assert response["Location"].startswith("/accounts/login/?next=/")


@pytest.mark.django_db
@pytest.mark.parametrize("name", sorted(set(PAGES) - FOR_EVERYBODY_SIGNED_IN))
def test_page_stranger_is_refused_with_a_sentence(name: str, cast: Cast) -> None:
    response = _answer(client_of(cast.stranger), name)
    assert response.status_code == 403
    text = response.content.decode()
    assert "you need" in text
    assert "An administrator can grant it." in text
    assert 'aria-label="Main"' not in text, "the navigation has nothing for a stranger"


@pytest.mark.django_db
@pytest.mark.parametrize("name", sorted(PAGES))
def test_page_each_role_gets_in_exactly_where_its_capability_says(name: str, cast: Cast) -> None:
    allowed = {
        Capability.VIEW: {"on_call", "lead", "leadership", "auditor", "admin"},
        Capability.DRILL: {"on_call", "lead", "admin"},
        Capability.REGISTER: {"on_call", "lead", "admin"},
        Capability.RETIRE: {"lead", "admin"},
        Capability.RELEASE: {"on_call", "lead", "admin"},
        Capability.ROUTE: {"on_call", "lead", "admin"},
        Capability.CONFIGURE: {"lead", "admin"},
        Capability.ROLL_BACK: {"on_call", "lead", "leadership", "admin"},
        Capability.RESPOND: {"on_call", "lead", "leadership", "admin"},
        Capability.APPROVE: {"on_call", "lead", "leadership", "admin"},
        Capability.LEAD: {"lead", "leadership"},
        Capability.AUDIT: {"lead", "leadership", "auditor", "admin"},
    }.get(_capability(name), {"on_call", "lead", "leadership", "auditor", "admin"}) - REFUSED_BY_THE_DOMAIN.get(name, set())
    for who, user in cast.everybody_but("stranger").items():
        refused = _answer(client_of(user), name).status_code == 403
        assert refused == (who not in allowed), f"{who} at {name}"


@pytest.mark.django_db
def test_htmx_part_nobody_signed_in_takes_the_whole_page_to_the_sign_in() -> None:
    response = Client().get(reverse("dashboard:running"), headers={"HX-Request": "true", "HX-Current-URL": "http://testserver/drills/?alias=x"})
    assert response.headers["HX-Redirect"] == "/accounts/login/?next=%2Fdrills%2F%3Falias%3Dx"


@pytest.mark.django_db
def test_stranger_after_signing_in_finds_the_account_page(cast: Cast) -> None:
    text = client_of(cast.stranger).get(reverse("dashboard:account")).content.decode()
    assert "You have no role yet" in text
    assert "Sign out" in text


@pytest.mark.django_db
@pytest.mark.parametrize(("who", "audit", "settings"), [("on_call", False, False), ("auditor", True, False), ("admin", True, True)])
def test_navigation_shows_only_where_a_person_may_go(who: str, audit: bool, settings: bool, cast: Cast) -> None:
    text = client_of(getattr(cast, who)).get("/").content.decode()
    assert (f'href="{reverse("audit:list")}"' in text) == audit
    assert (f'href="{reverse("admin:index")}"' in text) == settings
