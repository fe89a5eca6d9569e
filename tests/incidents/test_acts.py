"""What people do with incidents: each act in each state by each role, what it needs, and that it is on the record."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from incidents.domain import acts
from incidents.domain.acts import close_incident, declare_stable, give_up_command, hand_over_command, reopen_incident, set_severity, take_command
from incidents.domain.affected import change_affected
from incidents.domain.corrections import correct_detection, correct_exposure, correct_impact
from incidents.domain.notes import add_note
from incidents.domain.opening import open_incident
from incidents.domain.selectors import list_versions_of
from incidents.domain.transitions import follow_rollbacks, follow_what_was_missed
from incidents.enums import IncidentState, Severity, Source
from incidents.models import Incident
from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.accounts.models import Notice, User
from rollbackhub.audit.models import AuditEvent
from rollbackhub.common import clock
from rollbackhub.common.errors import Conflict, Forbidden, InvalidInput, NotFound
from rollbackhub.executions.enums import ExecutionState
from rollbackhub.executions.models import Execution
from rollbackhub.rollbacks.enums import HOLDING_STATES, RollbackState
from rollbackhub.rollbacks.models import Rollback
from tests.factories.accounts import UserFactory
from tests.factories.fixtures import Cast
from tests.factories.incidents import IncidentFactory, IncidentRollbackFactory
from tests.factories.registry import VersionFactory
from tests.factories.rollbacks import RollbackFactory
from tests.factories.routing import RoutingPolicyFactory

pytestmark = pytest.mark.django_db

Act = Callable[[Incident, User], Any]


def who(user: User) -> dict[str, Any]:
    return {"account": user, "actor": actor_of(user)}


def last_event(incident: Incident) -> AuditEvent:
    found = AuditEvent.objects.filter(subject_type="incident", subject_id=str(incident.pk)).order_by("-id").first()
    assert found is not None
    return found


def fresh(incident: Incident) -> Incident:
    return Incident.objects.get(pk=incident.pk)


def make(state: str, *, commander: User | None = None) -> Incident:
    policy = RoutingPolicyFactory()
    values: dict[str, Any] = {state: True} if state != "open" else {}
    incident: Incident = IncidentFactory(environment=policy.environment, aliases=[policy], commander=commander, **values)
    return incident


ACTS: dict[str, Act] = {
    "severity": lambda incident, user: set_severity(incident_id=incident.pk, severity=Severity.SEV1, **who(user)),
    "details": lambda incident, user: acts.change_details(incident_id=incident.pk, title="Another title", seen_hash=acts.details_hash(incident), **who(user)),
    "take": lambda incident, user: take_command(incident_id=incident.pk, instead_of=incident.commander, **who(user)),
    "hand over": lambda incident, user: hand_over_command(incident_id=incident.pk, to=UserFactory(roles=["on_call"]), **who(user)),
    "give up": lambda incident, user: give_up_command(incident_id=incident.pk, **who(user)),
    "stable": lambda incident, user: declare_stable(incident_id=incident.pk, evidence="No complaint for an hour.", **who(user)),
    "close": lambda incident, user: close_incident(incident_id=incident.pk, reason="All looked at.", **who(user)),
    "reopen": lambda incident, user: reopen_incident(incident_id=incident.pk, reason="It is back.", **who(user)),
    "affected": lambda incident, user: change_affected(
        incident_id=incident.pk, add_aliases=[RoutingPolicyFactory(alias=f"beside-{user.username}", environment=incident.environment)], **who(user)
    ),
    "note": lambda incident, user: add_note(incident_id=incident.pk, text="Seen.", **who(user)),
    "detection": lambda incident, user: correct_detection(incident_id=incident.pk, detected_at=clock.now(), reason="Logs.", **who(user)),
    "exposure": lambda incident, user: correct_exposure(incident_id=incident.pk, observed=3, reason="Logs.", **who(user)),
    "impact": lambda incident, user: correct_impact(incident_id=incident.pk, impact="Empty answers.", reason="Support.", **who(user)),
}
NOT_IN: dict[str, set[str]] = {
    "take": {"closed"},
    "hand over": {"closed"},
    "give up": {"closed"},
    "stable": {"stable", "closed"},
    "close": {"closed"},
    "reopen": {"open"},
}
"""Where an act is refused by the incident's state; the others work in all."""
MAY = {"on_call", "lead", "leadership", "admin"}


@pytest.mark.parametrize("name", ACTS)
@pytest.mark.parametrize("state", ["open", "stable", "closed"])
def test_act_works_in_exactly_the_states_and_for_exactly_the_roles_that_the_rules_say(state: str, name: str, cast: Cast) -> None:
    for role, user in cast.everybody_but().items():
        incident = make(state, commander=user if name in ("hand over", "give up") else None)
        before = AuditEvent.objects.count()
        if role not in MAY:
            with pytest.raises(Forbidden, match="To work on incidents you need"):
                ACTS[name](incident, user)
        elif state in NOT_IN.get(name, set()):
            with pytest.raises(Conflict) as refusal:
                ACTS[name](incident, user)
            assert (refusal.value.code, refusal.value.extra["state"]) == ("wrong_state", state)
        else:
            ACTS[name](incident, user)
            event = last_event(incident)
            assert (event.event.split(".")[0], event.actor_user_id) == ("incident", user.pk)
            continue
        assert AuditEvent.objects.count() == before, "what is refused leaves nothing"
        assert fresh(incident).state == state


@pytest.mark.parametrize("name", ACTS)
def test_act_on_an_incident_that_does_not_exist_is_not_found(name: str, cast: Cast) -> None:
    incident = make("open", commander=cast.lead)
    incident.pk = uuid.uuid4()
    with pytest.raises(NotFound, match="no such incident"):
        ACTS[name](incident, cast.lead)


def test_severity_that_it_has_already_is_not_recorded_again(cast: Cast) -> None:
    incident = make("open")
    set_severity(incident_id=incident.pk, severity=Severity.SEV1, reason="All tenants.", **who(cast.on_call))
    assert last_event(incident).data == {"before": "sev2", "after": "sev1", "reason": "All tenants."}
    count = AuditEvent.objects.count()
    set_severity(incident_id=incident.pk, severity=Severity.SEV1, **who(cast.on_call))
    assert AuditEvent.objects.count() == count


def test_details_are_audited_old_and_new(cast: Cast) -> None:
    incident = make("closed")
    acts.change_details(incident_id=incident.pk, summary="All of it.", title=incident.title, seen_hash=acts.details_hash(incident), **who(cast.on_call))
    assert last_event(incident).data == {"changes": {"summary": {"before": "", "after": "All of it."}}}
    refused: tuple[tuple[dict[str, Any], str], ...] = (
        ({"title": "x"}, "title"),
        ({"title": "one\ntwo"}, "title"),
        ({"summary": "x" * 4001}, "summary"),
        ({"summary": "\x00"}, "summary"),
    )
    for values, field in refused:
        with pytest.raises(InvalidInput) as refusal:
            acts.change_details(incident_id=incident.pk, seen_hash=acts.details_hash(incident), **values, **who(cast.on_call))
        assert list(refusal.value.fields) == [field]


# --- Command ---


def test_command_is_taken_handed_over_and_given_up_and_people_are_told(cast: Cast) -> None:
    incident = make("open")
    assert take_command(incident_id=incident.pk, **who(cast.on_call)).commander == cast.on_call
    take_command(incident_id=incident.pk, **who(cast.on_call))
    assert AuditEvent.objects.filter(event="incident.commander_changed").count() == 1, "who leads it already takes nothing"
    take_command(incident_id=incident.pk, instead_of=cast.on_call, **who(cast.lead))
    assert "has taken over the command" in Notice.objects.get(user=cast.on_call).subject
    with pytest.raises(Forbidden, match="Lee Lead leads it") as refusal:
        hand_over_command(incident_id=incident.pk, to=cast.leadership, **who(cast.on_call))
    assert refusal.value.code == "not_commander"
    hand_over_command(incident_id=incident.pk, to=cast.leadership, **who(cast.lead))
    assert Notice.objects.get(user=cast.leadership).subject == f"You lead now: {incident.title}"
    give_up_command(incident_id=incident.pk, **who(cast.leadership))
    assert fresh(incident).commander is None
    assert last_event(incident).data["before_name"] == "Vera Vice"
    with pytest.raises(Forbidden, match="Nobody leads it"):
        give_up_command(incident_id=incident.pk, **who(cast.leadership))


def test_command_that_somebody_else_took_meanwhile_is_not_taken_unknowingly(cast: Cast) -> None:
    incident = make("open")
    take_command(incident_id=incident.pk, **who(cast.on_call))
    with pytest.raises(Conflict, match="Olga Call leads it now") as refusal:
        take_command(incident_id=incident.pk, **who(cast.lead))
    assert (refusal.value.code, refusal.value.extra["commander"]) == ("commander_changed", "oncall")
    give_up_command(incident_id=incident.pk, **who(cast.on_call))
    with pytest.raises(Conflict, match="nobody leads it any more"):
        take_command(incident_id=incident.pk, instead_of=cast.on_call, **who(cast.lead))


@pytest.mark.parametrize("kind", ["service", "auditor", "inactive"])
def test_who_cannot_lead_is_not_handed_the_command(kind: str, cast: Cast) -> None:
    incident = make("open", commander=cast.lead)
    kinds: dict[str, dict[str, Any]] = {"service": {"responsible": cast.lead}, "auditor": {}, "inactive": {"is_active": False}}
    values = kinds[kind]
    to = cast.auditor if kind == "auditor" else UserFactory(roles=["on_call"], **values)
    with pytest.raises(InvalidInput) as refusal:
        hand_over_command(incident_id=incident.pk, to=to, **who(cast.lead))
    assert refusal.value.code == "cannot_lead"


# --- Stable, closed, open again ---


def test_stable_by_a_person_keeps_evidence_and_instant(cast: Cast) -> None:
    incident = make("open")
    with pytest.raises(InvalidInput) as refusal:
        declare_stable(incident_id=incident.pk, evidence="  ", **who(cast.on_call))
    assert refusal.value.code == "evidence_missing"
    at = clock.now() - dt.timedelta(minutes=1)
    declare_stable(incident_id=incident.pk, evidence="The flag is off.", at=at, **who(cast.on_call))
    found = fresh(incident)
    assert (found.state, found.stable_at, found.stable_by_label, found.stable_evidence) == ("stable", at, "Olga Call", "The flag is off.")
    assert last_event(incident).data == {"from": "open", "to": "stable", "stable_at": at.isoformat(), "evidence": "The flag is off."}


@pytest.mark.parametrize("minutes", [-6, 1])
def test_stable_before_it_began_or_in_the_future_is_refused(minutes: int, cast: Cast) -> None:
    incident = make("open")
    with pytest.raises(InvalidInput) as refusal:
        declare_stable(incident_id=incident.pk, evidence="x", at=clock.now() + dt.timedelta(minutes=minutes), **who(cast.on_call))
    assert refusal.value.code == "stable_at_invalid"


def test_stable_may_be_before_it_was_opened_when_it_was_noticed_earlier(cast: Cast) -> None:
    incident = make("open")
    Incident.objects.filter(pk=incident.pk).update(detected_at=clock.now() - dt.timedelta(hours=1))
    at = clock.now() - dt.timedelta(minutes=30)
    assert declare_stable(incident_id=incident.pk, evidence="x", at=at, **who(cast.on_call)).stable_at == at


def test_what_is_not_stable_is_closed_with_a_reason_only(cast: Cast) -> None:
    incident = make("open")
    with pytest.raises(InvalidInput) as refusal:
        close_incident(incident_id=incident.pk, **who(cast.on_call))
    assert refusal.value.code == "reason_missing"
    close_incident(incident_id=incident.pk, reason="A false alarm.", **who(cast.on_call))
    found = fresh(incident)
    assert (found.state, found.stable_at, found.closed_by_label, found.closed_reason) == ("closed", None, "Olga Call", "A false alarm.")
    stable = make("stable")
    assert close_incident(incident_id=stable.pk, **who(cast.on_call)).closed_reason == ""


@pytest.mark.parametrize("state", RollbackState.values)
def test_incident_is_closed_only_when_no_rollback_of_it_goes_on(state: str, cast: Cast) -> None:
    rollback = RollbackFactory(**{"awaiting" if state == "awaiting_approval" else state: True})
    incident = IncidentRollbackFactory(rollback=rollback).incident
    if state in HOLDING_STATES:
        with pytest.raises(Conflict) as refusal:
            close_incident(incident_id=incident.pk, reason="x", **who(cast.lead))
        assert (refusal.value.code, refusal.value.extra["url"]) == ("rollback_running", f"/rollbacks/{rollback.pk}/")
        assert fresh(incident).state == "open"
    else:
        assert close_incident(incident_id=incident.pk, reason="x", **who(cast.lead)).state == "closed"


def test_open_again_forgets_what_was_said_and_tells_who_leads(cast: Cast) -> None:
    incident = make("open", commander=cast.lead)
    declare_stable(incident_id=incident.pk, evidence="x", **who(cast.on_call))
    close_incident(incident_id=incident.pk, **who(cast.on_call))
    reopen_incident(incident_id=incident.pk, reason="Two more complaints.", **who(cast.on_call))
    found = fresh(incident)
    assert (found.state, found.stable_at, found.stable_by_label, found.closed_at, found.closed_by_label) == ("open", None, "", None, "")
    assert last_event(incident).data == {"from": "closed", "to": "open", "reason": "Two more complaints."}
    assert Notice.objects.get(user=cast.lead).subject == f"Open again: {incident.title}"


def test_incident_that_a_person_opened_again_is_not_stable_by_what_was_shown_before(cast: Cast) -> None:
    rollback = RollbackFactory(verified=True)
    follow_rollbacks()
    incident = Incident.objects.get()
    assert incident.state == IncidentState.STABLE
    reopen_incident(incident_id=incident.pk, reason="Users still complain.", **who(cast.on_call))
    Rollback.objects.filter(pk=rollback.pk).update(number=rollback.number + 1, state=RollbackState.CLOSED, closed_at=clock.now())
    assert follow_what_was_missed() == 1
    assert fresh(incident).state == IncidentState.OPEN
    second = RollbackFactory(verified=True, environment=rollback.environment, parts__policy=rollback.parts.get().policy)
    Rollback.objects.filter(pk=second.pk).update(verified_at=clock.now())
    follow_rollbacks()
    assert fresh(incident).state == IncidentState.STABLE


def test_what_a_person_says_stands_until_a_later_rollback_or_one_that_takes_it_back(cast: Cast) -> None:
    rollback = RollbackFactory(verification_failed=True)
    follow_rollbacks()
    incident = Incident.objects.get()
    assert incident.state == IncidentState.OPEN
    declare_stable(incident_id=incident.pk, evidence="The flag is off.", **who(cast.on_call))
    # The rollback is given up: it has shown nothing, and a person has.
    Rollback.objects.filter(pk=rollback.pk).update(number=rollback.number + 1, state=RollbackState.CLOSED, closed_at=clock.now())
    Execution.objects.update(state=ExecutionState.CANCELLED)
    rollback.parts.update(holds_alias=False)
    follow_what_was_missed()
    assert fresh(incident).state == IncidentState.STABLE
    RollbackFactory(running=True, environment=rollback.environment, parts__policy=rollback.parts.get().policy, decided_at=clock.now())
    follow_rollbacks()
    found = fresh(incident)
    assert (found.state, found.stable_by_label, found.stable_evidence) == ("open", "", "")


def test_database_refuses_a_persons_word_without_evidence(cast: Cast) -> None:
    incident = make("stable")
    with pytest.raises(IntegrityError, match="incident_stable_by_a_person_has_evidence"), transaction.atomic():
        Incident.objects.filter(pk=incident.pk).update(stable_by_label="Olga Call")


# --- Aliases and versions ---


def test_aliases_and_versions_are_added_and_taken_off(cast: Cast) -> None:
    incident = make("open")
    policy = incident.aliases.get()
    other = RoutingPolicyFactory(alias="another", environment=incident.environment)
    version = VersionFactory(artefact=policy.artefact, label="v9")
    change_affected(incident_id=incident.pk, add_aliases=[other, policy], add_versions=[version], **who(cast.on_call))
    assert set(incident.aliases.all()) == {policy, other}
    assert [(found.label, by_rollback) for found, by_rollback in list_versions_of(incident)] == [("v9", False)]
    events = {event.event: event.data for event in AuditEvent.objects.filter(subject_id=str(incident.pk))}
    assert events["incident.aliases_changed"] == {"added": ["another"], "removed": []}
    assert events["incident.versions_changed"] == {"added": ["v9"], "removed": []}
    change_affected(incident_id=incident.pk, remove_aliases=[policy], remove_versions=[version], **who(cast.on_call))
    assert (list(incident.aliases.all()), list(incident.versions.all())) == ([other], [])


def test_affected_that_does_not_fit_is_refused(cast: Cast) -> None:
    incident = make("open")
    elsewhere = RoutingPolicyFactory(alias="elsewhere", environment__slug="production")
    for values, field in (
        ({"add_aliases": [elsewhere]}, "add_aliases"),
        ({"remove_aliases": list(incident.aliases.all())}, "remove_aliases"),
        ({"add_versions": [VersionFactory(label="foreign")]}, "add_versions"),
    ):
        with pytest.raises(InvalidInput) as refusal:
            change_affected(incident_id=incident.pk, **values, **who(cast.on_call))
        assert list(refusal.value.fields) == [field]


def test_what_a_rollback_is_about_is_not_taken_off(cast: Cast) -> None:
    link = IncidentRollbackFactory()
    part = link.rollback.parts.get()
    assert [(version, by_rollback) for version, by_rollback in list_versions_of(link.incident)] == [(part.bad_version, True)]
    taken_off: tuple[dict[str, Any], ...] = ({"remove_aliases": [part.policy]}, {"remove_versions": [part.bad_version]})
    for values in taken_off:
        with pytest.raises(Conflict) as refusal:
            change_affected(incident_id=link.incident.pk, **values, **who(cast.lead))
        assert refusal.value.code == "part_of_rollback"


# --- Opening ---


def test_opened_by_hand_has_who_and_when(cast: Cast) -> None:
    policy = RoutingPolicyFactory()
    at = clock.now() - dt.timedelta(minutes=4)
    incident = open_incident(
        title="  Wrong\nlanguage ",
        environment=policy.environment,
        policies=[policy],
        severity=Severity.SEV3,
        source=Source.PERSON,
        actor=actor_of(cast.on_call),
        summary="More.",
        detected_at=at,
        detected_by="support",
        commander=cast.on_call,
    )
    found = fresh(incident)
    assert (found.title, found.opened_by_label, found.commander, found.detected_at, found.detected_by) == (
        "Wrong language",
        "Olga Call",
        cast.on_call,
        at,
        "support",
    )
    assert last_event(incident).event == "incident.opened"


def test_opening_is_refused_with_a_sentence_at_each_field(cast: Cast) -> None:
    policy = RoutingPolicyFactory()
    elsewhere = RoutingPolicyFactory(alias="elsewhere", environment__slug="production")
    good: dict[str, Any] = {
        "title": "Wrong language",
        "environment": policy.environment,
        "policies": [policy],
        "severity": Severity.SEV3,
        "source": Source.PERSON,
        "actor": actor_of(cast.on_call),
    }
    for bad, field in (
        ({"title": "x"}, "title"),
        ({"policies": []}, "aliases"),
        ({"policies": [elsewhere]}, "aliases"),
        ({"detected_at": clock.now() + dt.timedelta(minutes=1)}, "detected_at"),
        ({"summary": "x" * 4001}, "summary"),
        ({"commander": UserFactory(responsible=cast.lead)}, "commander"),
    ):
        with pytest.raises(InvalidInput) as refusal:
            open_incident(**{**good, **bad})
        assert list(refusal.value.fields) == [field]
    assert not Incident.objects.exists()
