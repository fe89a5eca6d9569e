"""Every text that people send: what cannot be shown is refused in words where they wrote it, never an error of ours, and nothing is kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from rollbackhub.audit.models import AuditEvent
from rollbackhub.executions.models import ProcedureVersion
from rollbackhub.executions.procedures import WEIGHT_FLIP
from rollbackhub.registry.domain.checks import checks_digest
from rollbackhub.registry.models import Artefact
from rollbackhub.routing.models import RoutingPolicy
from tests.api.conftest import Caller
from tests.factories.fixtures import Cast
from tests.factories.registry import VersionFactory
from tests.rollbacks.conftest import seed_production

HIDDEN = ["\x00", "\x01", "\u202e"]
Body = Callable[[str], dict[str, Any]]
ARTEFACT = "smart-reasoner-artefact"


def _steps(title: str) -> list[dict[str, Any]]:
    return [{**WEIGHT_FLIP[0], "title": title}, *WEIGHT_FLIP[1:]]


def _newest(slug: str) -> int:
    return ProcedureVersion.objects.filter(procedure__slug=slug).latest("number").number


def _coordinated(**changes: Any) -> dict[str, Any]:
    steps = [{"alias": "smart-reasoner", "why": changes.pop("why", "")}, {"alias": "answers-corpus", "why": ""}]
    wanted = {"slug": "both", "name": "Both of them", "environment": "production", "steps": steps}
    return wanted | {"no_return_before": "answers-corpus", "no_return_because": "The table is vacuumed."} | changes


def _checks(check: dict[str, Any], reason: str = "why") -> dict[str, Any]:
    return {"checks": [{"kind": "traffic_share", "key": "traffic"} | check], "based_on": checks_digest(Artefact.objects.get(slug=ARTEFACT)), "reason": reason}


def _revision(reason: str = "why", suffix: str = "") -> dict[str, Any]:
    policy = RoutingPolicy.objects.get(alias="smart-reasoner", environment__slug="staging")
    return {
        "expected_revision": policy.revision_number,
        "reason": reason,
        "candidates": [{"id": f"anthropic:v1:ap-south-1{suffix}", "version_pin": "v1", "weight": 100}],
    }


# Where, the place of the field, and the body with a text in it. Names are refused for marks of direction, too.
NAMES: dict[str, tuple[str, str, Body]] = {
    "title of a check": (f"/api/v1/artefacts/{ARTEFACT}/checks/", "checks.0.title", lambda text: _checks({"title": text})),
    "title of a version's step": (
        "/api/v1/procedures/model-weight-flip/versions/",
        "steps.0.title",
        lambda text: {"steps": _steps(text), "based_on": 1, "reason": "why"},
    ),
    "name of a coordinated procedure": ("/api/v1/coordinated-procedures/", "name", lambda text: _coordinated(name=text)),
    "why of a place": ("/api/v1/coordinated-procedures/", "steps.0.why", lambda text: _coordinated(why=text)),
    "why there is no return": ("/api/v1/coordinated-procedures/", "no_return_because", lambda text: _coordinated(no_return_because=text)),
    "author of a version": (
        "/api/v1/versions/",
        "author",
        lambda text: {"artefact": ARTEFACT, "label": "v9", "author": text},
    ),
    "changelog of a version": (
        "/api/v1/versions/",
        "changelog",
        lambda text: {"artefact": ARTEFACT, "label": "v9", "changelog": text},
    ),
    "candidate of a policy": ("/api/v1/policies/staging/smart-reasoner/revisions/", "candidates.0", lambda text: _revision(suffix=text.replace(" ", ""))),
}
REASONS: dict[str, tuple[str, str, Body]] = {
    "reason of checks": (f"/api/v1/artefacts/{ARTEFACT}/checks/", "reason", lambda text: _checks({}, reason=text)),
    "reason of a procedure's version": (
        "/api/v1/procedures/model-weight-flip/versions/",
        "reason",
        lambda text: {"steps": _steps("Look before acting"), "based_on": _newest("model-weight-flip"), "reason": text},
    ),
    "reason of a revision": ("/api/v1/policies/staging/smart-reasoner/revisions/", "reason", lambda text: _revision(reason=text)),
    "reason of a rollback": ("/api/v1/rollbacks/", "reason", lambda text: {"environment": "production", "alias": "smart-reasoner", "reason": text}),
    "how it was detected": (
        "/api/v1/rollbacks/",
        "detected_by",
        lambda text: {"environment": "production", "alias": "smart-reasoner", "reason": "it fails", "detected_by": text},
    ),
    "note of a drill": ("/api/v1/drills/", "note", lambda text: {"alias": "smart-reasoner", "note": text}),
    "note of a release": ("/api/v1/releases/", "note", lambda text: {"alias": "smart-reasoner", "to_version": "v3", "note": text}),
}


@pytest.fixture
def world(reasoner: RoutingPolicy, corpus: RoutingPolicy) -> None:
    """smart-reasoner in both environments, a second alias, and a version to release."""
    seed_production("model", alias="smart-reasoner", environment="staging")
    VersionFactory(artefact=reasoner.artefact, label="v3")


def send(client: Any, address: str, content: dict[str, Any]) -> Any:
    return client.post(address, json.dumps(content), content_type="application/json")


@pytest.mark.parametrize("hidden", HIDDEN, ids=ascii)
@pytest.mark.parametrize("what", NAMES)
@pytest.mark.usefixtures("world")
def test_names_with_what_cannot_be_shown_are_refused_at_their_place(what: str, hidden: str, cast: Cast, by_token: Caller) -> None:
    address, place, body = NAMES[what]
    client = by_token(cast.lead)
    before = AuditEvent.objects.count()
    answer = send(client, address, body(f"Support{hidden} release"))
    assert answer.status_code == 422, answer.content
    assert [name for name in answer.json()["fields"] if name.startswith(place)], answer.json()
    assert AuditEvent.objects.count() == before


@pytest.mark.parametrize("hidden", ["\x00", "\x01"], ids=ascii)
@pytest.mark.parametrize("what", REASONS)
@pytest.mark.usefixtures("world")
def test_reasons_with_what_cannot_be_shown_are_refused_at_their_place(what: str, hidden: str, cast: Cast, by_token: Caller) -> None:
    address, place, body = REASONS[what]
    before = AuditEvent.objects.count()
    answer = send(by_token(cast.lead), address, body(f"it fails{hidden} badly"))
    assert answer.status_code == 422, answer.content
    assert list(answer.json()["fields"]) == [place]
    assert AuditEvent.objects.count() == before


@pytest.mark.parametrize("what", REASONS)
@pytest.mark.usefixtures("world")
def test_reasons_lose_marks_of_direction_and_are_taken(what: str, cast: Cast, by_token: Caller) -> None:
    address, _, body = REASONS[what]
    answer = send(by_token(cast.lead), address, body("it \u202efails badly"))
    assert answer.status_code in (200, 201), answer.content
    assert "\u202e" not in answer.content.decode()
    assert not any("\u202e" in json.dumps(data, ensure_ascii=False) for data in AuditEvent.objects.values_list("data", flat=True))
