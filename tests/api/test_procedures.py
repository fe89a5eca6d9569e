"""Procedures over the API: reading them, and the next version."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rollbackhub.audit.models import AuditEvent
from rollbackhub.executions.models import Procedure, ProcedureVersion
from rollbackhub.executions.procedures import REDEPLOY, WEIGHT_FLIP
from rollbackhub.registry.models import Artefact
from rollbackhub.routing.models import RoutingPolicy
from tests.api.conftest import Caller
from tests.api.openapi import CheckedClient
from tests.factories.fixtures import Cast
from tests.factories.registry import ArtefactFactory
from tests.factories.routing import RoutingPolicyFactory

PROCEDURES = "/api/v1/procedures/"
FLIP = f"{PROCEDURES}model-weight-flip/"


@pytest.fixture
def flip(db: None) -> Procedure:
    """The gateways' procedure for models, as it comes with the product."""
    return Procedure.objects.get(slug="model-weight-flip")


@pytest.fixture
def lead(cast: Cast, by_token: Caller) -> CheckedClient:
    """A lead, by a token with every scope."""
    return by_token(cast.lead)


def newest(procedure: Procedure) -> ProcedureVersion:
    """Its present version."""
    return procedure.versions.order_by("-number")[0]


def steps(**params: Any) -> list[dict[str, Any]]:
    """The built-in steps, the drain's with other parameters."""
    return [{**step, "params": params} if step["key"] == "drain" else step for step in WEIGHT_FLIP]


def body(**changes: Any) -> dict[str, Any]:
    """A version as a script sends it."""
    return {"steps": steps(limit_seconds=90), "based_on": 1, "reason": "Clients drain slowly"} | changes


def post(client: CheckedClient, content: Any, *, to: str = FLIP, **headers: Any) -> Any:
    """As JSON with escapes."""
    return client.post(f"{to}versions/", json.dumps(content), content_type="application/json", **headers)


def test_list_names_each_with_its_use_and_pages(flip: Procedure, cast: Cast, by_token: Caller) -> None:
    RoutingPolicyFactory(artefact=ArtefactFactory(change_type="model"))
    client = by_token(cast.auditor, scopes=("read",))
    rows = {row["slug"]: row for row in client.get(PROCEDURES).json()["results"]}
    row = rows[flip.slug]
    assert (row["change_type"], row["connector"], row["artefact"], row["aliases"]) == ("model", "", None, RoutingPolicy.objects.count())
    assert (row["current_version"], row["step_count"], row["url"]) == (1, 10, FLIP)
    assert list(rows) == sorted(rows)
    page = client.get(PROCEDURES, {"page_size": 2}).json()
    assert len(page["results"]) == 2
    assert client.get(page["next"]).json()["results"][0]["slug"] not in [found["slug"] for found in page["results"]]


def test_list_filters(flip: Procedure, lead: CheckedClient) -> None:
    artefact: Artefact = ArtefactFactory(slug="own-model", change_type="model")
    own = Procedure.objects.create(slug="own", name="Own", change_type="model", artefact=artefact)

    def slugs(**query: str) -> set[str]:
        return {row["slug"] for row in lead.get(PROCEDURES, query).json()["results"]}

    assert slugs(connector="", change_type="model") == {flip.slug, own.slug}
    assert slugs(artefact="own-model") == {"own"}
    assert slugs(connector="nothing") == set()
    row = next(row for row in lead.get(PROCEDURES, {"artefact": "own-model"}).json()["results"])
    assert (row["current_version"], row["step_count"], row["aliases"]) == (None, 0, 0)
    assert lead.get(PROCEDURES, {"change_type": "party"}).status_code == 422
    assert lead.get(PROCEDURES, {"connector": "\x00"}).status_code == 422


def test_list_asks_the_database_as_often_for_many(lead: CheckedClient, django_assert_max_num_queries: Any) -> None:
    lead.get(PROCEDURES)
    for index in range(20):
        artefact = ArtefactFactory(slug=f"model-{index}", change_type="model")
        procedure = Procedure.objects.create(slug=f"own-{index}", name="Own", change_type="model", artefact=artefact)
        ProcedureVersion.objects.create(procedure=procedure, number=1, steps=WEIGHT_FLIP, content_hash="x")
        RoutingPolicyFactory(alias=f"alias-{index}", artefact=artefact)
    with django_assert_max_num_queries(10):
        assert len(lead.get(PROCEDURES).json()["results"]) > 20


def test_one_has_its_versions_and_an_etag(flip: Procedure, lead: CheckedClient) -> None:
    assert post(lead, body()).status_code == 201
    response = lead.get(FLIP)
    versions = response.json()["versions"]
    assert [version["number"] for version in versions] == [2, 1]
    assert "Lee Lead" in versions[0]["author"]
    assert (versions[0]["reason"], versions[1]["author"]) == ("Clients drain slowly", "")
    assert versions[1]["steps"][0]["kinds"] == ["drill", "rollback", "rehearsal"]
    assert versions[0]["steps"][6]["params"] == {"limit_seconds": 90}
    assert lead.get(FLIP, headers={"If-None-Match": response.headers["ETag"]}).status_code == 304
    missing = lead.get(f"{PROCEDURES}nothing/")
    assert (missing.status_code, missing.json()["code"]) == (404, "procedure_not_found")


def test_version_is_written_with_author_reason_and_warnings(flip: Procedure, lead: CheckedClient) -> None:
    content = body(steps=[step for step in steps(limit_seconds=90) if step["key"] != "verify"])
    response = post(lead, content)
    assert response.status_code == 201
    assert response.headers["Location"] == FLIP
    answer = response.json()
    assert answer["version"]["number"] == 2
    assert [remark["code"] for remark in answer["warnings"]] == ["no_verify"]
    version = newest(flip)
    assert version.steps == content["steps"]
    assert version.reason == "Clients drain slowly"
    assert "Lee Lead" in version.author_label
    assert AuditEvent.objects.filter(event="procedure.version_appended").latest("id").data["reason"] == "Clients drain slowly"


def test_version_that_does_the_same_writes_nothing(flip: Procedure, lead: CheckedClient) -> None:
    response = post(lead, body(steps=steps(limit_seconds=60.0, consecutive=3)))
    assert response.status_code == 200
    assert response.json()["version"]["number"] == 1
    assert flip.versions.count() == 1


def test_version_sent_again_with_its_key_is_written_once(flip: Procedure, lead: CheckedClient) -> None:
    first = post(lead, body(), headers={"Idempotency-Key": "a-1"})
    again = post(lead, body(), headers={"Idempotency-Key": "a-1"})
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert flip.versions.count() == 2


@pytest.mark.parametrize("based_on", [0, 2, 2**31 - 1])
def test_version_that_began_elsewhere_is_a_conflict(based_on: int, flip: Procedure, lead: CheckedClient) -> None:
    response = post(lead, body(based_on=based_on))
    assert (response.status_code, response.json()["code"], response.json()["current_version"]) == (409, "procedure_moved", 1)
    assert flip.versions.count() == 1


def changed(place: int, **values: Any) -> list[Any]:
    """The built-in steps, one of them otherwise."""
    return [{**step, **values} if index == place else step for index, step in enumerate(WEIGHT_FLIP)]


@pytest.mark.parametrize(
    ("content", "field"),
    [
        ({"steps": []}, "steps"),
        ({"steps": "x"}, "steps"),
        ({"steps": {}}, "steps"),
        ({"steps": [1]}, "steps.0"),
        ({"steps": [None]}, "steps.0"),
        ({"steps": [[]]}, "steps.0"),
        ({"steps": [WEIGHT_FLIP[0]] * 41}, "steps"),
        ({"steps": changed(6, params={"limit_seconds": "soon"})}, "steps.6.params.limit_seconds"),
        ({"steps": changed(6, params={"limit_seconds": 0})}, "steps.6.params.limit_seconds"),
        ({"steps": changed(6, params={"nonsense": 1})}, "steps.6.params.nonsense"),
        ({"steps": changed(6, params=[1])}, "steps.6.params"),
        ({"steps": changed(4, action="rm_rf")}, "steps.4.action"),
        ({"steps": changed(4, action=7)}, "steps.4.action"),
        ({"steps": changed(4, key=["x"])}, "steps.4.key"),
        ({"steps": changed(4, title="x" * 10_000)}, "steps.4.title"),
        ({"steps": changed(4, title="a\x00b")}, "steps.4.title"),
        ({"steps": changed(4, title="a\ud800b")}, "steps.4.title"),
        ({"steps": changed(4, kinds=[])}, "steps.4.kinds"),
        ({"steps": changed(4, kinds="drill")}, "steps.4.kinds"),
        ({"steps": changed(5, action="await_observed")}, "steps.5.action"),
        ({"steps": REDEPLOY}, "steps.2.action"),
        ({"steps": changed(4, starts_clock=False)}, "steps"),
        ({"based_on": None}, "based_on"),
        ({"based_on": -1}, "based_on"),
        ({"based_on": "x"}, "based_on"),
        ({"reason": ""}, "reason"),
        ({"reason": "   "}, "reason"),
        ({"reason": "x" * 301}, "reason"),
        ({"reason": "a\x00b"}, "reason"),
        ({"nonsense": 1}, "nonsense"),
    ],
)
def test_version_that_cannot_be_used_is_refused_at_its_field(content: dict[str, Any], field: str, flip: Procedure, lead: CheckedClient) -> None:
    response = post(lead, body(**content))
    assert response.status_code == 422, response.content
    assert field in response.json()["fields"], response.json()["fields"]
    assert flip.versions.count() == 1


@pytest.mark.parametrize("who", ["on_call", "auditor", "leadership", "stranger"])
def test_version_by_others_is_refused(who: str, flip: Procedure, cast: Cast, by_token: Caller) -> None:
    assert post(by_token(getattr(cast, who)), body()).status_code == 403
    assert flip.versions.count() == 1


def test_version_by_a_token_needs_the_scope(flip: Procedure, cast: Cast, by_token: Caller) -> None:
    assert post(by_token(cast.lead, scopes=("read", "route")), body()).status_code == 403
    assert post(by_token(cast.lead, scopes=("configure",)), body()).status_code == 201


def test_version_of_a_procedure_that_is_not_there(lead: CheckedClient) -> None:
    response = post(lead, body(), to=f"{PROCEDURES}nothing/")
    assert (response.status_code, response.json()["code"]) == (404, "procedure_not_found")


def test_procedure_without_a_version_gets_its_first(lead: CheckedClient) -> None:
    artefact = ArtefactFactory(slug="own-model", change_type="model")
    own = Procedure.objects.create(slug="own", name="Own", change_type="model", artefact=artefact)
    assert post(lead, body(based_on=0), to=f"{PROCEDURES}own/").status_code == 201
    assert newest(own).number == 1
