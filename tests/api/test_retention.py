"""Retention over the API: rows, share with its history, and archiving, retiring, and the provider's date."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from rollbackhub.audit.models import AuditEvent
from rollbackhub.common.clock import now
from rollbackhub.registry.models import Artefact, Version
from tests.api.conftest import Caller
from tests.api.openapi import CheckedClient
from tests.factories.fixtures import Cast
from tests.factories.readiness import ReadinessChangeFactory, ReadinessFactory
from tests.factories.registry import VersionFactory
from tests.registry.interlocks import ALL_AT_ONCE, ALL_CODES, REASONS, Scene, make_scene

RETENTION = "/api/v1/retention/"
KEY = "3f0e8f1c-0b7c-4c58-9d2a-1f1f4f1f4f1f"
DAY = dt.timedelta(days=1)


@pytest.fixture
def scene(db: None) -> Scene:
    """A version that nothing needs."""
    return make_scene()


@pytest.fixture
def lead(by_token: Caller, cast: Cast) -> CheckedClient:
    """The platform lead, by a token with every scope."""
    return by_token(cast.lead)


def act(client: CheckedClient, version: Version, name: str, *, key: str | None = None, **body: Any) -> Any:
    headers: dict[str, Any] = {"HTTP_IDEMPOTENCY_KEY": key} if key else {}
    return client.post(f"/api/v1/artefacts/{version.artefact.slug}/versions/{version.pk}/{name}/", body, format="json", **headers)


def test_rows_say_how_long_and_why(scene: Scene, on_call: CheckedClient) -> None:
    for make in ALL_AT_ONCE:
        make(scene)
    retires_at = now() + 9 * DAY
    Version.objects.filter(pk=scene.version.pk).update(provider_retires_at=retires_at)
    row = next(row for row in on_call.get(RETENTION).json()["results"] if row["version"] == "v1")
    version = Version.objects.get(pk=scene.version.pk)
    assert version.superseded_at is not None
    assert (row["artefact"], row["team"], row["change_type"], row["lifecycle"], row["window_days"]) == (
        "smart-reasoner-model",
        "platform",
        "model",
        "archived",
        90,
    )
    assert dt.datetime.fromisoformat(row["retained_until"]) == version.superseded_at + 90 * DAY
    assert dt.datetime.fromisoformat(row["next_at"]) == dt.datetime.fromisoformat(row["provider_retires_at"]) == retires_at
    assert [reason["code"] for reason in row["interlocks"]] == ALL_CODES
    assert on_call.get(row["version_url"]).status_code == 200


def test_rows_are_filtered_and_paged_in_a_constant_number_of_queries(on_call: CheckedClient, django_assert_num_queries: Any) -> None:
    on_call.get("/api/v1/me/")
    for number in range(3):
        REASONS["within the window"][1](make_scene(f"alias-{number}"))
        # The token, the roles; versions, first weights, interlocks; share, its history.
        with django_assert_num_queries(7):
            on_call.get(RETENTION)
    assert [row["artefact"] for row in on_call.get(RETENTION, {"state": "within_window"}).json()["results"]] == [
        f"alias-{number}-model" for number in (2, 1, 0)
    ]
    assert [row["version"] for row in on_call.get(RETENTION, {"artefact": "alias-1-model", "state": "within_window"}).json()["results"]] == ["v1"]
    assert on_call.get(RETENTION, {"team": "nobody"}).json()["results"] == []
    assert on_call.get(RETENTION, {"change_type": "prompt"}).json()["results"] == []
    first = on_call.get(RETENTION, {"page_size": "4"}).json()
    second = on_call.get(first["next"]).json()
    assert len({row["id"] for row in first["results"] + second["results"]}) == Version.objects.count() == 6


@pytest.mark.parametrize("query", [{"state": "lost"}, {"since": "yesterday"}, {"change_type": "x"}, {"artefact": "no slug!"}])
def test_filter_that_cannot_be_is_refused(query: dict[str, str], on_call: CheckedClient) -> None:
    answer = on_call.get(RETENTION, query)
    assert (answer.status_code, list(answer.json()["fields"])) == (422, list(query))


def test_share_and_its_history_since_an_instant(on_call: CheckedClient) -> None:
    assert on_call.get(RETENTION).json()["share"] | {"at": None} == {"at": None, "rollbackable": 0, "total": 0, "percent": None}
    times = [now() - days * DAY for days in (100, 20, 5)]
    first, second = ReadinessFactory(), ReadinessFactory(not_ready=True)
    ReadinessChangeFactory(policy=first.policy, at=times[0], rollbackable=False)
    ReadinessChangeFactory(policy=second.policy, at=times[1], rollbackable=False)
    ReadinessChangeFactory(policy=first.policy, at=times[2], rollbackable=True)
    body = on_call.get(RETENTION).json()
    assert body["share"] | {"at": None} == {"at": None, "rollbackable": 1, "total": 2, "percent": 50.0}
    assert [(point["rollbackable"], point["total"], point["percent"]) for point in body["share_history"]] == [(0, 1, 0.0), (0, 2, 0.0), (1, 2, 50.0)]
    since = (now() - 10 * DAY).isoformat().replace("+00:00", "Z")
    # What stood when the time began, and what changed since.
    assert [(point["rollbackable"], point["total"]) for point in on_call.get(RETENTION, {"since": since}).json()["share_history"]] == [(0, 2), (1, 2)]


def test_interlocked_version_is_refused_with_every_reason(scene: Scene, lead: CheckedClient) -> None:
    for make in ALL_AT_ONCE:
        make(scene)
    answer = act(lead, scene.version, "retire", reason="its provider has deleted it")
    body = answer.json()
    assert (answer.status_code, body["code"]) == (409, "interlocked")
    assert [reason["code"] for reason in body["reasons"]] == ALL_CODES
    assert {reason["code"]: reason["until"] is not None for reason in body["reasons"]} == {
        "only_proven_target": False,
        "open_incident": False,
        "rollback_target": False,
        "stability_hold": True,
        "within_window": True,
    }
    assert Version.objects.get(pk=scene.version.pk).lifecycle == "archived"


def test_free_version_is_retired_once_and_taken_back(scene: Scene, lead: CheckedClient) -> None:
    first = act(lead, scene.version, "retire", key=KEY, reason="its provider has deleted it")
    assert (first.status_code, first.json()["lifecycle"]) == (200, "retired")
    again = act(lead, scene.version, "retire", key=KEY, reason="its provider has deleted it")
    assert (again.status_code, again.json()) == (200, first.json())
    assert act(lead, scene.version, "retire", reason="its provider has deleted it").json()["code"] == "wrong_state"
    assert AuditEvent.objects.filter(event="version.retired", actor_kind="token").count() == 1
    assert act(lead, scene.version, "archive", reason="it exists after all").json()["lifecycle"] == "archived"


def test_providers_date_is_recorded_and_taken_away(scene: Scene, lead: CheckedClient) -> None:
    answer = act(lead, scene.version, "provider-retirement", at="2027-06-01T00:00:00+02:00")
    assert (answer.status_code, answer.json()["provider_retires_at"]) == (200, "2027-05-31T22:00:00Z")
    assert act(lead, scene.version, "provider-retirement", at=None).json()["provider_retires_at"] is None
    assert AuditEvent.objects.filter(event="version.provider_retirement_set").count() == 2


@pytest.mark.parametrize(
    ("name", "body", "field"),
    [
        ("retire", {}, "reason"),
        ("retire", {"reason": " "}, "reason"),
        ("retire", {"reason": "x"}, "reason"),
        ("retire", {"reason": "because", "force": True}, "force"),
        ("archive", {"reason": "y" * 1001}, "reason"),
        ("provider-retirement", {}, "at"),
        ("provider-retirement", {"at": "soon"}, "at"),
        ("provider-retirement", {"at": "9999-01-01T00:00:00Z"}, "at"),
    ],
)
def test_body_that_cannot_be_is_refused(name: str, body: dict[str, Any], field: str, scene: Scene, lead: CheckedClient) -> None:
    answer = act(lead, scene.version, name, **body)
    assert (answer.status_code, list(answer.json()["fields"])) == (422, [field])
    assert Version.objects.values("lifecycle", "provider_retires_at").get(pk=scene.version.pk) == {"lifecycle": "archived", "provider_retires_at": None}


@pytest.mark.parametrize("name", ["retire", "archive", "provider-retirement"])
def test_acts_are_for_platform_leads_and_administrators_with_the_scope(name: str, scene: Scene, cast: Cast, by_token: Caller) -> None:
    version = VersionFactory(artefact=scene.artefact, label="new")
    body = {"at": None} if name == "provider-retirement" else {"reason": "as it is"}
    for who in ("on_call", "leadership", "auditor", "stranger"):
        assert act(by_token(getattr(cast, who)), version, name, **body).status_code == 403, who
    assert act(by_token(cast.admin, scopes=("read", "release", "route")), version, name, **body).status_code == 403
    assert Version.objects.get(pk=version.pk).lifecycle == "registered"
    assert act(by_token(cast.admin, scopes=("register",)), version, name, **body).status_code == 200


def test_version_of_another_artefact_is_not_found(scene: Scene, lead: CheckedClient) -> None:
    other = make_scene("other").artefact
    address = f"/api/v1/artefacts/{other.slug}/versions/{scene.version.pk}/retire/"
    assert lead.post(address, {"reason": "as it is"}, format="json").json()["code"] == "version_not_found"


def test_window_is_no_setting_of_the_api(scene: Scene, lead: CheckedClient) -> None:
    address = f"/api/v1/artefacts/{scene.artefact.slug}/"
    for method in (lead.post, lead.put, lead.patch):
        assert method(address, {"retention_days": 1}, format="json").status_code in (403, 405)
    assert Artefact.objects.get(pk=scene.artefact.pk).retention_days is None
