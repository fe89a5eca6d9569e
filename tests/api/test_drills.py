"""Drills over the API."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

import pytest

from drills.models import Drill
from rollbackhub.api.schema import CAPABILITY
from rollbackhub.audit.models import AuditEvent
from rollbackhub.common.clock import now
from rollbackhub.executions.enums import ExecutionState, StepState
from rollbackhub.executions.models import Execution
from rollbackhub.registry.enums import Lifecycle
from rollbackhub.routing.models import RoutingPolicy
from tests.api.conftest import Caller
from tests.api.openapi import CheckedClient, description
from tests.factories.drills import DrillFactory
from tests.factories.executions import (
    CheckResultFactory,
    ExecutionFactory,
    FindingFactory,
    ProcedureVersionFactory,
    SampleFactory,
    StepAttemptFactory,
)
from tests.factories.fixtures import Cast
from tests.factories.registry import ArtefactFactory, EnvironmentFactory
from tests.factories.routing import BAD, GOOD, RoutingPolicyFactory

DRILLS = "/api/v1/drills/"


@pytest.fixture
def policy(db: None) -> RoutingPolicy:
    """smart-reasoner in staging, with the procedure of its change type."""
    ProcedureVersionFactory()
    found: RoutingPolicy = RoutingPolicyFactory(alias="smart-reasoner")
    found.artefact.versions.filter(label=BAD).update(lifecycle=Lifecycle.CANARY)
    return found


def test_start_drill_answers_201_with_location_and_the_drill(policy: RoutingPolicy, on_call: CheckedClient) -> None:
    response = on_call.post(DRILLS, {"alias": "smart-reasoner", "note": "Friday"}, format="json")
    assert response.status_code == 201
    body = response.json()
    assert response.headers["Location"] == body["url"] == f"{DRILLS}{body['id']}/"
    assert body["page"] == f"/drills/{body['id']}/"
    assert (body["alias"], body["environment"], body["state"], body["verdict"], body["note"]) == ("smart-reasoner", "staging", "queued", None, "Friday")
    assert (body["bad_version"], body["good_versions"], body["revision_before"]) == (BAD, [GOOD], 1)
    assert [step["state"] for step in body["steps"]] == [None] * len(body["steps"])
    assert body["steps"][0]["action"] == "preflight"
    drill = Drill.objects.select_related("execution").get()
    assert str(drill.pk) == body["id"]
    assert drill.execution.requested_by == on_call.token.user  # type: ignore[attr-defined]
    event = AuditEvent.objects.get(event="drill.requested")
    assert (event.actor_kind, event.actor_token_id) == ("token", on_call.token.token_key)  # type: ignore[attr-defined]
    assert on_call.get(response.headers["Location"]).json() == body


def test_start_drill_takes_out_the_version_that_is_named(policy: RoutingPolicy, on_call: CheckedClient) -> None:
    response = on_call.post(DRILLS, {"alias": "smart-reasoner", "environment": "staging", "bad_version": GOOD}, format="json")
    assert response.json()["bad_version"] == GOOD


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({}, "invalid_input", "alias"),
        ({"alias": "nobody"}, "policy_not_found", "alias"),
        ({"alias": "smart-reasoner", "environment": "moon"}, "policy_not_found", "alias"),
        ({"alias": "smart-reasoner", "bad_version": "v0"}, "version_not_in_policy", "bad_version"),
        ({"alias": "smart-reasoner", "note": "x" * 301}, "invalid_input", "note"),
        ({"alias": "smart-reasoner", "environment": "production"}, "not_staging", "environment"),
    ],
)
def test_start_drill_that_cannot_be_is_refused_with_its_field(body: Any, code: str, field: str, policy: RoutingPolicy, on_call: CheckedClient) -> None:
    RoutingPolicyFactory(alias="smart-reasoner", environment=EnvironmentFactory(slug="production"))
    response = on_call.post(DRILLS, body, format="json")
    assert (response.status_code, response.json()["code"], list(response.json()["fields"])) == (422, code, [field])
    assert not Execution.objects.exists()


def test_start_drill_beside_a_running_one_is_a_409_that_names_it(policy: RoutingPolicy, on_call: CheckedClient, cast: Cast, by_session: Caller) -> None:
    first = on_call.post(DRILLS, {"alias": "smart-reasoner"}, format="json").json()
    response = by_session(cast.lead).post(DRILLS, {"alias": "smart-reasoner"}, format="json")
    assert response.status_code == 409
    body = response.json()
    assert (body["code"], body["execution_id"], body["url"], body["api_url"]) == ("already_running", first["id"], first["page"], first["url"])
    assert first["id"] in body["detail"]
    assert Execution.objects.count() == 1


@pytest.mark.parametrize("name", ["auditor", "leadership"])
def test_start_drill_needs_a_role_that_may_drill(name: str, policy: RoutingPolicy, cast: Cast, by_session: Caller) -> None:
    response = by_session(getattr(cast, name)).post(DRILLS, {"alias": "smart-reasoner"}, format="json")
    assert response.status_code == 403
    assert not Execution.objects.exists()


def test_cancel_queued_drill_ends_it_with_the_reason(policy: RoutingPolicy, on_call: CheckedClient) -> None:
    url = on_call.post(DRILLS, {"alias": "smart-reasoner"}, format="json").json()["url"]
    response = on_call.post(f"{url}cancel/", {"reason": "wrong alias"}, format="json")
    assert response.status_code == 200
    assert response.json()["state"] == "cancelled"
    assert "wrong alias" in response.json()["outcome"]
    again = on_call.post(f"{url}cancel/", format="json")
    assert (again.status_code, again.json()["code"], again.json()["state"]) == (409, "wrong_state", "cancelled")


def test_cancel_running_drill_asks_it_to_stop(db: None, on_call: CheckedClient) -> None:
    drill = DrillFactory(execution__running=True)
    response = on_call.post(f"{DRILLS}{drill.pk}/cancel/")
    assert response.status_code == 200
    assert response.json()["cancel_requested_at"] is not None
    assert response.json()["state"] == "running"


def test_retry_and_close_of_a_drill_that_needs_a_person(db: None, on_call: CheckedClient) -> None:
    first, second = (DrillFactory(execution__running=True, execution__state=ExecutionState.NEEDS_HUMAN) for _ in range(2))
    assert on_call.post(f"{DRILLS}{first.pk}/retry/").json()["state"] == "running"
    closed = on_call.post(f"{DRILLS}{second.pk}/close/", {"reason": "put back by hand"}, format="json").json()
    assert (closed["state"], closed["verdict"]) == ("finished", "error")
    assert "put back by hand" in closed["outcome"]


@pytest.mark.parametrize("action", ["cancel", "retry", "close"])
def test_action_on_an_execution_that_is_no_drill_is_a_404(action: str, db: None, on_call: CheckedClient) -> None:
    rollback = ExecutionFactory(kind="rollback", running=True)
    assert on_call.post(f"{DRILLS}{rollback.pk}/{action}/").status_code == 404
    rollback.refresh_from_db()
    assert (rollback.state, rollback.cancel_requested_at) == ("running", None)


def _whole_drill() -> Drill:
    drill: Drill = DrillFactory(execution__passed=True, note="monthly")
    preflight = StepAttemptFactory(execution=drill.execution, position=0, key="preflight", action="preflight", segment="setup", state=StepState.INTERRUPTED)
    StepAttemptFactory(execution=drill.execution, position=0, number=2, key="preflight", action="preflight", segment="setup", verdict="passed")
    verify = StepAttemptFactory(execution=drill.execution, position=5, key="verify", action="verify", segment="verify", verdict="passed")
    CheckResultFactory(attempt=verify, numbers={"share": 0.0})
    FindingFactory(execution=drill.execution, attempt=preflight)
    SampleFactory(attempt=verify)
    return drill


def test_drill_detail_has_steps_segments_checks_and_findings(db: None, on_call: CheckedClient) -> None:
    drill = _whole_drill()
    body = on_call.get(f"{DRILLS}{drill.pk}/").json()
    assert (body["verdict"], body["rollback_seconds"], body["target_seconds"], body["note"]) == ("passed", 12.5, 600, "monthly")
    first = body["steps"][0]
    assert (first["state"], [attempt["state"] for attempt in first["attempts"]]) == ("done", ["interrupted", "done"])
    assert first["attempts"][1]["duration_seconds"] == 0.5
    assert {segment["segment"]: segment["duration_seconds"] for segment in body["segments"]} == {
        "setup": 5,
        "execute": 0.2,
        "propagate": 0.3,
        "drain": 2,
        "verify": 10,
        "clean_up": 2.5,
    }
    assert body["checks"][0]["numbers"] == {"share": 0.0}
    assert body["findings"][0]["code"] == "config_mismatch"
    assert body["findings"][0]["title"] == "Configuration mismatch"
    assert body["weights"]["rolled_back"] == [
        {"id": f"anthropic:{BAD}:ap-south-1", "version_pin": BAD, "weight": 0},
        {"id": f"anthropic:{GOOD}:ap-south-1", "version_pin": GOOD, "weight": 100},
    ]
    assert "connections" not in str(body)


def test_drill_detail_takes_a_fixed_number_of_queries(db: None, on_call: CheckedClient, django_assert_num_queries: Any) -> None:
    few, many = DrillFactory(execution__passed=True), _whole_drill()
    for number in range(5):
        CheckResultFactory(attempt=StepAttemptFactory(execution=many.execution, position=10 + number))
        FindingFactory(execution=many.execution)
    on_call.get("/api/v1/me/")
    for drill in (few, many):
        with django_assert_num_queries(7 if drill is many else 6):
            on_call.get(f"{DRILLS}{drill.pk}/")


def test_drill_detail_polled_with_its_etag_is_a_304_until_something_changes(db: None, on_call: CheckedClient) -> None:
    drill = DrillFactory(execution__running=True)
    url = f"{DRILLS}{drill.pk}/"
    etag = on_call.get(url).headers["ETag"]
    same = on_call.get(url, HTTP_IF_NONE_MATCH=etag)
    assert (same.status_code, same.content, same.headers["ETag"]) == (304, b"", etag)
    assert same.headers["Cache-Control"] == "private, no-cache"
    StepAttemptFactory(execution=drill.execution)
    changed = on_call.get(url, HTTP_IF_NONE_MATCH=etag)
    assert changed.status_code == 200
    assert changed.headers["ETag"] != etag


def test_drill_list_is_newest_first_in_cursor_pages(db: None, on_call: CheckedClient) -> None:
    made = [DrillFactory(execution__passed=True).pk for _ in range(5)]
    for index, pk in enumerate(made):
        Execution.objects.filter(pk=pk).update(created_at=now() - dt.timedelta(minutes=10 - index))
    first = on_call.get(DRILLS, {"page_size": 2}).json()
    assert [row["id"] for row in first["results"]] == [str(pk) for pk in (made[4], made[3])]
    assert first["previous"] is None
    # A drill that is started meanwhile moves nothing.
    newest = DrillFactory(execution__passed=True).pk
    second = on_call.get(first["next"]).json()
    assert [row["id"] for row in second["results"]] == [str(pk) for pk in (made[2], made[1])]
    third = on_call.get(second["next"]).json()
    assert [row["id"] for row in third["results"]] == [str(made[0])]
    assert third["next"] is None
    assert [row["id"] for row in on_call.get(first["next"] and second["previous"]).json()["results"]] == [str(pk) for pk in (made[4], made[3])]
    assert on_call.get(DRILLS).json()["results"][0]["id"] == str(newest)


def test_drill_list_rows_of_one_instant_are_all_seen_once(db: None, on_call: CheckedClient) -> None:
    made = {str(DrillFactory(execution__passed=True).pk) for _ in range(7)}
    Execution.objects.update(created_at=now())
    seen: list[str] = []
    url: str | None = f"{DRILLS}?page_size=2"
    while url:
        page = on_call.get(url).json()
        seen += [row["id"] for row in page["results"]]
        url = page["next"]
    assert sorted(seen) == sorted(made)


def test_drill_list_filters(db: None, on_call: CheckedClient) -> None:
    policy = RoutingPolicyFactory(alias="smart-reasoner")
    other = RoutingPolicyFactory(alias="writer", environment=EnvironmentFactory(slug="staging-2"), artefact=ArtefactFactory(change_type="prompt"))
    passed = DrillFactory(execution__policy=policy, execution__passed=True).pk
    failed = DrillFactory(execution__policy=policy, execution__failed=True).pk
    queued = DrillFactory(execution__policy=other).pk
    ExecutionFactory(kind="rollback")
    Execution.objects.filter(pk=passed).update(created_at=now() - dt.timedelta(days=2))
    yesterday = (now() - dt.timedelta(days=1)).isoformat()

    def ids(**query: str) -> set[Any]:
        return {row["id"] for row in on_call.get(DRILLS, query).json()["results"]}

    def of(*pks: Any) -> set[str]:
        return {str(pk) for pk in pks}

    assert ids() == of(passed, failed, queued)
    assert ids(alias="smart-reasoner") == of(passed, failed)
    assert ids(alias="smart") == set()
    assert ids(environment="staging-2") == of(queued)
    assert ids(verdict="failed") == of(failed)
    assert ids(state="queued") == of(queued)
    assert ids(change_type="prompt") == of(queued)
    assert ids(created_after=yesterday) == of(failed, queued)
    assert ids(created_before=yesterday) == of(passed)
    assert ids(alias="smart-reasoner", verdict="passed", created_before=yesterday) == of(passed)


@pytest.mark.parametrize(
    "query", [{"verdict": "good"}, {"state": "gone"}, {"created_after": "yesterday"}, {"change_type": "x"}, {"alias": "a b"}, {"alias": "a\x00"}]
)
def test_drill_list_filter_that_is_none_is_refused(query: dict[str, str], db: None, on_call: CheckedClient) -> None:
    response = on_call.get(DRILLS, query)
    assert (response.status_code, list(response.json()["fields"])) == (422, list(query))


def test_drill_list_takes_a_fixed_number_of_queries(db: None, on_call: CheckedClient, django_assert_num_queries: Any) -> None:
    on_call.get("/api/v1/me/")
    for _ in range(2):
        for _ in range(4):
            _whole_drill()
        # The token, the roles, the page.
        with django_assert_num_queries(3):
            on_call.get(DRILLS)


def test_drill_samples_are_paged_oldest_first_and_filtered(db: None, on_call: CheckedClient) -> None:
    attempt = StepAttemptFactory(execution=DrillFactory(execution__running=True).execution, key="drain")
    made = [SampleFactory(attempt=attempt, value={"total": number}) for number in range(3)]
    SampleFactory(attempt=attempt, kind="metrics", value={})
    SampleFactory()
    url = f"{DRILLS}{attempt.execution_id}/samples/"
    page = on_call.get(url, {"page_size": "2", "kind": "traffic"}).json()
    assert [row["value"] for row in page["results"]] == [{"total": 0}, {"total": 1}]
    assert page["results"][0]["step"] == "drain"
    assert [row["id"] for row in on_call.get(page["next"]).json()["results"]] == [made[2].pk]
    assert [row["kind"] for row in on_call.get(url).json()["results"]] == ["traffic"] * 3 + ["metrics"]


def test_drill_samples_take_a_fixed_number_of_queries(db: None, on_call: CheckedClient, django_assert_num_queries: Any) -> None:
    attempt = StepAttemptFactory(execution=DrillFactory(execution__running=True).execution)
    on_call.get("/api/v1/me/")
    for _ in range(2):
        SampleFactory.create_batch(5, attempt=attempt)
        with django_assert_num_queries(4):
            on_call.get(f"{DRILLS}{attempt.execution_id}/samples/")


def test_drill_that_does_not_exist_is_a_404(on_call: CheckedClient) -> None:
    assert on_call.get(f"{DRILLS}{uuid.uuid4()}/").json()["code"] == "drill_not_found"


def test_drill_start_is_described_with_its_capability() -> None:
    assert description()["paths"][DRILLS]["post"][CAPABILITY] == "drill"


def test_executions_list_has_every_kind_and_filters_by_it(db: None, on_call: CheckedClient) -> None:
    drill, rollback = DrillFactory().execution, ExecutionFactory(kind="rollback")
    rows = {row["id"]: row for row in on_call.get("/api/v1/executions/").json()["results"]}
    assert set(rows) == {str(drill.pk), str(rollback.pk)}
    assert rows[str(drill.pk)]["url"] == f"{DRILLS}{drill.pk}/"
    assert rows[str(rollback.pk)]["url"] == f"/api/v1/executions/{rollback.pk}/"
    assert [row["id"] for row in on_call.get("/api/v1/executions/", {"kind": "rollback"}).json()["results"]] == [str(rollback.pk)]


def test_execution_detail_and_samples_of_a_rollback(db: None, on_call: CheckedClient) -> None:
    rollback = ExecutionFactory(kind="rollback", passed=True)
    SampleFactory(attempt=StepAttemptFactory(execution=rollback))
    body = on_call.get(f"/api/v1/executions/{rollback.pk}/").json()
    assert (body["kind"], body["page"]) == ("rollback", "/rollbacks/")
    assert len(on_call.get(body["samples_url"]).json()["results"]) == 1
    assert on_call.get(f"{DRILLS}{rollback.pk}/").status_code == 404
