"""Versions are archived and retired in the admin, one or many: each for itself, with its reasons; and windows below 30 days are refused."""

from __future__ import annotations

import json
from html import unescape

import pytest
from django.test import Client

from rollbackhub.audit.models import AuditEvent
from rollbackhub.registry.models import Artefact, RetentionRule, Version
from tests.admin.addresses import address
from tests.factories.fixtures import Cast
from tests.factories.registry import ArtefactFactory, VersionFactory
from tests.registry.interlocks import REASONS, make_scene

LIST = "/admin/registry/version/"


@pytest.fixture
def admin(cast: Cast, client: Client) -> Client:
    """The administrator's browser."""
    client.force_login(cast.admin)
    return client


def said(answer: object) -> list[tuple[str, str]]:
    return [(message.level_tag, str(message)) for message in answer.context["messages"]]  # type: ignore[attr-defined]


def lifecycles() -> dict[str, str]:
    return dict(Version.objects.values_list("label", "lifecycle"))


def test_bulk_action_retires_the_free_ones_and_names_each_that_is_not(admin: Client) -> None:
    scene = make_scene()
    REASONS["within the window"][1](scene)
    REASONS["hold until lifted"][1](scene)
    free = [VersionFactory(label=f"free-{number}", artefact=scene.artefact) for number in range(2)]
    chosen = [scene.version.pk, scene.other().pk, *(version.pk for version in free)]
    asked = admin.post(LIST, {"action": "retire_selected", "_selected_action": chosen})
    text = unescape(asked.content.decode())
    for words in ("Retire 4 versions?", "under a stability hold", "It serves 100 % of smart-reasoner", f'value="{free[0].pk}"'):
        assert words in text, words
    assert set(lifecycles().values()) == {"archived", "registered"}
    answer = admin.post(
        LIST, {"action": "retire_selected", "_selected_action": chosen, "confirmed": "yes", "reason": "the provider has deleted them"}, follow=True
    )
    messages = said(answer)
    assert sorted(text for level, text in messages if level == "success") == [
        f"free-{number} of smart-reasoner-model is retired: nothing can go back to it any more." for number in range(2)
    ]
    refused = sorted(text for level, text in messages if level == "error")
    assert [text.split(" is still needed")[0] for text in refused] == ["v1", "v2"]
    assert "stability hold" in refused[0]
    assert "window of 90 days" in refused[0]
    assert lifecycles() == {"v1": "archived", "v2": "registered", "free-0": "retired", "free-1": "retired"}
    assert AuditEvent.objects.filter(event="version.retired", data__reason="the provider has deleted them").count() == 2


@pytest.mark.parametrize("act", ["retire", "archive"])
def test_act_without_a_reason_asks_again_and_changes_nothing(act: str, admin: Client) -> None:
    versions = VersionFactory.create_batch(2)
    for reason in ("", " ", "\x00\x00\x00\x00"):
        answer = admin.post(LIST, {"action": f"{act}_selected", "_selected_action": [version.pk for version in versions], "confirmed": "yes", "reason": reason})
        assert answer.status_code == 200
        assert "Say why" in answer.content.decode()
        assert "Say why" in admin.post(f"{LIST}{versions[0].pk}/{act}/", {"confirmed": "yes", "reason": reason}).content.decode()
    assert set(lifecycles().values()) == {"registered"}


def test_version_is_retired_from_its_page_and_taken_back_by_archiving(admin: Client) -> None:
    version = VersionFactory()
    page = f"{LIST}{version.pk}/"
    assert f"{page}retire/" in admin.get(f"{page}change/").content.decode()
    assert f"Retire {version.label}?" in admin.get(f"{page}retire/").content.decode()
    for act, after in (("retire", "retired"), ("archive", "archived")):
        answer = admin.post(f"{page}{act}/", {"confirmed": "yes", "reason": "as the provider says"}, follow=True)
        assert [level for level, _ in said(answer)] == ["success"]
        version.refresh_from_db()
        assert version.lifecycle == after
    assert list(AuditEvent.objects.filter(event__startswith="version.").order_by("pk").values_list("event", flat=True)) == [
        "version.retired",
        "version.archived",
    ]


def test_what_serves_is_not_archived(admin: Client) -> None:
    version = VersionFactory(lifecycle="live")
    answer = admin.post(f"{LIST}{version.pk}/archive/", {"confirmed": "yes", "reason": "tidy up"}, follow=True)
    assert "take its weight away first" in said(answer)[0][1]
    version.refresh_from_db()
    assert version.lifecycle == "live"


@pytest.mark.parametrize("number", ["999999", "x", "-1"])
def test_version_that_is_not_there_is_not_found(number: str, admin: Client) -> None:
    assert admin.get(f"{LIST}{number}/retire/").status_code == 404


@pytest.mark.parametrize("who", ["lead", "on_call", "auditor", "stranger"])
def test_admin_is_for_administrators(who: str, cast: Cast, client: Client) -> None:
    version = VersionFactory()
    client.force_login(getattr(cast, who))
    for where in (f"{LIST}{version.pk}/retire/", f"{LIST}{version.pk}/archive/"):
        assert client.post(where, {"confirmed": "yes", "reason": "as I please"}).status_code in (302, 403)
    client.post(LIST, {"action": "retire_selected", "_selected_action": [version.pk], "confirmed": "yes", "reason": "as I please"})
    version.refresh_from_db()
    assert version.lifecycle == "registered"


@pytest.mark.parametrize("days", ["29", "0", "-1", "soon"])
def test_window_shorter_than_thirty_days_is_refused(days: str, admin: Client) -> None:
    rule = RetentionRule.objects.get(change_type="model")
    answer = admin.post(address(RetentionRule, "change", rule.pk), {"days": days})
    assert "days" in json.dumps(answer.context["adminform"].form.errors)
    artefact = ArtefactFactory()
    values = {"name": artefact.name, "team": artefact.team_id, "stakes": "standard", "hold_days": "7", "retention_days": days}
    answer = admin.post(address(Artefact, "change", artefact.pk), values)
    assert "retention_days" in json.dumps(answer.context["adminform"].form.errors)
    artefact.refresh_from_db()
    rule.refresh_from_db()
    assert (rule.days, artefact.retention_days) == (90, None)
    assert not AuditEvent.objects.filter(event__startswith="registry.").exists()


def test_window_is_changed_and_recorded(admin: Client) -> None:
    rule = RetentionRule.objects.get(change_type="model")
    assert admin.post(address(RetentionRule, "change", rule.pk), {"days": "30"}).status_code == 302
    artefact = ArtefactFactory()
    values = {"name": artefact.name, "team": artefact.team_id, "stakes": "standard", "hold_days": "7", "retention_days": "365"}
    assert admin.post(address(Artefact, "change", artefact.pk), values).status_code == 302
    artefact.refresh_from_db()
    rule.refresh_from_db()
    assert (rule.days, artefact.retention_days) == (30, 365)
    events = AuditEvent.objects.filter(event__startswith="registry.").order_by("pk").values_list("event", "data__fields")
    assert list(events) == [
        ("registry.retentionrule.changed", [{"field": "days", "before": 90, "after": 30}]),
        ("registry.artefact.changed", [{"field": "retention_days", "before": None, "after": 365}]),
    ]
