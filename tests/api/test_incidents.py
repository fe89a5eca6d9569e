"""Incidents over the API: every answer is checked against the description."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

import pytest

from incidents.models import Incident, IncidentNote
from rollbackhub.accounts.models import Notice
from rollbackhub.audit.models import AuditEvent
from rollbackhub.common import clock
from rollbackhub.routing.models import RoutingPolicy
from tests.api.conftest import Caller
from tests.api.openapi import CheckedClient
from tests.factories.accounts import TeamFactory, UserFactory
from tests.factories.fixtures import Cast
from tests.factories.incidents import IncidentFactory, IncidentNoteFactory, IncidentRollbackFactory
from tests.factories.registry import ArtefactFactory, VersionFactory
from tests.factories.rollbacks import RollbackFactory
from tests.factories.routing import RoutingPolicyFactory

INCIDENTS = "/api/v1/incidents/"


def url(incident: Any, *rest: str) -> str:
    return f"{INCIDENTS}{incident.pk}/" + "".join(f"{part}/" for part in rest)


def post(client: CheckedClient, address: str, status: int = 200, **body: Any) -> Any:
    response = client.post(address, body, format="json")
    assert response.status_code == status, response.content
    return response.json()


@pytest.fixture
def policy(db: None) -> RoutingPolicy:
    found: RoutingPolicy = RoutingPolicyFactory(environment__slug="production", alias="smart-reasoner")
    return found


@pytest.fixture
def incident(policy: RoutingPolicy) -> Incident:
    found: Incident = IncidentFactory(environment=policy.environment, aliases=[policy])
    return found


def test_incident_is_opened_once_and_answered_as_it_stands(on_call: CheckedClient, policy: RoutingPolicy, cast: Cast) -> None:
    detected = (clock.now() - dt.timedelta(minutes=3)).isoformat()
    body = {
        "title": "Answers in the wrong language",
        "aliases": ["smart-reasoner"],
        "severity": "sev1",
        "summary": "**All** tenants.",
        "detected_at": detected,
        "detected_by": "support",
        "take_command": True,
    }
    key = {"Idempotency-Key": "open-1"}
    first = on_call.post(INCIDENTS, body, format="json", headers=key)
    assert first.status_code == 201
    content = first.json()
    assert (content["state"], content["source"], content["environment"], content["aliases"]) == ("open", "person", "production", ["smart-reasoner"])
    assert (content["commander"], content["detected_by"], content["page"]) == ("oncall", "support", f"/incidents/{content['id']}/")
    assert content["opened_by"].startswith("Olga Call by token")
    assert first["Location"] == content["url"]
    assert on_call.post(INCIDENTS, body, format="json", headers=key)["Idempotent-Replayed"] == "true"
    assert Incident.objects.count() == 1
    assert on_call.get(content["url"]).json() == content


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"aliases": []}, "aliases"),
        ({"aliases": ["nothing-like-it"]}, "alias"),
        ({"environment": "nowhere"}, "environment"),
        ({"title": "x"}, "title"),
        ({"severity": "sev9"}, "severity"),
        ({"detected_at": "2100-01-01T00:00:00Z"}, "detected_at"),
        ({"nonsense": 1}, "nonsense"),
    ],
)
def test_incident_that_cannot_be_opened_is_refused_at_its_field(wrong: dict[str, Any], field: str, on_call: CheckedClient, policy: RoutingPolicy) -> None:
    refused = post(on_call, INCIDENTS, 422, **{"title": "Wrong language", "aliases": ["smart-reasoner"], **wrong})
    assert field in refused["fields"]
    assert not Incident.objects.exists()


def test_service_account_opens_incidents_and_leads_none(by_token: Caller, cast: Cast, policy: RoutingPolicy) -> None:
    service = by_token(UserFactory(responsible=cast.on_call, roles=["on_call"]))
    body = {"title": "Wrong language", "aliases": ["smart-reasoner"]}
    assert post(service, INCIDENTS, 422, **body, take_command=True)["code"] == "cannot_lead"
    assert post(service, INCIDENTS, 201, **body)["commander"] is None


def test_incidents_are_listed_and_filtered(on_call: CheckedClient, incident: Incident) -> None:
    team = TeamFactory(slug="search")
    other = RoutingPolicyFactory(alias="finder", environment__slug="staging", artefact=ArtefactFactory(slug="finder-prompt", team=team))
    closed = IncidentFactory(closed=True, severity="sev4", environment=other.environment, aliases=[other], opened_at=clock.now() - dt.timedelta(days=1))
    rows = on_call.get(INCIDENTS).json()["results"]
    assert [row["id"] for row in rows] == [str(incident.pk), str(closed.pk)]
    for query in ({"state": "closed"}, {"severity": "sev4"}, {"environment": "staging"}, {"alias": "finder"}, {"team": "search"}):
        assert [row["id"] for row in on_call.get(INCIDENTS, query).json()["results"]] == [str(closed.pk)], query
    assert on_call.get(INCIDENTS, {"state": "broken"}).status_code == 422


def test_number_of_queries_of_the_list_does_not_grow(on_call: CheckedClient, policy: RoutingPolicy, django_assert_max_num_queries: Any) -> None:
    for _ in range(5):
        IncidentFactory(environment=policy.environment, aliases=[policy])
    with django_assert_max_num_queries(9):
        assert len(on_call.get(INCIDENTS).json()["results"]) == 5


def test_from_severity_to_closed_and_open_again(on_call: CheckedClient, incident: Incident) -> None:
    assert post(on_call, url(incident, "severity"), severity="sev3", reason="One tenant.")["severity"] == "sev3"
    assert post(on_call, url(incident, "stable"), 422)["fields"]["evidence"]
    stable = post(on_call, url(incident, "stable"), evidence="The flag is off.")
    assert (stable["state"], stable["stable_evidence"], stable["stable_by"].startswith("Olga Call")) == ("stable", "The flag is off.", True)
    assert post(on_call, url(incident, "stable"), 409, evidence="Again.")["code"] == "wrong_state"
    closed = post(on_call, url(incident, "close"), reason="All looked at.")
    assert (closed["state"], closed["closed_reason"]) == ("closed", "All looked at.")
    refused = post(on_call, url(incident, "close"), 409, reason="Again.")
    assert (refused["code"], refused["state"]) == ("wrong_state", "closed")
    again = post(on_call, url(incident, "reopen"), reason="It is back.")
    assert (again["state"], again["closed_at"], again["stable_at"]) == ("open", None, None)
    assert post(on_call, url(incident, "close"), 422)["code"] == "reason_missing"


def test_title_and_summary_are_changed_by_who_has_read_what_stands_there(by_token: Caller, cast: Cast, incident: Incident) -> None:
    on_call, lead = by_token(cast.on_call), by_token(cast.lead)
    seen = on_call.get(url(incident)).json()["details_hash"]
    changed = post(on_call, url(incident), title="The first", summary="First words.", seen_hash=seen)
    assert (changed["title"], changed["summary"]) == ("The first", "First words.")
    refused = post(lead, url(incident), 409, title="The second", seen_hash=seen)
    assert (refused["code"], refused["current_title"]) == ("details_moved", "The first")
    assert (refused["current_summary"], refused["details_hash"]) == ("First words.", changed["details_hash"])
    incident.refresh_from_db()
    assert (incident.title, incident.summary) == ("The first", "First words.")
    assert AuditEvent.objects.filter(event="incident.details_changed").count() == 1
    after = post(lead, url(incident), title="The second", seen_hash=refused["details_hash"])
    assert (after["title"], after["summary"]) == ("The second", "First words."), "what is left out stays"


@pytest.mark.parametrize("seen", [{}, {"seen_hash": ""}, {"seen_hash": None}, {"seen_hash": "x" * 65}])
def test_title_is_not_changed_without_saying_what_was_read(seen: dict[str, Any], on_call: CheckedClient, incident: Incident) -> None:
    assert list(post(on_call, url(incident), 422, title="Another title", **seen)["fields"]) == ["seen_hash"]
    incident.refresh_from_db()
    assert incident.title != "Another title"


def test_incident_with_a_rollback_that_goes_on_is_not_closed(on_call: CheckedClient, cast: Cast) -> None:
    link = IncidentRollbackFactory(rollback=RollbackFactory(running=True))
    refused = post(on_call, url(link.incident, "close"), 409, reason="x")
    assert (refused["code"], refused["url"]) == ("rollback_running", f"/rollbacks/{link.rollback_id}/")


def test_command_is_taken_handed_over_and_given_up(by_token: Caller, cast: Cast, incident: Incident) -> None:
    on_call, lead = by_token(cast.on_call), by_token(cast.lead)
    address = url(incident, "command")
    assert post(on_call, address, act="take")["commander"] == "oncall"
    assert post(lead, address, 409, act="take")["code"] == "commander_changed"
    assert post(lead, address, act="take", instead_of="oncall")["commander"] == "lead"
    assert post(on_call, address, 403, act="give_up")["code"] == "not_commander"
    assert list(post(lead, address, 422, act="hand_over")["fields"]) == ["to"]
    assert post(lead, address, 422, act="hand_over", to="auditor")["code"] == "cannot_lead"
    assert post(lead, address, act="hand_over", to="oncall")["commander"] == "oncall"
    assert Notice.objects.filter(user=cast.on_call, subject__startswith="You lead now").count() == 1
    assert post(on_call, address, act="give_up")["commander"] is None


def test_affected_aliases_and_versions_are_changed(on_call: CheckedClient, incident: Incident, policy: RoutingPolicy) -> None:
    RoutingPolicyFactory(alias="finder", environment=policy.environment)
    VersionFactory(artefact=policy.artefact, label="v9")
    version = {"artefact": policy.artefact.slug, "version": "v9"}
    found = post(on_call, url(incident, "affected"), add_aliases=["finder"], add_versions=[version])
    assert found["aliases"] == ["finder", "smart-reasoner"]
    assert found["versions"] == [{**version, "by_rollback": False}]
    found = post(on_call, url(incident, "affected"), remove_aliases=["finder"], remove_versions=[version])
    assert (found["aliases"], found["versions"]) == (["smart-reasoner"], [])
    assert "add_versions" in post(on_call, url(incident, "affected"), 422, add_versions=[{"artefact": "x", "version": "y"}])["fields"]
    link = IncidentRollbackFactory()
    part = link.rollback.parts.get()
    assert post(on_call, url(link.incident, "affected"), 409, remove_aliases=[part.policy.alias])["code"] == "part_of_rollback"
    shown = on_call.get(url(link.incident)).json()
    assert [(row["id"], row["how"]) for row in shown["rollbacks"]] == [(str(link.rollback_id), "opened")]
    assert [row["by_rollback"] for row in shown["versions"]] == [True]


def test_notes_are_written_changed_and_withdrawn_with_their_history(by_token: Caller, cast: Cast, incident: Incident) -> None:
    on_call, lead = by_token(cast.on_call), by_token(cast.lead)
    key = {"Idempotency-Key": "note-1"}
    first = on_call.post(url(incident, "notes"), {"text": "Support called."}, format="json", headers=key)
    assert first.status_code == 201
    assert on_call.post(url(incident, "notes"), {"text": "Support called."}, format="json", headers=key)["Idempotent-Replayed"] == "true"
    note = IncidentNote.objects.get()
    address = url(incident, "notes", str(note.pk))
    assert first["Location"] == address
    changed = post(lead, address, text="Support called twice.", based_on=1)
    assert [(text["number"], text["text"]) for text in changed["texts"]] == [(2, "Support called twice."), (1, "Support called.")]
    refused = post(on_call, address, 409, text="Mine.", based_on=1)
    assert (refused["code"], refused["text"], refused["number"]) == ("note_moved", "Support called twice.", 2)
    assert refused["by"].startswith("Lee Lead")
    assert post(on_call, url(incident, "notes", str(note.pk), "withdraw"), reason="Another alias.")["withdrawn_reason"] == "Another alias."
    assert [row["id"] for row in on_call.get(url(incident, "notes")).json()] == [note.pk]
    assert on_call.get(address).json()["withdrawn_by"].startswith("Olga Call")
    other = IncidentNoteFactory()
    assert on_call.get(url(incident, "notes", str(other.pk))).json()["code"] == "note_not_found"


def test_corrections_stand_until_they_are_withdrawn(on_call: CheckedClient, incident: Incident) -> None:
    address = url(incident, "corrections")
    at = (clock.now() - dt.timedelta(minutes=9)).replace(microsecond=0)
    first = post(on_call, address, 201, matter="detection", detected_at=at.isoformat(), reason="The log.")
    post(on_call, address, 201, matter="exposure", observed=3, reason="The log.")
    post(on_call, address, 201, matter="impact", impact="Empty answers.", reason="Support.")
    shown = on_call.get(url(incident)).json()
    assert (shown["exposure_observed"], shown["impact"], dt.datetime.fromisoformat(shown["detected_at"])) == (3, "Empty answers.", at)
    assert len(shown["corrections"]) == 3
    assert post(on_call, address, 422, matter="detection", reason="x")["code"] == "detected_at_missing"
    assert "observed" in post(on_call, address, 422, matter="exposure", reason="x")["fields"]
    assert post(on_call, address, 422, matter="impact", reason="x")["code"] == "impact_missing"
    withdrawn = post(on_call, url(incident, "corrections", str(first["id"]), "withdraw"), reason="It was not.")
    assert withdrawn["detected_at"] is None
    rows = on_call.get(address).json()
    assert [row["ended_at"] is None for row in rows] == [True, True, False]
    assert post(on_call, url(incident, "corrections", str(first["id"]), "withdraw"), 404, reason="x")["code"] == "correction_not_found"


def test_timeline_is_answered_in_order_with_notes_named(on_call: CheckedClient, incident: Incident) -> None:
    post(on_call, url(incident, "severity"), severity="sev1")
    about = clock.now() - dt.timedelta(minutes=1)
    note = post(on_call, url(incident, "notes"), 201, text="Seen.", about_at=about.isoformat())
    response = on_call.get(url(incident, "timeline"))
    found = response.json()
    assert [(line["kind"], line["words"], line["note"]) for line in found["lines"]] == [("note", "Note", note["id"]), ("event", "Severity SEV 2 → SEV 1", None)]
    assert found["is_whole"] is True
    assert on_call.get(url(incident, "timeline"), headers={"If-None-Match": response["ETag"]}).status_code == 304


def test_auditor_reads_and_changes_nothing(by_token: Caller, cast: Cast, incident: Incident) -> None:
    auditor = by_token(cast.auditor)
    for address in (INCIDENTS, url(incident), url(incident, "timeline"), url(incident, "notes"), url(incident, "corrections")):
        assert auditor.get(address).status_code == 200
    for rest in ("severity", "command", "affected", "stable", "close", "reopen", "notes", "corrections"):
        assert post(auditor, url(incident, rest), 403)["code"] == "forbidden"


@pytest.mark.parametrize("rest", ["severity", "command", "affected", "stable", "close", "reopen", "notes", "corrections"])
def test_token_needs_the_scope_to_respond(rest: str, by_token: Caller, cast: Cast, incident: Incident) -> None:
    reader = by_token(cast.on_call, scopes=("read", "rollback"))
    assert "scope respond" in post(reader, url(incident, rest), 403)["detail"]
    assert by_token(cast.on_call, scopes=("respond",)).post(url(incident, rest), {}, format="json").status_code in (200, 422)


def test_incident_that_does_not_exist_is_said_before_what_the_body_lacks(on_call: CheckedClient) -> None:
    address = f"{INCIDENTS}{uuid.uuid4()}/"
    for rest in ("", "severity/", "command/", "affected/", "stable/", "close/", "reopen/", "notes/", "corrections/"):
        assert post(on_call, address + rest, 404)["code"] == "incident_not_found"
