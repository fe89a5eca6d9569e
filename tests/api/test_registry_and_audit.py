"""Artefacts, versions and audit events over the API."""

from __future__ import annotations

from typing import Any

import pytest

from rollbackhub.audit.domain.sequence import sequence_pending
from rollbackhub.audit.models import AuditEvent, AuditLeaf
from tests.api.conftest import Caller
from tests.api.openapi import CheckedClient
from tests.factories.accounts import TeamFactory
from tests.factories.audit import AuditEventFactory
from tests.factories.fixtures import Cast
from tests.factories.registry import ArtefactFactory, VersionFactory

ARTEFACTS, EVENTS = "/api/v1/artefacts/", "/api/v1/audit/events/"


def test_artefacts_and_their_versions(db: None, on_call: CheckedClient) -> None:
    artefact = ArtefactFactory(slug="reasoner", stakes="high", target_seconds=120)
    version = VersionFactory(artefact=artefact, label="claude/4.5 beta", changelog="better")
    VersionFactory(artefact=artefact, label="old", lifecycle="retired")
    ArtefactFactory(slug="answerer", change_type="prompt", team=TeamFactory(slug="search"))
    rows = on_call.get(ARTEFACTS).json()["results"]
    assert [row["slug"] for row in rows] == ["answerer", "reasoner"]
    one = on_call.get(rows[1]["url"]).json()
    assert one == rows[1]
    assert (one["stakes"], one["target_seconds"], one["team"]["slug"]) == ("high", 120, "platform")
    versions = on_call.get(one["versions_url"]).json()["results"]
    assert {row["label"] for row in versions} == {"claude/4.5 beta", "old"}
    found = on_call.get(one["versions_url"], {"label": "claude/4.5 beta"}).json()["results"]
    assert [row["id"] for row in found] == [version.pk]
    assert on_call.get(found[0]["url"]).json()["changelog"] == "better"
    assert [row["label"] for row in on_call.get(one["versions_url"], {"lifecycle": "retired"}).json()["results"]] == ["old"]
    assert [row["slug"] for row in on_call.get(ARTEFACTS, {"team": "search"}).json()["results"]] == ["answerer"]
    assert [row["slug"] for row in on_call.get(ARTEFACTS, {"change_type": "model"}).json()["results"]] == ["reasoner"]


def test_version_of_another_artefact_is_a_404(db: None, on_call: CheckedClient) -> None:
    version = VersionFactory()
    ArtefactFactory(slug="other")
    assert on_call.get(f"{ARTEFACTS}other/versions/{version.pk}/").json()["code"] == "version_not_found"
    assert on_call.get(f"{ARTEFACTS}other/versions/{10**30}/").status_code == 404


def test_registry_lists_take_a_fixed_number_of_queries(db: None, on_call: CheckedClient, django_assert_num_queries: Any) -> None:
    artefact = ArtefactFactory(slug="reasoner")
    on_call.get("/api/v1/me/")
    for _ in range(2):
        for _ in range(4):
            ArtefactFactory(team=TeamFactory())
            VersionFactory(artefact=artefact)
        with django_assert_num_queries(3):
            on_call.get(ARTEFACTS)
        with django_assert_num_queries(4):
            on_call.get(f"{ARTEFACTS}reasoner/versions/")


@pytest.fixture
def auditor(cast: Cast, by_token: Caller) -> CheckedClient:
    """The auditor, by a token that may read."""
    return by_token(cast.auditor, scopes=("read",))


def test_audit_events_are_newest_first_with_their_leaf_once_they_have_one(db: None, auditor: CheckedClient) -> None:
    first, second = AuditEventFactory(data={"a": [1, None, "ü"]}), AuditEventFactory()
    rows = {row["id"]: row for row in auditor.get(EVENTS).json()["results"]}
    assert list(rows) == sorted(rows, reverse=True)
    assert rows[first.pk]["leaf"] is None
    assert rows[first.pk]["data"] == {"a": [1, None, "ü"]}
    assert sequence_pending() >= 2
    leaf = AuditLeaf.objects.get(event=second)
    body = auditor.get(rows[second.pk]["url"]).json()
    assert body["leaf"]["position"] == leaf.position
    assert body["leaf"]["leaf_hash"] == bytes(leaf.leaf_hash).hex()


def test_audit_event_filters(db: None, auditor: CheckedClient) -> None:
    wanted = AuditEventFactory(event="drill.requested", subject_type="drill", subject_id="7")
    AuditEventFactory(event="drill.requested", subject_type="drill", subject_id="8")
    AuditEventFactory(event="drill.closed", subject_type="drill", subject_id="7")

    def ids(**query: str) -> list[int]:
        return [row["id"] for row in auditor.get(EVENTS, query).json()["results"]]

    assert ids(event="drill.requested", subject_type="drill", subject_id="7") == [wanted.pk]
    assert len(ids(subject_type="drill")) == 3
    assert auditor.get(EVENTS, {"subject_id": "7"}).status_code == 422


def test_audit_events_page_without_gaps(db: None, auditor: CheckedClient, django_assert_num_queries: Any) -> None:
    AuditEventFactory.create_batch(7)
    expected = list(AuditEvent.objects.order_by("-id").values_list("id", flat=True))
    auditor.get("/api/v1/me/")
    seen: list[int] = []
    url: str | None = f"{EVENTS}?page_size=3"
    while url:
        with django_assert_num_queries(3):
            page = auditor.get(url).json()
        seen += [row["id"] for row in page["results"]]
        url = page["next"]
    assert seen == expected
