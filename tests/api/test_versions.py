"""Versions over the API: the way in for a CI."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest

from rollbackhub.audit.models import AuditEvent
from rollbackhub.common.clock import now
from rollbackhub.registry.enums import Lifecycle
from rollbackhub.registry.models import Artefact, Version
from tests.api.conftest import Caller
from tests.api.openapi import CheckedClient
from tests.factories.fixtures import Cast
from tests.factories.registry import ArtefactFactory, VersionFactory

VERSIONS = "/api/v1/versions/"


@pytest.fixture
def reasoner(db: None) -> Artefact:
    """An artefact with one version."""
    artefact: Artefact = ArtefactFactory(slug="reasoner")
    VersionFactory(artefact=artefact, label="v1", digest="sha256:1")
    return artefact


@pytest.fixture
def ci(cast: Cast, by_token: Caller) -> CheckedClient:
    """A CI: a token that may read and register."""
    return by_token(cast.on_call, scopes=("read", "register"))


def body(**changes: Any) -> dict[str, Any]:
    """A version as a CI sends it."""
    return {"artefact": "reasoner", "label": "v2", "digest": "sha256:2", "parent": "v1", "author": "Ada", "changelog": "Shorter\nanswers"} | changes


def post(client: CheckedClient, content: dict[str, Any], **headers: Any) -> Any:
    """As JSON with escapes, as CIs write it."""
    return client.post(VERSIONS, json.dumps(content), content_type="application/json", **headers)


def test_version_new_is_registered_with_all_that_was_sent(reasoner: Artefact, ci: CheckedClient) -> None:
    response = post(ci, body(uri="oci://registry.example/reasoner@sha256:2", eval_reference="https://evals.example/7", is_strategic=True))
    assert response.status_code == 201
    row = response.json()
    assert response.headers["Location"] == row["url"]
    wanted = {
        "artefact": "reasoner",
        "label": "v2",
        "digest": "sha256:2",
        "uri": "oci://registry.example/reasoner@sha256:2",
        "eval_reference": "https://evals.example/7",
        "author": "Ada",
        "changelog": "Shorter\nanswers",
        "parent": "v1",
        "lifecycle": "registered",
        "is_strategic": True,
        "superseded_at": None,
        "retained_until": None,
        "provider_retires_at": None,
    }
    assert {name: row[name] for name in wanted} == wanted
    assert ci.get(row["url"]).json() == row
    event = AuditEvent.objects.get(event="version.registered")
    assert (event.actor_kind, event.subject_id, event.data["digest"], event.data["parent"]) == ("token", str(row["id"]), "sha256:2", "v1")


def test_version_same_label_and_digest_again_is_the_same_version(reasoner: Artefact, ci: CheckedClient) -> None:
    first = post(ci, body()).json()
    again = post(ci, body(changelog="another text", parent=None))
    assert (again.status_code, again.json()) == (200, first)
    assert again.headers["Location"] == first["url"]
    assert AuditEvent.objects.filter(event="version.registered").count() == 1


def test_version_same_label_other_digest_is_a_409_that_names_both(reasoner: Artefact, ci: CheckedClient) -> None:
    response = post(ci, body(label="v1", parent=None))
    problem = response.json()
    assert (response.status_code, problem["code"]) == (409, "version_exists")
    assert "sha256:1" in problem["detail"]
    assert "sha256:2" in problem["detail"]
    version = Version.objects.get()
    assert (problem["version_id"], problem["digest"], problem["your_digest"]) == (version.pk, "sha256:1", "sha256:2")
    assert ci.get(problem["api_url"]).json()["label"] == "v1"
    assert version.digest == "sha256:1"


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"artefact": "unknown"}, "artefact", "There is no artefact unknown"),
        ({"artefact": "no slug!"}, "artefact", "slug"),
        ({"label": ""}, "label", "blank"),
        ({"label": "v 2"}, "label", "spaces"),
        ({"label": "x" * 121}, "label", "120"),
        ({"label": "v\u202e2"}, "label", "cannot be shown"),
        ({"digest": "sha256:2 3"}, "digest", "spaces"),
        ({"digest": "x" * 101}, "digest", "100"),
        ({"uri": "https://ada:hunter2@models.example/2"}, "uri", "password"),
        ({"uri": "https://models.example/2?X-Amz-Signature=abc"}, "uri", "password"),
        ({"eval_reference": "see https://evals.example/7?api_key=abc"}, "eval_reference", "password"),
        ({"changelog": "from git://ada:hunter2@git.example/"}, "changelog", "password"),
        ({"changelog": "x" * 20_001}, "changelog", "20000"),
        ({"changelog": "bell \u0007"}, "changelog", "cannot be shown"),
        ({"changelog": "half \ud800"}, "changelog", "urrogate"),
        ({"author": "x" * 201}, "author", "200"),
        ({"parent": "v9"}, "parent", "v9 is not a version of reasoner"),
        ({"parent": "v2"}, "parent", "from itself"),
        ({"is_strategic": "perhaps"}, "is_strategic", "boolean"),
        ({"lifecycle": "live"}, "lifecycle", "Unknown"),
    ],
)
def test_version_that_cannot_be_is_a_422_by_field(changes: dict[str, Any], field: str, words: str, reasoner: Artefact, ci: CheckedClient) -> None:
    response = post(ci, body(**changes))
    assert response.status_code == 422
    assert words in " ".join(response.json()["fields"][field])
    assert Version.objects.count() == 1


def test_version_parent_of_another_artefact_is_refused(reasoner: Artefact, ci: CheckedClient) -> None:
    VersionFactory(artefact=ArtefactFactory(slug="other"), label="v0")
    assert "v0 is not a version of reasoner" in post(ci, body(parent="v0")).json()["fields"]["parent"][0]


def test_version_several_wrong_fields_are_all_named(reasoner: Artefact, ci: CheckedClient) -> None:
    fields = post(ci, body(label="v 2", digest="a b", author="x\u0000")).json()["fields"]
    assert "author" in fields
    assert set(post(ci, body(label="v 2", digest="a b")).json()["fields"]) == {"label", "digest"}


def test_version_idempotency_key_acts_once(reasoner: Artefact, ci: CheckedClient) -> None:
    first = post(ci, body(), HTTP_IDEMPOTENCY_KEY="build-7")
    again = post(ci, body(), HTTP_IDEMPOTENCY_KEY="build-7")
    assert (first.status_code, again.status_code, again.json()) == (201, 201, first.json())
    assert again.headers["Idempotent-Replayed"] == "true"
    assert post(ci, body(label="v3"), HTTP_IDEMPOTENCY_KEY="build-7").json()["code"] == "idempotency_key_reused"
    # What was refused is not kept: mended, the key goes on.
    assert post(ci, body(label="v1", parent=None), HTTP_IDEMPOTENCY_KEY="build-8").status_code == 409
    assert post(ci, body(label="v4"), HTTP_IDEMPOTENCY_KEY="build-8").status_code == 201


@pytest.mark.parametrize(("name", "status"), [("on_call", 201), ("lead", 201), ("admin", 201), ("leadership", 403), ("auditor", 403), ("stranger", 403)])
def test_version_who_may_register(name: str, status: int, reasoner: Artefact, cast: Cast, by_session: Caller) -> None:
    assert post(by_session(getattr(cast, name)), body()).status_code == status
    assert Version.objects.count() == (2 if status == 201 else 1)


def test_version_token_without_the_scope_and_nobody_are_refused(reasoner: Artefact, cast: Cast, by_token: Caller, anonymous: CheckedClient) -> None:
    assert post(by_token(cast.admin, scopes=("read", "drill", "route", "rollback", "release")), body()).status_code == 403
    assert post(anonymous, body()).status_code == 401
    assert anonymous.get(VERSIONS).status_code == 401
    assert by_token(cast.stranger).get(VERSIONS).status_code == 403
    assert Version.objects.count() == 1


def test_versions_of_all_artefacts_newest_first_and_filtered(reasoner: Artefact, ci: CheckedClient) -> None:
    old = VersionFactory(artefact=ArtefactFactory(slug="prompt", retention_days=30), label="p1", lifecycle=Lifecycle.SUPERSEDED, superseded_at=now())

    def labels(**query: str) -> list[str]:
        return [row["label"] for row in ci.get(VERSIONS, query).json()["results"]]

    assert labels() == ["p1", "v1"]
    assert labels(artefact="reasoner") == ["v1"]
    assert labels(lifecycle="superseded") == labels(label="p1") == ["p1"]
    assert labels(artefact="reasoner", lifecycle="superseded") == []
    assert ci.get(VERSIONS, {"lifecycle": "gone"}).status_code == 422
    assert ci.get(VERSIONS, {"colour": "red"}).status_code == 422
    row = ci.get(VERSIONS, {"label": "p1"}).json()["results"][0]
    until = dt.datetime.fromisoformat(row["retained_until"])
    assert until - dt.datetime.fromisoformat(row["superseded_at"]) == dt.timedelta(days=30)
    assert until == old.superseded_at + dt.timedelta(days=30)


def test_versions_page_without_gaps_in_a_fixed_number_of_queries(reasoner: Artefact, ci: CheckedClient, django_assert_num_queries: Any) -> None:
    VersionFactory.create_batch(6, artefact=reasoner)
    VersionFactory(artefact=reasoner, parent=VersionFactory(artefact=ArtefactFactory(slug="other")))
    ci.get("/api/v1/me/")
    seen: list[int] = []
    url: str | None = f"{VERSIONS}?page_size=4"
    while url:
        with django_assert_num_queries(3):
            page = ci.get(url).json()
        seen += [row["id"] for row in page["results"]]
        url = page["next"]
    assert sorted(seen) == sorted(Version.objects.values_list("pk", flat=True))
    assert len(seen) == 9
