"""Routing policies over the API: revisions by compare-and-set, and the policy file."""

from __future__ import annotations

from typing import Any

import pytest

from rollbackhub.audit.models import AuditEvent
from rollbackhub.registry.enums import Lifecycle
from rollbackhub.registry.models import Version
from rollbackhub.routing.models import PolicyRevision, RoutingPolicy
from tests.api.conftest import Caller
from tests.api.openapi import CheckedClient
from tests.factories.fixtures import Cast
from tests.factories.registry import EnvironmentFactory
from tests.factories.routing import BAD, GOOD, PolicyRevisionFactory, RoutingPolicyFactory, candidate_id

REVISIONS = "/api/v1/policies/staging/smart-reasoner/revisions/"
EXPORT = "/api/v1/policies/staging/export/"
IMPORT = "/api/v1/policies/staging/import/?reason=release"
YAML = "application/yaml"


@pytest.fixture
def policy(db: None) -> RoutingPolicy:
    """smart-reasoner in staging at revision 1."""
    found: RoutingPolicy = RoutingPolicyFactory(alias="smart-reasoner")
    return found


def body(bad: int = 0, good: int = 100, **other: Any) -> dict[str, Any]:
    """A revision to append."""
    candidates = [{"id": candidate_id(label), "version_pin": label, "weight": weight} for label, weight in ((BAD, bad), (GOOD, good))]
    return {"expected_revision": 1, "reason": "flip", "candidates": candidates, **other}


def test_append_revision_answers_201_and_the_revision(policy: RoutingPolicy, on_call: CheckedClient) -> None:
    response = on_call.post(REVISIONS, body(), format="json")
    assert response.status_code == 201
    content = response.json()
    assert response.headers["Location"] == content["url"] == f"{REVISIONS}2/"
    assert (content["number"], content["reason"], content["effect_key"]) == (2, "flip", None)
    assert [row["weight"] for row in content["candidates"]] == [0, 100]
    assert "by token" in content["changed_by"]
    assert on_call.get(content["url"]).json() == content
    policy.refresh_from_db()
    assert policy.revision_number == 2
    assert AuditEvent.objects.filter(event="policy.revision_appended", actor_kind="token").exists()


def test_append_revision_when_it_has_moved_is_a_409_with_the_present_number(policy: RoutingPolicy, on_call: CheckedClient) -> None:
    PolicyRevisionFactory(policy=policy)
    response = on_call.post(REVISIONS, body(), format="json")
    assert (response.status_code, response.json()["code"], response.json()["current_revision"]) == (409, "revision_moved", 2)
    assert PolicyRevision.objects.count() == 2


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        (body(bad=1), "candidates"),
        (body(bad=101, good=-1), "candidates.0.weight"),
        (body(bad="0"), "candidates.0.weight"),  # type: ignore[arg-type]
        (body(bad=0.0), "candidates.0.weight"),  # type: ignore[arg-type]
        (body(bad=False), "candidates.0.weight"),
        (body(candidates=[]), "candidates"),
        (body(candidates=[{"id": "a", "version_pin": "nowhere", "weight": 100}]), "candidates.0"),
        (body(candidates=[{"id": "a", "version_pin": GOOD, "weight": 50}] * 2), "candidates.1"),
        (body(candidates=[{"id": "a", "version_pin": GOOD, "weight": 100, "colour": "red"}]), "candidates.0.colour"),
        (body(candidates="all"), "candidates"),
        (body(reason=""), "reason"),
        (body(expected_revision=None), "expected_revision"),
        (body(expected_revision=2**40), "expected_revision"),
    ],
)
def test_append_revision_that_is_wrong_is_refused_with_its_field(wrong: Any, field: str, policy: RoutingPolicy, on_call: CheckedClient) -> None:
    response = on_call.post(REVISIONS, wrong, format="json")
    assert response.status_code == 422, response.content
    assert field in response.json()["fields"]
    assert PolicyRevision.objects.count() == 1


def test_append_revision_with_traffic_on_a_retired_version_is_refused(policy: RoutingPolicy, on_call: CheckedClient) -> None:
    # What serves cannot be retired, so it has lost its weight first.
    PolicyRevisionFactory(policy=policy, weights={BAD: 100, GOOD: 0})
    Version.objects.filter(label=GOOD).update(lifecycle=Lifecycle.RETIRED)
    assert on_call.post(REVISIONS, body(expected_revision=2), format="json").json()["code"] == "invalid_policy"


def test_append_revision_by_somebody_who_may_only_look_is_a_403(policy: RoutingPolicy, cast: Cast, by_session: Caller, by_token: Caller) -> None:
    assert by_session(cast.auditor).post(REVISIONS, body(), format="json").status_code == 403
    assert by_token(cast.lead, scopes=("read", "drill")).post(REVISIONS, body(), format="json").status_code == 403
    assert PolicyRevision.objects.count() == 1


def test_revision_list_is_newest_first_with_candidates_in_a_fixed_number_of_queries(
    policy: RoutingPolicy, on_call: CheckedClient, django_assert_num_queries: Any
) -> None:
    on_call.get("/api/v1/me/")
    for turn in range(2):
        for number in range(5):
            PolicyRevisionFactory(policy=policy, weights={BAD: number, GOOD: 100 - number}, effect_key=f"run:{turn}-{number}")
        # The token, the roles, the policy, the page, candidates, versions.
        with django_assert_num_queries(6):
            rows = on_call.get(REVISIONS).json()["results"]
        assert [row["number"] for row in rows] == list(range(5 * (turn + 1) + 1, 0, -1))
        assert (rows[0]["effect_key"], rows[0]["candidates"][0]["weight"]) == (f"run:{turn}-4", 4)


@pytest.mark.parametrize("number", ["3", "0", "99999999999999999999"])
def test_revision_that_does_not_exist_is_a_404(number: str, policy: RoutingPolicy, on_call: CheckedClient) -> None:
    assert on_call.get(f"{REVISIONS}{number}/").json()["code"] == "revision_not_found"


def test_export_is_the_policy_file_and_import_of_it_changes_nothing(policy: RoutingPolicy, on_call: CheckedClient) -> None:
    RoutingPolicyFactory(alias="writer")
    response = on_call.get(EXPORT)
    assert response.headers["Content-Type"] == YAML
    text = response.content.decode()
    assert text.startswith("aliases:\n  smart-reasoner:\n    candidates:\n      - id: ")
    assert "writer:" in text
    back = on_call.post(IMPORT, text, content_type=YAML)
    assert back.json() == {"environment": "staging", "changed": []}
    assert PolicyRevision.objects.count() == 2


def test_export_of_one_alias(policy: RoutingPolicy, on_call: CheckedClient) -> None:
    RoutingPolicyFactory(alias="writer")
    assert "writer" not in on_call.get(EXPORT, {"alias": "smart-reasoner"}).content.decode()
    assert on_call.get(EXPORT, {"alias": "nobody"}).json()["code"] == "policy_not_found"


@pytest.mark.parametrize("accept", ["*/*", YAML, "application/*"])
def test_export_answers_what_is_accepted(accept: str, policy: RoutingPolicy, on_call: CheckedClient) -> None:
    assert on_call.get(EXPORT, HTTP_ACCEPT=accept).status_code == 200


def test_export_as_json_is_a_406_in_problem_json(policy: RoutingPolicy, on_call: CheckedClient) -> None:
    assert on_call.get(EXPORT, HTTP_ACCEPT="application/json").status_code == 406


@pytest.mark.parametrize("content_type", [YAML, "application/yaml; charset=utf-8", "application/x-yaml", "text/yaml"])
def test_import_appends_a_revision_to_what_differs(content_type: str, policy: RoutingPolicy, on_call: CheckedClient) -> None:
    RoutingPolicyFactory(alias="writer")
    text = on_call.get(EXPORT).content.decode().replace("weight: 25", "weight: 0", 1).replace("weight: 75", "weight: 100", 1)
    response = on_call.post(IMPORT, text, content_type=content_type)
    assert response.status_code == 200, response.content
    (changed,) = response.json()["changed"]
    assert (changed["alias"], changed["number"], changed["reason"]) == ("smart-reasoner", 2, "release")
    assert [row["weight"] for row in changed["candidates"]] == [0, 100]


def test_import_that_is_wrong_is_refused_whole_by_line(policy: RoutingPolicy, on_call: CheckedClient) -> None:
    RoutingPolicyFactory(alias="writer")
    good = on_call.get(EXPORT).content.decode().replace("weight: 25", "weight: 0", 1).replace("weight: 75", "weight: 100", 1)
    lines = good.splitlines()
    wrong = len(lines) - next(index for index, line in enumerate(reversed(lines)) if "weight" in line)
    lines[wrong - 1] = lines[wrong - 1].replace("weight", "wieght")
    response = on_call.post(IMPORT, "\n".join(lines), content_type=YAML)
    assert (response.status_code, response.json()["code"]) == (422, "invalid_policy_file")
    assert f"line {wrong}" in response.json()["fields"]
    assert PolicyRevision.objects.count() == 2


@pytest.mark.parametrize(
    ("data", "content_type", "status"),
    [
        (b"\xff\xfe", YAML, 400),
        (b"", YAML, 400),
        (b"{}", "application/json", 415),
        (b"aliases: {}", YAML, 422),
        (b"a: &a [*a]", YAML, 422),
        (b"aliases: {smart-reasoner: {candidates: [\x00]}}", YAML, 422),
        (b"[" * 5000, YAML, 422),
        (b"x" * 5_000_001, YAML, 413),
    ],
)
def test_import_of_what_is_no_policy_file_is_refused(data: Any, content_type: str, status: int, policy: RoutingPolicy, on_call: CheckedClient) -> None:
    assert on_call.generic("POST", IMPORT, data=data, content_type=content_type).status_code == status
    assert PolicyRevision.objects.count() == 1


def test_import_without_a_reason_is_refused(policy: RoutingPolicy, on_call: CheckedClient) -> None:
    response = on_call.post("/api/v1/policies/staging/import/", "aliases: {}", content_type=YAML)
    assert list(response.json()["fields"]) == ["reason"]


def test_import_with_an_idempotency_key_again_gives_the_first_answer(policy: RoutingPolicy, on_call: CheckedClient) -> None:
    text = on_call.get(EXPORT).content.decode().replace("weight: 25", "weight: 0").replace("weight: 75", "weight: 100")
    first, second = (on_call.post(IMPORT, text, content_type=YAML, HTTP_IDEMPOTENCY_KEY="import-1") for _ in range(2))
    assert len(first.json()["changed"]) == 1
    assert second.json() == first.json()
    assert second.headers["Idempotent-Replayed"] == "true"


def test_import_knows_only_its_own_environment(policy: RoutingPolicy, on_call: CheckedClient) -> None:
    EnvironmentFactory(slug="production")
    text = on_call.get(EXPORT).content.decode()
    response = on_call.post("/api/v1/policies/production/import/?reason=x", text, content_type=YAML)
    assert (response.status_code, list(response.json()["fields"])) == (422, ["line 2"])
