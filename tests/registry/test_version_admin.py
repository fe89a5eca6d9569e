"""Versions, windows and artefacts in the admin."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from rollbackhub.audit.models import AuditEvent
from rollbackhub.registry.models import Artefact, Environment, RetentionRule, Version
from tests.admin.addresses import address
from tests.factories.fixtures import Cast
from tests.factories.registry import ArtefactFactory, EnvironmentFactory, VersionFactory


@pytest.fixture
def admin(cast: Cast, client: Client) -> Client:
    """The administrator's browser."""
    client.force_login(cast.admin)
    return client


def errors_of(answer: Any) -> dict[str, Any]:
    """What the form says."""
    assert answer.status_code == 200
    return dict(answer.context["adminform"].form.errors)


def test_version_added_goes_the_way_of_all_versions(admin: Client) -> None:
    artefact = ArtefactFactory(slug="reasoner")
    parent = VersionFactory(artefact=artefact, label="v1")
    values = {"artefact": artefact.pk, "label": "v2", "digest": "sha256:2", "author": "Ada", "parent": parent.pk, "is_strategic": "on"}
    response = admin.post(address(Version, "add"), values)
    assert response.status_code == 302
    version = Version.objects.get(label="v2")
    assert (version.parent, version.author, version.is_strategic) == (parent, "Ada", True)
    event = AuditEvent.objects.get(event="version.registered")
    assert (event.subject_id, event.actor_label) == (str(version.pk), "Adam Key")
    text = admin.get(address(Version, "change", version.pk)).content.decode()
    assert "sha256:2" in text
    assert "Provider retires at" in text
    assert 'name="label"' not in text, "a version never changes"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"label": "v 2"}, "label"),
        ({"uri": "https://ada:hunter2@models.example/"}, "uri"),
        ({"digest": "a b"}, "digest"),
        ({"author": "Ada\u202e"}, "author"),
    ],
)
def test_version_that_cannot_be_is_refused_by_field(changes: dict[str, str], field: str, admin: Client) -> None:
    values = {"artefact": ArtefactFactory().pk, "label": "v2", **changes}
    assert field in errors_of(admin.post(address(Version, "add"), values))
    assert not Version.objects.exists()


def test_version_parent_of_another_artefact_is_refused_though_the_label_is_there(admin: Client) -> None:
    artefact = ArtefactFactory(slug="reasoner")
    VersionFactory(artefact=artefact, label="v1")
    stranger = VersionFactory(artefact=ArtefactFactory(slug="other"), label="v1")
    assert "parent" in errors_of(admin.post(address(Version, "add"), {"artefact": artefact.pk, "label": "v2", "parent": stranger.pk}))
    assert not Version.objects.filter(label="v2").exists()


def test_version_label_that_is_taken_is_refused(admin: Client) -> None:
    version = VersionFactory(label="v1")
    assert errors_of(admin.post(address(Version, "add"), {"artefact": version.artefact_id, "label": "v1", "digest": "other"}))
    version.refresh_from_db()
    assert version.digest == "sha256:v1"


@pytest.mark.parametrize(("days", "taken"), [("29", False), ("30", True), ("3650", True), ("3651", False), ("", False), ("-5", False), ("99999999999", False)])
def test_retention_window_of_a_change_type(days: str, taken: bool, admin: Client) -> None:
    rule = RetentionRule.objects.get(change_type="model")
    response = admin.post(address(RetentionRule, "change", rule.pk), {"days": days, "change_type": "prompt"})
    rule.refresh_from_db()
    if taken:
        assert (response.status_code, rule.days, rule.change_type) == (302, int(days), "model")
        assert AuditEvent.objects.get(event="registry.retentionrule.changed").data["fields"] == [{"field": "days", "before": 90, "after": int(days)}]
    else:
        assert "days" in errors_of(response)
        assert rule.days == 90
    assert admin.get(address(RetentionRule, "add")).status_code == 403
    assert admin.post(address(RetentionRule, "delete", rule.pk), {"post": "yes"}).status_code == 403


def test_retention_window_of_an_artefact(admin: Client) -> None:
    artefact = ArtefactFactory()
    values = {"name": artefact.name, "team": artefact.team.pk, "stakes": artefact.stakes, "hold_days": "7"}
    for nonsense in ("29", "0", "3651", "a month"):
        assert "retention_days" in errors_of(admin.post(address(Artefact, "change", artefact.pk), values | {"retention_days": nonsense}))
    assert admin.post(address(Artefact, "change", artefact.pk), values | {"retention_days": "45"}).status_code == 302
    artefact.refresh_from_db()
    assert artefact.retention_days == 45
    assert admin.post(address(Artefact, "change", artefact.pk), values | {"retention_days": ""}).status_code == 302
    artefact.refresh_from_db()
    assert artefact.retention_days is None


def test_environment_may_be_told_to_take_new_versions_without_a_release(admin: Client) -> None:
    environment = EnvironmentFactory(slug="production", releases_only=True)
    assert admin.post(address(Environment, "change", environment.pk), {"name": "Production"}).status_code == 302
    environment.refresh_from_db()
    assert environment.releases_only is False
    event = AuditEvent.objects.get(event="registry.environment.changed")
    assert event.data["fields"] == [{"field": "releases_only", "before": True, "after": False}]
