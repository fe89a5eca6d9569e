"""Coordinated procedures over the API, and rollbacks that follow one."""

from __future__ import annotations

from typing import Any

import pytest

from rollbackhub.audit.models import AuditEvent
from rollbackhub.rollbacks.models import CoordinatedProcedure, Rollback
from rollbackhub.routing.models import RoutingPolicy
from tests.api.conftest import Caller
from tests.api.openapi import CheckedClient
from tests.factories.fixtures import Cast

ALL = "/api/v1/coordinated-procedures/"
ONE = f"{ALL}support-release/"
ROLLBACKS = "/api/v1/rollbacks/"
WANTED = {
    "slug": "support-release",
    "name": "Support release",
    "environment": "production",
    "steps": [{"alias": "smart-reasoner", "why": "Answers first"}, {"alias": "answers-corpus"}],
    "no_return_before": "answers-corpus",
    "no_return_because": "The new table is vacuumed by its rebuild.",
}


@pytest.fixture
def lead(reasoner: RoutingPolicy, corpus: RoutingPolicy, by_token: Caller, cast: Cast) -> CheckedClient:
    """A platform lead, and two aliases."""
    return by_token(cast.lead)


def write(client: CheckedClient, **changes: Any) -> Any:
    return client.post(ALL, WANTED | changes, format="json")


def change(client: CheckedClient, **changes: Any) -> Any:
    whole = {name: value for name, value in WANTED.items() if name not in ("slug", "environment")}
    return client.post(ONE, whole | changes, format="json")


def test_written_one_is_answered_listed_and_changed(lead: CheckedClient) -> None:
    made = write(lead)
    assert (made.status_code, made.headers["Location"]) == (201, ONE)
    body = made.json()
    assert [(step["alias"], step["change_type"], step["why"]) for step in body["steps"]] == [
        ("smart-reasoner", "model", "Answers first"),
        ("answers-corpus", "dataset", ""),
    ]
    assert (body["number"], body["no_return_before"], body["page"]) == (1, "answers-corpus", "/rollbacks/coordinated/support-release/")
    assert lead.get(ONE).json() == body
    assert lead.get(ALL).json()["results"] == [body]
    assert lead.get(f"{ALL}?environment=staging").json()["results"] == []
    changed = change(lead, based_on=1, no_return_before="", no_return_because="")
    assert (changed.status_code, changed.json()["number"], changed.json()["no_return_before"]) == (200, 2, "")


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"steps": [{"alias": "smart-reasoner"}]}, 422, "invalid_coordinated"),
        ({"steps": [{"alias": "smart-reasoner"}, {"alias": "nobody"}]}, 422, "invalid_coordinated"),
        ({"steps": "all"}, 422, "invalid_input"),
        ({"no_return_because": ""}, 422, "invalid_coordinated"),
        ({"no_return_before": "nobody"}, 422, "invalid_coordinated"),
        ({"environment": "moon"}, 404, "environment_not_found"),
        ({"colour": "red"}, 422, "invalid_input"),
        ({"based_on": 3}, 422, "invalid_input"),
        ({"slug": "new"}, 422, "invalid_coordinated"),
    ],
)
def test_what_cannot_be_meant_is_refused_and_writes_nothing(lead: CheckedClient, changes: dict[str, Any], status: int, code: str) -> None:
    refused = write(lead, **changes)
    assert (refused.status_code, refused.json()["code"]) == (status, code), refused.json()
    assert not CoordinatedProcedure.objects.exists()


def test_change_from_an_old_number_is_refused_with_the_present_one(lead: CheckedClient) -> None:
    write(lead)
    change(lead, based_on=1)
    refused = change(lead, based_on=1)
    assert (refused.status_code, refused.json()["code"], refused.json()["current_number"]) == (409, "coordinated_moved", 2)


def test_only_those_who_configure_write(lead: CheckedClient, by_token: Caller, cast: Cast) -> None:
    for person in (cast.on_call, cast.auditor, cast.stranger):
        assert write(by_token(person)).status_code == 403
    write(lead)
    assert by_token(cast.on_call).delete(ONE).status_code == 403
    assert by_token(cast.on_call).get(ONE).status_code == 200
    assert by_token(cast.stranger).get(ONE).status_code == 403
    assert lead.delete(ONE).status_code == 204
    assert lead.get(ONE).status_code == 404
    assert list(AuditEvent.objects.filter(subject_type="coordinated_procedure").order_by("id").values_list("event", flat=True)) == [
        "coordinated_procedure.created",
        "coordinated_procedure.deleted",
    ]


def test_rollback_by_it_takes_its_aliases_in_its_order_and_keeps_what_it_says(lead: CheckedClient) -> None:
    write(lead)
    planned = lead.post(f"{ROLLBACKS}plan/", {"coordinated": "support-release"}, format="json").json()
    assert (planned["aliases"], planned["coordination"]["no_return_before"]) == (["smart-reasoner", "answers-corpus"], "answers-corpus")
    asked = {"coordinated": "support-release", "reason": "degraded", "plan_hash": planned["plan_hash"]}
    body = lead.post(ROLLBACKS, asked, format="json").json()
    assert (body["state"], body["aliases"], body["coordination"]) == ("running", planned["aliases"], planned["coordination"])


def test_rollback_by_it_of_some_says_what_is_left_out(lead: CheckedClient) -> None:
    write(lead)
    body = lead.post(ROLLBACKS, {"coordinated": "support-release", "aliases": [{"alias": "answers-corpus"}], "reason": "degraded"}, format="json").json()
    assert (body["aliases"], body["coordination"]["left_out"]) == (["answers-corpus"], ["smart-reasoner"])


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"coordinated": "nothing"}, 404, "coordinated_not_found"),
        ({"coordinated": "support-release", "alias": "smart-reasoner"}, 422, "invalid_input"),
        ({"coordinated": "support-release", "aliases": [{"alias": "answers-corpus"}, {"alias": "smart-reasoner"}]}, 422, "wrong_order"),
        ({"coordinated": "support-release", "plan_hash": "0" * 64}, 409, "plan_changed"),
    ],
)
def test_rollback_by_it_that_cannot_be_meant_is_refused(lead: CheckedClient, body: dict[str, Any], status: int, code: str) -> None:
    write(lead)
    refused = lead.post(ROLLBACKS, {"reason": "degraded", **body}, format="json")
    assert (refused.status_code, refused.json()["code"]) == (status, code)
    assert not Rollback.objects.exists()
