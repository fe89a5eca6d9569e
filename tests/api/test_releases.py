"""Releases over the API: planned, asked, rehearsed, promoted, bypassed, given up; and every refusal."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from rollbackhub.api.schema import CAPABILITY
from rollbackhub.audit.models import AuditEvent
from rollbackhub.common.clock import now
from rollbackhub.executions.enums import ExecutionKind
from rollbackhub.executions.models import Execution
from rollbackhub.registry.enums import Lifecycle
from rollbackhub.registry.models import Version
from rollbackhub.releases.enums import ReleaseState
from rollbackhub.releases.models import Release
from rollbackhub.routing.models import PolicyRevision, RoutingPolicy
from tests.api.conftest import Caller
from tests.api.openapi import CheckedClient, description
from tests.factories.fixtures import Cast
from tests.factories.registry import ArtefactFactory, VersionFactory
from tests.factories.releases import ReleaseFactory, ReleaseRehearsalFactory
from tests.factories.rollbacks import StabilityHoldFactory
from tests.factories.routing import RoutingPolicyFactory
from tests.releases.gates import open_gate, pass_rehearsal
from tests.rollbacks.conftest import ask, fresh, reroute, seed_production, weight_of

RELEASES = "/api/v1/releases/"
NEW = "v3"
REASON = "The vendor turns the old one off tonight."
ACTS: dict[str, dict[str, Any]] = {"promote": {"expected_step": 0}, "rehearse": {}, "bypass": {"reason": REASON}, "abandon": {"reason": REASON}}


@pytest.fixture
def policy(reasoner: RoutingPolicy) -> RoutingPolicy:
    """smart-reasoner in production and in staging, with a version that has served nowhere."""
    seed_production("model", alias="smart-reasoner", environment="staging")
    VersionFactory(artefact=reasoner.artefact, label=NEW)
    return fresh(reasoner)


@pytest.fixture
def release(policy: RoutingPolicy, on_call: CheckedClient) -> Release:
    """Planned over the API."""
    body = on_call.post(RELEASES, {"alias": "smart-reasoner", "to_version": NEW}, format="json").json()
    return Release.objects.select_related("policy__environment").get(pk=body["id"])


@pytest.fixture
def open_release(release: Release, cast: Cast) -> Release:
    """Its gate is open."""
    open_gate(release, account=cast.on_call)
    return release


def act(client: CheckedClient, release: Release, name: str, **changes: Any) -> Any:
    return client.post(f"{RELEASES}{release.pk}/{name}/", ACTS[name] | changes, format="json")


def promote(client: CheckedClient, release: Release, step: int) -> Any:
    return act(client, release, "promote", expected_step=step)


def refusal(response: Any) -> tuple[int, str]:
    return response.status_code, response.json()["code"]


def test_create_answers_201_with_location_gate_and_weights_and_changes_no_traffic(policy: RoutingPolicy, on_call: CheckedClient) -> None:
    response = on_call.post(RELEASES, {"alias": "smart-reasoner", "to_version": NEW, "note": "Friday"}, format="json")
    body = response.json()
    assert response.status_code == 201
    assert response.headers["Location"] == body["url"] == f"{RELEASES}{body['id']}/"
    assert (body["page"], body["state"], body["note"]) == (f"/releases/{body['id']}/", "planned", "Friday")
    assert (body["from_version"], body["to_version"], body["candidate_id"]) == ("v1", NEW, f"anthropic:{NEW}:ap-south-1")
    assert (body["steps"], body["next_step"], body["next_percent"]) == ([1, 5, 25, 50, 100], 0, 1)
    assert (body["bypassed"], body["bypass"], body["steps_taken"], body["rehearsals"]) == (False, None, [], [])
    assert [condition["code"] for condition in body["gate"]["conditions"]] == [
        "target_retained",
        "target_reachable",
        "procedure_present",
        "rehearsed",
        "authority_known",
    ]
    assert (body["gate"]["open"], body["gate"]["bypassed"]) == (False, False)
    assert {row["version_pin"]: row["weight"] for row in body["weights_now"]} == {"v1": 75, "v2": 25}
    assert weight_of(policy, NEW) == 0
    event = AuditEvent.objects.get(event="release.created")
    assert (event.actor_kind, event.actor_token_id) == ("token", on_call.token.token_key)  # type: ignore[attr-defined]


def test_create_takes_its_own_steps_candidate_and_way_back(policy: RoutingPolicy, on_call: CheckedClient) -> None:
    wanted = {"alias": "smart-reasoner", "to_version": NEW, "from_version": "v2", "candidate_id": "anthropic:v3:eu-west-1", "steps": [10, 100]}
    body = on_call.post(RELEASES, wanted, format="json").json()
    assert {name: body[name] for name in wanted} == wanted


def test_create_twice_with_one_key_plans_one_release(policy: RoutingPolicy, on_call: CheckedClient) -> None:
    answers = [
        on_call.post(RELEASES, {"alias": "smart-reasoner", "to_version": NEW}, format="json", headers={"Idempotency-Key": "ci-1"}).json() for _ in range(2)
    ]
    assert answers[0]["id"] == answers[1]["id"]
    assert Release.objects.count() == 1
    other = on_call.post(RELEASES, {"alias": "smart-reasoner", "to_version": "v9"}, format="json", headers={"Idempotency-Key": "ci-1"})
    assert refusal(other) == (409, "idempotency_key_reused")


def test_create_while_one_is_open_names_that_one(release: Release, on_call: CheckedClient) -> None:
    response = on_call.post(RELEASES, {"alias": "smart-reasoner", "to_version": NEW}, format="json")
    body = response.json()
    assert refusal(response) == (409, "release_open")
    assert (body["release_id"], body["url"], body["api_url"]) == (release.pk, f"/releases/{release.pk}/", f"{RELEASES}{release.pk}/")


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"alias": "nothing"}, "policy_not_found", "alias"),
        ({"environment": "staging"}, "not_production", "environment"),
        ({"to_version": "v99"}, "version_not_in_artefact", "to_version"),
        ({"from_version": "v99"}, "version_not_in_artefact", "from_version"),
        ({"from_version": NEW}, "same_version", "from_version"),
        ({"to_version": "v2"}, "already_serving", "to_version"),
        ({"candidate_id": "anthropic:v1:ap-south-1"}, "candidate_taken", "candidate_id"),
        ({"candidate_id": "two words"}, "invalid_candidate", "candidate_id"),
        ({"candidate_id": "x" * 161}, "invalid_input", "candidate_id"),
        ({"steps": [5, 5, 100]}, "invalid_steps", "steps"),
        ({"steps": [5, 50]}, "invalid_steps", "steps"),
        ({"steps": []}, "invalid_steps", "steps"),
        ({"steps": [0, 100]}, "invalid_input", "steps.0"),
        ({"nonsense": 1}, "invalid_input", "nonsense"),
    ],
)
def test_create_that_cannot_be_is_a_422_at_its_field(changes: dict[str, Any], code: str, field: str, policy: RoutingPolicy, on_call: CheckedClient) -> None:
    response = on_call.post(RELEASES, {"alias": "smart-reasoner", "to_version": NEW} | changes, format="json")
    assert refusal(response) == (422, code)
    assert list(response.json()["fields"]) == [field]
    assert not Release.objects.exists()


def test_create_of_a_retired_version_or_one_under_hold_is_a_422(policy: RoutingPolicy, on_call: CheckedClient) -> None:
    VersionFactory(artefact=policy.artefact, label="gone", lifecycle=Lifecycle.RETIRED)
    StabilityHoldFactory(version=VersionFactory(artefact=policy.artefact, label="held"))
    for label, code in (("gone", "version_retired"), ("held", "version_held")):
        assert refusal(on_call.post(RELEASES, {"alias": "smart-reasoner", "to_version": label}, format="json")) == (422, code)
    assert not Release.objects.exists()


def test_create_without_the_way_back_in_the_policy_is_a_422(policy: RoutingPolicy, on_call: CheckedClient) -> None:
    VersionFactory(artefact=policy.artefact, label="v0")
    response = on_call.post(RELEASES, {"alias": "smart-reasoner", "to_version": NEW, "from_version": "v0"}, format="json")
    assert refusal(response) == (422, "no_rollback_target")


def test_gate_closed_says_what_does_not_hold_with_evidence_and_remedy(release: Release, on_call: CheckedClient) -> None:
    body = on_call.get(f"{RELEASES}{release.pk}/gate/").json()
    conditions = {condition["code"]: condition for condition in body["conditions"]}
    assert {code for code, condition in conditions.items() if not condition["holds"]} == {"target_reachable", "rehearsed"}
    assert conditions["rehearsed"]["sentence"] == f"Going back from {NEW} was never rehearsed."
    assert conditions["rehearsed"]["remedy"] == "Rehearse it in staging."
    assert conditions["rehearsed"]["evidence"]["proof"] == "missing"


def test_gate_after_the_first_weight_is_as_it_was_then(open_release: Release, on_call: CheckedClient) -> None:
    assert promote(on_call, open_release, 0).status_code == 200
    Version.objects.filter(label=NEW).update(is_strategic=True)
    body = on_call.get(f"{RELEASES}{open_release.pk}/gate/").json()
    assert (body["passes"], body["open"]) == (True, True)
    assert body == Release.objects.get(pk=open_release.pk).gate_answer


def test_gate_of_one_that_ended_unasked_is_a_404(release: Release, on_call: CheckedClient) -> None:
    assert act(on_call, release, "abandon").json()["gate"] is None
    assert refusal(on_call.get(f"{RELEASES}{release.pk}/gate/")) == (404, "gate_not_asked")


def test_gate_answers_304_while_nothing_has_changed(release: Release, on_call: CheckedClient) -> None:
    first = on_call.get(f"{RELEASES}{release.pk}/gate/")
    assert on_call.get(f"{RELEASES}{release.pk}/gate/", headers={"If-None-Match": first.headers["ETag"]}).status_code == 304


def test_promote_through_every_step_writes_the_revisions_and_ends_live(open_release: Release, on_call: CheckedClient, policy: RoutingPolicy) -> None:
    for step, percent in enumerate([1, 5, 25, 50, 100]):
        body = promote(on_call, open_release, step).json()
        assert weight_of(policy, NEW) == percent
        assert (body["next_step"], body["steps_taken"][-1]["percent"]) == (step + 1, percent)
        assert body["state"] == ("live" if percent == 100 else "rolling_out")
    assert (body["next_percent"], body["live_at"] is not None) == (None, True)
    written = PolicyRevision.objects.filter(policy=policy, release_id=open_release.pk).order_by("number").values_list("number", flat=True)
    assert [step["revision"] for step in body["steps_taken"]] == list(written)
    assert {row["version_pin"]: row["weight"] for row in body["weights_now"]} == {NEW: 100, "v1": 0, "v2": 0}


def test_promote_through_a_closed_gate_is_a_409_with_its_conditions(release: Release, on_call: CheckedClient, policy: RoutingPolicy) -> None:
    response = promote(on_call, release, 0)
    assert refusal(response) == (409, "gate_closed")
    assert {condition["code"] for condition in response.json()["conditions"]} == {"target_reachable", "rehearsed"}
    assert weight_of(policy, NEW) == 0
    assert Release.objects.get(pk=release.pk).state == ReleaseState.PLANNED


def test_promote_a_step_that_was_taken_is_a_409(open_release: Release, on_call: CheckedClient, policy: RoutingPolicy) -> None:
    assert promote(on_call, open_release, 0).status_code == 200
    assert refusal(promote(on_call, open_release, 0)) == (409, "step_taken")
    assert refusal(promote(on_call, open_release, 3)) == (409, "step_taken")
    assert weight_of(policy, NEW) == 1


def test_promote_twice_with_one_key_takes_one_step(open_release: Release, on_call: CheckedClient) -> None:
    address, headers = f"{RELEASES}{open_release.pk}/promote/", {"Idempotency-Key": "promote-1"}
    answers = [on_call.post(address, {"expected_step": 0}, format="json", headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[1].headers["Idempotent-Replayed"] == "true"
    assert Release.objects.get(pk=open_release.pk).next_step == 1


def test_promote_while_a_rollback_of_the_alias_is_there_is_a_409(open_release: Release, on_call: CheckedClient, policy: RoutingPolicy, cast: Cast) -> None:
    rollback = ask(policy, account=cast.on_call)
    response = promote(on_call, open_release, 0)
    assert (refusal(response), response.json()["url"]) == ((409, "alias_busy"), f"/rollbacks/{rollback.pk}/")


def test_promote_after_somebody_changed_the_weights_is_a_409(open_release: Release, on_call: CheckedClient, policy: RoutingPolicy) -> None:
    assert promote(on_call, open_release, 0).status_code == 200
    reroute(policy, bad=40)
    assert refusal(promote(on_call, open_release, 1)) == (409, "policy_changed")


@pytest.mark.parametrize("body", [{}, {"expected_step": None}, {"expected_step": "first"}, {"expected_step": -1}])
def test_promote_without_the_step_that_was_looked_at_is_a_422(body: dict[str, Any], release: Release, on_call: CheckedClient) -> None:
    response = on_call.post(f"{RELEASES}{release.pk}/promote/", body, format="json")
    assert (refusal(response), list(response.json()["fields"])) == ((422, "invalid_input"), ["expected_step"])


def test_rehearse_answers_201_with_the_rehearsal_which_stands_among_the_drills(release: Release, on_call: CheckedClient) -> None:
    response = act(on_call, release, "rehearse")
    body = response.json()
    assert response.status_code == 201
    assert response.headers["Location"] == body["url"] == f"/api/v1/drills/{body['id']}/"
    assert (body["kind"], body["environment"], body["bad_version"], body["page"]) == ("rehearsal", "staging", NEW, f"/drills/{body['id']}/")
    assert on_call.get(body["url"]).json()["note"] == ""
    listed = on_call.get(f"{RELEASES}{release.pk}/").json()["rehearsals"]
    assert [(row["id"], row["url"], row["state"], row["verdict"]) for row in listed] == [(body["id"], body["url"], "queued", None)]
    assert [row["id"] for row in on_call.get("/api/v1/drills/", {"kind": "rehearsal"}).json()["results"]] == [body["id"]]
    assert on_call.get("/api/v1/drills/", {"kind": "drill"}).json()["results"] == []


def test_rehearsal_that_passed_opens_the_rehearsed_condition(release: Release, on_call: CheckedClient) -> None:
    execution_id = act(on_call, release, "rehearse").json()["id"]
    pass_rehearsal(Execution.objects.get(pk=execution_id))
    conditions = {row["code"]: row for row in on_call.get(f"{RELEASES}{release.pk}/gate/").json()["conditions"]}
    assert conditions["rehearsed"]["holds"] is True
    assert (conditions["rehearsed"]["evidence"]["execution"], conditions["rehearsed"]["url"]) == (execution_id, f"/drills/{execution_id}/")


def test_rehearse_while_one_runs_is_a_409_that_names_it(release: Release, on_call: CheckedClient) -> None:
    first = act(on_call, release, "rehearse").json()
    response = act(on_call, release, "rehearse")
    assert refusal(response) == (409, "already_running")
    assert (response.json()["execution_id"], response.json()["api_url"], response.json()["url"]) == (first["id"], first["url"], first["page"])


def test_rehearse_without_staging_is_a_422(corpus: RoutingPolicy, on_call: CheckedClient) -> None:
    release = ReleaseFactory(policy=corpus, from_version=Version.objects.get(artefact=corpus.artefact, label="v1"))
    assert refusal(act(on_call, release, "rehearse")) == (422, "no_staging")


def test_rehearsal_can_be_stopped_as_a_drill(release: Release, on_call: CheckedClient) -> None:
    rehearsal = act(on_call, release, "rehearse").json()
    assert on_call.post(f"{rehearsal['url']}cancel/", {"reason": "wrong day"}, format="json").json()["state"] == "cancelled"
    assert on_call.get(f"{rehearsal['url']}samples/").json()["results"] == []


def test_rehearsal_that_stopped_can_be_retried_and_closed(release: Release, on_call: CheckedClient) -> None:
    rehearsal = act(on_call, release, "rehearse").json()
    for name in ("retry", "close"):
        Execution.objects.filter(pk=rehearsal["id"]).update(state="needs_human")
        assert on_call.post(f"{rehearsal['url']}{name}/", format="json").status_code == 200
    assert on_call.get(rehearsal["url"]).json()["state"] in ("finished", "cancelled")


def test_bypass_by_a_lead_opens_the_gate_and_stays_on_the_release(release: Release, cast: Cast, by_session: Caller, on_call: CheckedClient) -> None:
    body = act(by_session(cast.lead), release, "bypass").json()
    assert (body["bypassed"], body["bypass"]["by"], body["bypass"]["reason"]) == (True, "lead", REASON)
    assert {condition["code"] for condition in body["bypass"]["conditions"]} == {"target_reachable", "rehearsed"}
    assert (body["gate"]["passes"], body["gate"]["open"], body["gate"]["bypassed"]) == (False, True, True)
    assert promote(on_call, release, 0).json()["state"] == "rolling_out"
    later = on_call.get(f"{RELEASES}{release.pk}/").json()
    assert (later["bypass"]["reason"], later["gate"]["passes"]) == (REASON, False)
    assert [row["id"] for row in on_call.get(RELEASES, {"bypassed": "true"}).json()["results"]] == [release.pk]


def test_bypass_is_never_a_tokens(release: Release, cast: Cast, by_token: Caller) -> None:
    assert refusal(act(by_token(cast.lead), release, "bypass")) == (403, "token_not_allowed")


@pytest.mark.parametrize("name", ["on_call", "admin", "auditor", "stranger"])
def test_bypass_is_a_leads(name: str, release: Release, cast: Cast, by_session: Caller) -> None:
    assert refusal(act(by_session(getattr(cast, name)), release, "bypass")) == (403, "forbidden")
    assert Release.objects.get(pk=release.pk).bypassed_at is None


def test_bypass_twice_of_an_open_gate_or_too_late_is_a_409(open_release: Release, cast: Cast, by_session: Caller, on_call: CheckedClient) -> None:
    lead = by_session(cast.lead)
    assert refusal(act(lead, open_release, "bypass")) == (409, "gate_open")
    Execution.objects.filter(kind=ExecutionKind.REHEARSAL).update(verdict="failed")
    assert act(lead, open_release, "bypass").status_code == 200
    assert refusal(act(lead, open_release, "bypass")) == (409, "already_bypassed")
    assert promote(on_call, open_release, 0).status_code == 200
    assert refusal(act(lead, open_release, "bypass")) == (409, "wrong_state")


@pytest.mark.parametrize("name", ["bypass", "abandon"])
@pytest.mark.parametrize("body", [{}, {"reason": ""}, {"reason": "x"}])
def test_act_needs_its_reason(body: dict[str, Any], name: str, release: Release, cast: Cast, by_session: Caller) -> None:
    response = by_session(cast.lead).post(f"{RELEASES}{release.pk}/{name}/", body, format="json")
    assert (response.status_code, list(response.json()["fields"])) == (422, ["reason"])
    assert (Release.objects.get(pk=release.pk).state, Release.objects.get(pk=release.pk).bypassed_at) == ("planned", None)


def test_abandon_gives_it_up_and_frees_the_alias(release: Release, on_call: CheckedClient) -> None:
    body = act(on_call, release, "abandon").json()
    assert (body["state"], body["end_reason"]) == ("abandoned", REASON)
    assert refusal(act(on_call, release, "abandon")) == (409, "wrong_state")
    assert refusal(act(on_call, release, "rehearse")) == (409, "wrong_state")
    assert refusal(promote(on_call, release, 0)) == (409, "wrong_state")
    assert on_call.post(RELEASES, {"alias": "smart-reasoner", "to_version": NEW}, format="json").status_code == 201


def test_abandon_with_traffic_points_to_the_rollback(open_release: Release, on_call: CheckedClient) -> None:
    assert promote(on_call, open_release, 0).status_code == 200
    response = act(on_call, open_release, "abandon")
    assert refusal(response) == (409, "has_weight")
    assert response.json()["url"] == "/rollbacks/start/production/?alias=smart-reasoner&bad_version.smart-reasoner=v3"


@pytest.mark.parametrize("name", ACTS)
def test_act_on_a_release_that_is_not_there_is_a_404(name: str, cast: Cast, by_session: Caller) -> None:
    assert refusal(by_session(cast.lead).post(f"{RELEASES}99/{name}/", ACTS[name], format="json")) == (404, "release_not_found")


@pytest.mark.parametrize("address", ["99/", "99/gate/", f"{2**70}/"])
def test_release_that_is_not_there_is_a_404(address: str, on_call: CheckedClient) -> None:
    assert refusal(on_call.get(RELEASES + address)) == (404, "release_not_found")


@pytest.mark.parametrize("name", ["promote", "rehearse", "abandon"])
@pytest.mark.parametrize(("who", "may"), [("on_call", True), ("lead", True), ("admin", True), ("leadership", False), ("auditor", False), ("stranger", False)])
def test_act_needs_a_role_that_may_release(who: str, may: bool, name: str, open_release: Release, cast: Cast, by_session: Caller) -> None:
    response = act(by_session(getattr(cast, who)), open_release, name)
    assert (response.status_code < 300) == may, response.json()
    if not may:
        assert refusal(response) == (403, "forbidden")


@pytest.mark.parametrize("name", ["promote", "rehearse", "abandon"])
def test_act_by_a_token_needs_the_scope(name: str, open_release: Release, cast: Cast, by_token: Caller) -> None:
    assert refusal(act(by_token(cast.on_call, scopes=("read", "drill", "route", "rollback")), open_release, name)) == (403, "forbidden")
    assert act(by_token(cast.on_call, scopes=("release",)), open_release, name).status_code < 300


def test_create_needs_role_and_scope(policy: RoutingPolicy, cast: Cast, by_token: Caller, anonymous: CheckedClient) -> None:
    body = {"alias": "smart-reasoner", "to_version": NEW}
    for client in (by_token(cast.auditor), by_token(cast.stranger), by_token(cast.on_call, scopes=("read", "register"))):
        assert refusal(client.post(RELEASES, body, format="json")) == (403, "forbidden")
    assert anonymous.post(RELEASES, body, format="json").status_code == 401
    assert not Release.objects.exists()


def test_list_filters_combine_and_take_names_exactly(on_call: CheckedClient) -> None:
    one = ReleaseFactory(policy__alias="smart-reasoner")
    other = ReleaseFactory(policy__alias="smart-reasoner-2", state=ReleaseState.LIVE, live_at=now())
    ids = {query: [row["id"] for row in on_call.get(f"{RELEASES}{query}").json()["results"]] for query in ("", "?alias=smart-reasoner", "?state=live")}
    assert ids == {"": [other.pk, one.pk], "?alias=smart-reasoner": [one.pk], "?state=live": [other.pk]}
    assert on_call.get(RELEASES, {"state": "live", "alias": "smart-reasoner"}).json()["results"] == []
    assert on_call.get(RELEASES, {"environment": "staging"}).json()["results"] == []
    assert refusal(on_call.get(RELEASES, {"state": "nonsense"})) == (422, "invalid_input")


def test_list_pages_by_cursor_without_gap_or_repeat(on_call: CheckedClient) -> None:
    made = [ReleaseFactory().pk for _ in range(5)]
    seen: list[int] = []
    address = f"{RELEASES}?page_size=2"
    while address:
        body = on_call.get(address).json()
        seen += [row["id"] for row in body["results"]]
        address = body["next"]
    assert seen == made[::-1]


def _queries(client: CheckedClient, address: str) -> int:
    with CaptureQueriesContext(connection) as captured:
        assert client.get(address).status_code == 200
    return len(captured)


def test_list_number_of_queries_does_not_grow(on_call: CheckedClient) -> None:
    ReleaseFactory()
    _queries(on_call, RELEASES)
    few = _queries(on_call, RELEASES)
    for _ in range(6):
        ReleaseFactory()
    assert few == _queries(on_call, RELEASES) <= 3


def test_detail_number_of_queries_does_not_grow(release: Release, on_call: CheckedClient, policy: RoutingPolicy) -> None:
    address = f"{RELEASES}{release.pk}/"
    few = _queries(on_call, address)
    for _ in range(4):
        ReleaseRehearsalFactory(release=release, execution__policy=RoutingPolicyFactory(artefact=ArtefactFactory()))
    assert few == _queries(on_call, address) <= 35


def test_operations_name_their_capability(db: None) -> None:
    paths = description()["paths"]
    wanted = {"": "release", "{release_id}/promote/": "release", "{release_id}/rehearse/": "release", "{release_id}/abandon/": "release"}
    wanted["{release_id}/bypass/"] = "lead"
    assert {path: paths[f"{RELEASES}{path}"]["post"][CAPABILITY] for path in wanted} == wanted
    assert paths[f"{RELEASES}{{release_id}}/gate/"]["get"][CAPABILITY] == "view"
