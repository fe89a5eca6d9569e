"""What verifies a rollback of an artefact, over the API."""

from __future__ import annotations

from typing import Any

import pytest

from rollbackhub.registry.models import Artefact
from tests.api.conftest import Caller
from tests.factories.fixtures import Cast
from tests.factories.registry import ArtefactFactory

ADDRESS = "/api/v1/artefacts/reasoner/checks/"
CHECKS: list[dict[str, Any]] = [{"kind": "traffic_share", "key": "traffic"}]


@pytest.fixture
def artefact(db: None) -> Artefact:
    return Artefact.objects.get(pk=ArtefactFactory(slug="reasoner", change_type="model").pk)


def test_template_is_answered_in_words_and_with_settings_that_can_be_sent_back(artefact: Artefact, cast: Cast, by_token: Caller) -> None:
    content = by_token(cast.lead).get(ADDRESS).json()
    assert (content["artefact"], content["is_own"]) == ("reasoner", False)
    assert [row["key"] for row in content["checks"]] == ["traffic_share", "negative_feedback", "latency"]
    assert content["checks"][1]["sentences"][0] == "Negative feedback is shown to be at most 5 percentage points above the baseline's rate."
    sent = {"checks": [row["settings"] for row in content["checks"]], "based_on": content["digest"], "reason": "make them its own"}
    answer = by_token(cast.lead).post(ADDRESS, sent, format="json")
    assert (answer.status_code, answer.json()["is_own"]) == (200, True)
    assert answer.json()["checks"] == content["checks"]
    again = by_token(cast.lead).post(ADDRESS, {**sent, "checks": None, "based_on": answer.json()["digest"]}, format="json")
    assert again.json()["is_own"] is False


@pytest.mark.parametrize(
    ("values", "status", "code", "place"),
    [
        ({"checks": [{"kind": "traffic_share", "key": "t", "samples": 0}]}, 422, "invalid_checks", "checks.0.samples"),
        ({"based_on": "0" * 16}, 409, "checks_moved", None),
        ({"reason": ""}, 422, "invalid", "reason"),
    ],
)
def test_refusals_name_the_place_and_change_nothing(
    values: dict[str, Any], status: int, code: str, place: str | None, artefact: Artefact, cast: Cast, by_token: Caller
) -> None:
    seen = by_token(cast.lead).get(ADDRESS).json()["digest"]
    answer = by_token(cast.lead).post(ADDRESS, {"checks": CHECKS, "based_on": seen, "reason": "why"} | values, format="json")
    assert answer.status_code == status, answer.json()
    if place is not None:
        assert list(answer.json()["fields"]) == [place]
    if code != "invalid":
        assert answer.json()["code"] == code
    assert Artefact.objects.get(pk=artefact.pk).checks is None


def test_reader_reads_and_does_not_set(artefact: Artefact, cast: Cast, by_token: Caller) -> None:
    assert by_token(cast.auditor).get(ADDRESS).status_code == 200
    assert by_token(cast.auditor).post(ADDRESS, {"checks": CHECKS, "based_on": "x", "reason": "y"}, format="json").status_code == 403
    assert by_token(cast.lead).get("/api/v1/artefacts/none/checks/").status_code == 404


def test_wide_margin_is_saved_and_said(artefact: Artefact, cast: Cast, by_token: Caller) -> None:
    client = by_token(cast.lead)
    content = client.get(ADDRESS).json()
    assert {warning for row in content["checks"] for warning in row["warnings"]} == set()
    check = {"kind": "metric_baseline", "key": "feedback", "metric": "errors", "margin_points": 0.2}
    answer = client.post(ADDRESS, {"checks": [check], "based_on": content["digest"], "reason": "wide"}, format="json")
    assert answer.status_code == 200, answer.json()
    assert answer.json()["checks"][0]["warnings"] == ["This would call 20 percentage points worse “back at the baseline”."]
