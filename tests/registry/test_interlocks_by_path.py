"""Each reason against retiring, by each way that people and machines have: refused with the reason, nothing changed; free once it has gone."""

from __future__ import annotations

from collections.abc import Callable
from html import unescape
from typing import Any

import pytest
from django.test import Client

from rollbackhub.audit.models import AuditEvent
from rollbackhub.registry.domain.interlocks import list_interlocks
from rollbackhub.registry.models import Version
from tests.api.openapi import CheckedClient
from tests.factories.accounts import ApiTokenFactory
from tests.factories.fixtures import Cast
from tests.registry.interlocks import ALL_AT_ONCE, ALL_CODES, REASONS, Scene, make_scene

pytestmark = pytest.mark.django_db

WHY = "its provider has deleted it"
ADMIN = "/admin/registry/version/"

Way = Callable[[Version, Cast], tuple[int, str]]
"""Tries to retire; answers the status and what was said."""


def by_page(version: Version, cast: Cast) -> tuple[int, str]:
    client = _signed_in(cast.lead)
    answer = client.post(f"/registry/versions/{version.pk}/retire/", {"reason": WHY})
    return answer.status_code, unescape(answer.content.decode())


def by_api_in_session(version: Version, cast: Cast) -> tuple[int, str]:
    client = CheckedClient()
    client.force_login(cast.lead)
    return _by_api(client, version)


def by_api_token(version: Version, cast: Cast) -> tuple[int, str]:
    client = CheckedClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {ApiTokenFactory(user=cast.lead, scopes=['register']).plain}")
    return _by_api(client, version)


def _by_api(client: CheckedClient, version: Version) -> tuple[int, str]:
    answer = client.post(f"/api/v1/artefacts/{version.artefact.slug}/versions/{version.pk}/retire/", {"reason": WHY}, format="json")
    return answer.status_code, " ".join([answer.json().get("detail", ""), *(reason["code"] for reason in answer.json().get("reasons", ()))])


def by_admin(version: Version, cast: Cast) -> tuple[int, str]:
    address = f"{ADMIN}{version.pk}/retire/"
    return _by_admin(cast, address, {"confirmed": "yes", "reason": WHY})


def by_bulk_admin_action(version: Version, cast: Cast) -> tuple[int, str]:
    return _by_admin(cast, ADMIN, {"action": "retire_selected", "_selected_action": [version.pk], "confirmed": "yes", "reason": WHY})


def _by_admin(cast: Cast, address: str, values: dict[str, Any]) -> tuple[int, str]:
    client = _signed_in(cast.admin)
    answer = client.post(address, values, follow=True)
    said = [(message.level_tag, str(message)) for message in answer.context["messages"]]
    assert len(said) == 1, said
    return (200 if said[0][0] == "success" else 409), said[0][1]


def _signed_in(user: Any) -> Client:
    client = Client()
    client.force_login(user)
    return client


WAYS: dict[str, Way] = {
    "page": by_page,
    "API in a session": by_api_in_session,
    "API by token": by_api_token,
    "admin": by_admin,
    "bulk admin action": by_bulk_admin_action,
}


@pytest.mark.parametrize("way", list(WAYS.values()), ids=list(WAYS))
@pytest.mark.parametrize("make", [make for _, make in REASONS.values()], ids=list(REASONS))
def test_refused_with_the_reason_until_it_has_gone(make: Callable[[Scene], Any], way: Way, cast: Cast) -> None:
    scene = make_scene()
    ends = make(scene)
    (reason,) = list_interlocks([scene.version])[scene.version.pk]
    before = Version.objects.values().get(pk=scene.version.pk)
    status, said = way(scene.version, cast)
    assert status == 409
    assert reason.sentence in said
    assert Version.objects.values().get(pk=scene.version.pk) == before
    assert not AuditEvent.objects.filter(event="version.retired").exists()
    ends()
    status, said = way(scene.version, cast)
    assert status in (200, 302), said
    assert Version.objects.get(pk=scene.version.pk).lifecycle == "retired"
    event = AuditEvent.objects.get(event="version.retired")
    assert event.data["reason"] == WHY
    assert event.actor_user_id in (cast.lead.pk, cast.admin.pk)


@pytest.mark.parametrize("way", list(WAYS.values()), ids=list(WAYS))
def test_every_reason_that_applies_is_named(way: Way, cast: Cast) -> None:
    scene = make_scene()
    for make in ALL_AT_ONCE:
        make(scene)
    reasons = list_interlocks([scene.version])[scene.version.pk]
    assert [reason.code for reason in reasons] == ALL_CODES
    status, said = way(scene.version, cast)
    assert status == 409
    for reason in reasons:
        assert reason.sentence in said
    assert Version.objects.get(pk=scene.version.pk).lifecycle == "archived"


@pytest.mark.parametrize("many", [False, True], ids=["one", "many"])
@pytest.mark.parametrize("make", [make for _, make in REASONS.values()], ids=list(REASONS))
def test_deleting_in_the_admin_is_refused_with_the_reason(make: Callable[[Scene], Any], many: bool, cast: Cast) -> None:
    scene = make_scene()
    make(scene)
    (reason,) = list_interlocks([scene.version])[scene.version.pk]
    client = _signed_in(cast.admin)
    values = {"action": "delete_selected", "_selected_action": [scene.version.pk], "post": "yes"}
    answer = client.post(ADMIN, values) if many else client.post(f"{ADMIN}{scene.version.pk}/delete/", {"post": "yes"})
    assert reason.sentence in unescape(answer.content.decode())
    assert Version.objects.filter(pk=scene.version.pk).exists()


@pytest.mark.parametrize("many", [False, True], ids=["one", "many"])
def test_deleting_in_the_admin_works_for_what_nothing_needs(many: bool, cast: Cast) -> None:
    version = make_scene().version
    client = _signed_in(cast.admin)
    values = {"action": "delete_selected", "_selected_action": [version.pk], "post": "yes"}
    answer = client.post(ADMIN, values) if many else client.post(f"{ADMIN}{version.pk}/delete/", {"post": "yes"})
    assert answer.status_code == 302
    assert not Version.objects.filter(pk=version.pk).exists()
