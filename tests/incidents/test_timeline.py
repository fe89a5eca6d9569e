"""The timeline fills itself from what was recorded, in words, with a number of queries that does not grow."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.db import connection, transaction

from incidents.domain.acts import declare_stable, reopen_incident, set_severity, take_command
from incidents.domain.corrections import correct_detection
from incidents.domain.notes import add_note, withdraw_note
from incidents.domain.one_page import one_page_of
from incidents.domain.selectors import get_incident, incident_of
from incidents.domain.timeline import Line, Timeline
from incidents.domain.timeline_words import STEPS, UNSETTLED, WORDS, event_in_words, values_in_words
from incidents.domain.transitions import follow_rollbacks
from incidents.enums import Severity
from incidents.models import Incident
from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.accounts.models import User
from rollbackhub.audit.actors import system_actor
from rollbackhub.audit.domain.record import record
from rollbackhub.common import clock
from rollbackhub.common.verdict import Verdict
from rollbackhub.executions.enums import StepState
from rollbackhub.executions.models import Execution
from rollbackhub.rollbacks.models import Rollback
from rollbackhub.routing.models import RoutingPolicy
from tests.dashboard.rollback_world import make_rollback
from tests.factories.executions import ExecutionFactory, FindingFactory
from tests.factories.fixtures import Cast
from tests.factories.incidents import IncidentFactory, IncidentRollbackFactory
from tests.factories.releases import ReleaseFactory
from tests.rollbacks.conftest import approve, ask, ends, run, script

pytestmark = pytest.mark.django_db
POSTMORTEMS = system_actor("postmortems")


def who(user: User) -> dict[str, Any]:
    return {"account": user, "actor": actor_of(user)}


def followed(rollback: Rollback) -> Incident:
    follow_rollbacks()
    incident = incident_of(rollback)
    assert incident is not None
    return get_incident(incident.pk)


def lines(incident: Incident) -> list[Line]:
    return Timeline(get_incident(incident.pk)).lines


def words(incident: Incident) -> list[str]:
    return [line.words for line in lines(incident)]


def write(event: str, **values: Any) -> None:
    with transaction.atomic():
        record(event=event, actor=POSTMORTEMS, **values)


def test_rollback_that_ran_through_tells_all_of_it_without_a_hand_written_line(dataset: RoutingPolicy, cast: Cast) -> None:
    detected = clock.now() - dt.timedelta(minutes=3)
    rollback = ask(dataset, account=cast.on_call, detected_at=detected, detected_by="negative feedback")
    followed(rollback)
    approve(rollback, cast.lead)
    incident = followed(run(rollback))
    said = lines(incident)
    assert [line.at for line in said] == sorted(line.at for line in said)
    found = [line.words for line in said]
    assert found[0] == "Noticed: negative feedback"
    in_order = [
        "Decided to roll back answers-corpus",
        "Approved",
        "Flipped at answers-corpus: Flip",
        "Acknowledged at answers-corpus: Gateways acknowledge",
        "Drained at answers-corpus: Traffic drains",
        "Verified by checks at answers-corpus: Verify",
        "Verified",
        "Stable: the harm is over",
    ]
    assert [line for line in found if line in in_order] == in_order
    assert any(line.startswith("Restored in ") for line in found)
    assert "v2 is under a stability hold" in found
    decided = next(line for line in said if line.words.startswith("Decided"))
    assert (decided.who, decided.who_kind, decided.url, decided.detail) == ("Olga Call", "person", f"/rollbacks/{rollback.pk}/", rollback.reason)
    approved = next(line for line in said if line.words == "Approved")
    assert (approved.who, approved.who_kind) == ("Lee Lead", "person")
    assert not any(line.words.startswith(("Execution ", "Incident updated")) for line in said), "what another line says is left out"


def test_step_that_did_not_pass_says_so_with_its_message(policy: RoutingPolicy, cast: Cast) -> None:
    script("propagate", ends(Verdict.FAILED, "1 of 2 gateways did not acknowledge."))
    incident = followed(run(ask(policy, account=cast.on_call)))
    failed = next(line for line in lines(incident) if line.failed)
    assert (failed.words, failed.detail) == ("Did not pass at smart-reasoner: Gateways acknowledge", "1 of 2 gateways did not acknowledge.")
    assert "Restored only in part" in words(incident)


def test_release_that_took_the_bad_version_live_is_told_with_its_canary_steps() -> None:
    link = IncidentRollbackFactory()
    part = link.rollback.parts.get()
    release = ReleaseFactory(policy=part.policy, to_version=part.bad_version, started_at=clock.now())
    other = ReleaseFactory(started_at=clock.now())
    for event, data in (("release.step_taken", {"percent": 5}), ("release.step_taken", {"percent": 25}), ("release.went_live", {"percent": 100})):
        write(event, subject_type="release", subject_id=release.pk, data=data)
    write("release.went_live", subject_type="release", subject_id=other.pk, data={})
    found = [(line.words, line.url) for line in lines(link.incident) if line.event.startswith("release.")]
    bad, alias, url = part.bad_version.label, part.policy.alias, f"/releases/{release.pk}/"
    assert found == [
        (f"{bad} got 5 % of {alias}", url),
        (f"{bad} got 25 % of {alias}", url),
        (f"{bad} went live at {alias}, with all of the traffic", url),
    ]


def test_acts_and_notes_of_people_stand_on_it_at_the_instant_that_they_are_about(cast: Cast) -> None:
    incident = IncidentFactory()
    set_severity(incident_id=incident.pk, severity=Severity.SEV1, reason="All tenants.", **who(cast.on_call))
    take_command(incident_id=incident.pk, **who(cast.on_call))
    take_command(incident_id=incident.pk, instead_of=cast.on_call, **who(cast.lead))
    correct_detection(incident_id=incident.pk, detected_at=clock.now() - dt.timedelta(minutes=9), reason="The log.", **who(cast.lead))
    declare_stable(incident_id=incident.pk, evidence="The flag is off.", **who(cast.lead))
    reopen_incident(incident_id=incident.pk, reason="It is on again.", **who(cast.lead))
    about = clock.now() - dt.timedelta(minutes=4)
    note = add_note(incident_id=incident.pk, text="Support called.", about_at=about, **who(cast.on_call))
    withdraw_note(incident_id=incident.pk, note_id=note.pk, reason="Another alias.", **who(cast.on_call))
    found = lines(incident)
    assert [line.kind for line in found][:2] == ["detected", "note"]
    assert (found[1].at, found[1].note, found[1].who) == (about, note, "Olga Call")
    assert found[1].note is not None
    assert found[1].note.withdrawn_at is not None
    said = [line.words for line in found[2:]]
    assert said[:3] == ["Severity SEV 2 → SEV 1", "Olga Call took the command", "Lee Lead took over the command from Olga Call"]
    assert said[3].startswith("Detection corrected: unknown → ")
    assert said[4:] == ["Stable: the harm is over", "Open again"]
    assert [line.detail for line in found[2:]] == ["All tenants.", "", "", "The log.", "The flag is off.", "It is on again."]


def test_other_parts_are_told_when_the_incident_is_their_subject_or_in_their_data() -> None:
    incident, other = IncidentFactory(), IncidentFactory()
    write("postmortem.published", subject_type="postmortem", subject_id=7, data={"incident": str(incident.pk), "url": "/postmortems/7/", "title": "x"})
    write("notification.sent", subject_type="incident", subject_id=incident.pk, data={"reason": "To the team platform."})
    write("alert.proposed", subject_type="alert", subject_id=3, data={"incident": str(incident.pk), "url": "https://evil.example/"})
    write("alert.proposed", subject_type="alert", subject_id=4, data={"incident": str(incident.pk), "url": "//evil.example/"})
    write("alert.proposed", subject_type="alert", subject_id=5, data={"incident": str(other.pk)})
    write("alert.proposed", subject_type="alert", subject_id=6, data={"incident": [str(incident.pk)]})
    found = [(line.words, line.url, line.detail) for line in lines(incident)]
    assert found == [
        ("Postmortem published", "/postmortems/7/", ""),
        ("Notification sent", "", "To the team platform."),
        ("Alert proposed", "", ""),
        ("Alert proposed", "", ""),
    ]


def test_event_that_is_both_is_told_once() -> None:
    incident = IncidentFactory()
    write("alert.joined", subject_type="incident", subject_id=incident.pk, data={"incident": str(incident.pk)})
    assert words(incident) == ["Alert joined"]


def test_hold_of_another_rollback_is_not_told() -> None:
    link = IncidentRollbackFactory()
    part = link.rollback.parts.get()
    for rollback_id in (link.rollback_id, "another"):
        write("hold.started", subject_type="version", subject_id=part.bad_version_id, data={"rollback": str(rollback_id)})
    assert [word for word in words(link.incident) if "hold" in word] == [f"{part.bad_version.label} is under a stability hold"]


def test_words_with_braces_in_the_data_are_not_filled_again() -> None:
    incident = IncidentFactory()
    write("incident.opened", subject_type="incident", subject_id=incident.pk, data={"title": "{alias.__class__} {0} }{"})
    assert words(incident) == ["Incident opened: {alias.__class__} {0} }{"]


def test_only_the_newest_are_shown_where_there_are_too_many() -> None:
    incident = IncidentFactory()
    for number in range(5):
        write(f"alert.number_{number}", subject_type="incident", subject_id=incident.pk)
    timeline = Timeline(get_incident(incident.pk), limit=3)
    assert [line.words for line in timeline.lines] == ["Alert number 2", "Alert number 3", "Alert number 4"]
    assert not timeline.is_whole
    whole = Timeline(get_incident(incident.pk), limit=5)
    assert (len(whole.lines), whole.is_whole) == (5, True)


@pytest.mark.parametrize("event", sorted(WORDS))
def test_words_of_each_event_are_readable_whatever_its_data_lack(event: str) -> None:
    said = event_in_words(event, {})
    assert said is None or (said and said == said.strip() and not {"{", "}"} & set(said))


def test_corrected_instant_is_told_in_the_zone_that_it_names() -> None:
    tokyo = {"detected_at": "2026-12-01T14:05:00+09:00"}
    assert values_in_words(tokyo) == values_in_words({"detected_at": "2026-12-01T05:05:00+00:00"}) == "2026-12-01 05:05:00 UTC"


def test_words_of_steps_cover_every_state_that_ends() -> None:
    assert set(UNSETTLED) | {StepState.DONE, StepState.STARTED} == set(StepState)
    assert len(STEPS) == 5


@pytest.mark.parametrize("rollbacks", [1, 4])
def test_number_of_queries_does_not_grow_with_rollbacks(rollbacks: int, django_assert_num_queries: Any, cast: Cast) -> None:
    incident = IncidentFactory()
    for number in range(rollbacks):
        rollback = make_rollback("verified", alias=f"alias-{number}", person=cast.on_call)
        IncidentRollbackFactory(rollback=rollback, incident=incident)
        part = rollback.parts.get()
        incident.aliases.add(part.policy)
        ReleaseFactory(policy=part.policy, to_version=part.bad_version, started_at=clock.now())
    add_note(incident_id=incident.pk, text="Seen.", **who(cast.on_call))
    found = get_incident(incident.pk)
    with django_assert_num_queries(9):
        assert len(Timeline(found).lines) > rollbacks * 4
    with django_assert_num_queries(8):
        assert len(one_page_of(found).rollbacks) == rollbacks


def test_events_that_name_an_incident_are_found_by_their_index() -> None:
    incident = IncidentFactory()
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        asked = "SELECT * FROM audit_auditevent WHERE data ? 'incident' AND data ->> 'incident' = %s ORDER BY id DESC LIMIT 1001"
        cursor.execute(f"EXPLAIN {asked}", [str(incident.pk)])
        plan = "\n".join(row[0] for row in cursor.fetchall())
    assert "audit_event_of_incident" in plan


def test_one_page_has_authority_evidence_drills_and_findings(dataset: RoutingPolicy, cast: Cast) -> None:
    rollback = ask(dataset, account=cast.on_call)
    approve(rollback, cast.lead)
    incident = followed(run(rollback))
    part = rollback.parts.get()
    before = ExecutionFactory(passed=True, kind="drill", policy__alias=dataset.alias, policy__artefact=dataset.artefact)
    since = ExecutionFactory(passed=True, kind="drill", policy=before.policy)
    Execution.objects.filter(pk=before.pk).update(created_at=rollback.decided_at - dt.timedelta(minutes=1))
    FindingFactory(execution=since)
    ExecutionFactory(passed=True, kind="drill")
    finding = FindingFactory(execution=part.execution)
    page = one_page_of(incident)
    entry = page.rollbacks[0]
    assert (entry.aliases, entry.authority) == ("answers-corpus", incident.authority)
    assert [(approval.user, approval.decision) for approval in entry.approvals] == [(cast.lead, "approved")]
    assert [segment.segment for segment in entry.segments][-1] == "verify"
    assert (page.drills, page.drilled_since) == ([before], [since]), "what was drilled afterwards does not count as rehearsed"
    assert page.findings == [finding]
