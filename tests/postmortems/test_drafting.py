"""Drafted by itself from audited facts, in words with units; once, whoever is at it; by hand where the rule says so."""

from __future__ import annotations

import datetime as dt

import pytest

from incidents.enums import IncidentState, Severity
from incidents.models import Incident
from rollbackhub.accounts.models import Notice, User
from rollbackhub.audit.models import AuditEvent
from rollbackhub.common.clock import now
from rollbackhub.common.errors import Conflict, Forbidden, NotFound
from rollbackhub.common.housekeeping import list_jobs
from rollbackhub.postmortems.domain.drafting import draft_due, draft_postmortem
from rollbackhub.postmortems.domain.selectors import get_record, postmortem_of
from rollbackhub.postmortems.enums import PostmortemState
from rollbackhub.postmortems.models import DueRule, FactorAnswer, Postmortem, Section
from rollbackhub.postmortems.rules import add_working_days
from tests.databases import FreshDatabase
from tests.factories.fixtures import Cast
from tests.factories.incidents import IncidentFactory, IncidentRollbackFactory
from tests.factories.rollbacks import RollbackFactory
from tests.postmortems.conftest import RolledBack, events_of, who
from tests.threads import at_once


def text_of(postmortem: Postmortem, key: str) -> str:
    return Section.objects.get(postmortem=postmortem, key=key).text


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("severity", "state", "drafted"),
    [
        (Severity.SEV1, IncidentState.STABLE, True),
        (Severity.SEV2, IncidentState.STABLE, True),
        (Severity.SEV3, IncidentState.CLOSED, True),
        (Severity.SEV4, IncidentState.STABLE, False),
        (Severity.SEV1, IncidentState.OPEN, False),
    ],
)
def test_stable_incidents_are_drafted_by_severity(severity: Severity, state: IncidentState, drafted: bool) -> None:
    traits = {IncidentState.STABLE: {"stable": True}, IncidentState.CLOSED: {"closed": True}, IncidentState.OPEN: {}}[state]
    incident = IncidentFactory(severity=severity, **traits)
    assert draft_due() == int(drafted)
    assert (postmortem_of(incident) is not None) == drafted
    assert draft_due() == 0
    assert Postmortem.objects.count() == int(drafted)


@pytest.mark.django_db
def test_long_past_incidents_are_left_to_people() -> None:
    IncidentFactory(stable=True, opened_at=now() - dt.timedelta(days=31))
    assert draft_due() == 0


@pytest.mark.django_db
def test_draft_says_exposure_duration_and_segments_with_their_units(cast: Cast) -> None:
    rollback = RollbackFactory(
        verified=True, exposure_observed=1200, exposure_estimated=34, exposure_basis="1200 requests counted by the gateways", principal=cast.on_call
    )
    incident = IncidentFactory(
        stable=True,
        aliases=[rollback.parts.get().policy],
        environment=rollback.environment,
        decided_by=cast.on_call,
        decided_at=rollback.decided_at,
        restored_at=rollback.restored_at,
        verified_at=rollback.verified_at,
        detected_at=rollback.decided_at - dt.timedelta(minutes=3),
        exposure_observed=1200,
        exposure_estimated=34,
        exposure_basis="1200 requests counted by the gateways",
        authority="Olga Call decided alone (On-call engineer decides).",
    )
    IncidentRollbackFactory(rollback=rollback, incident=incident)
    assert draft_due() == 1
    postmortem = postmortem_of(incident)
    assert postmortem is not None
    assert postmortem.owner == cast.on_call
    impact = text_of(postmortem, "impact")
    assert "**Exposure:** 1,234 requests answered by the bad version (1,200 counted, about 34 before that, estimated)." in impact
    assert "1200 requests counted by the gateways." in impact
    assert "**Duration:** " in impact
    summary = text_of(postmortem, "summary")
    assert "Olga Call decided to roll back at" in summary
    assert "Restored at" in summary
    assert "2.5 s after the decision" in summary
    response = text_of(postmortem, "response_assessment")
    assert "2.5 s from decision to restored, the target is 10 min" in response
    for segment in ("Authorise", "Execute", "Propagate", "Drain", "Verify"):
        assert f"| {segment} | " in response
    assert text_of(postmortem, "root_cause") == ""
    assert [row["words"] for row in get_record(postmortem.pk).timeline] == ["Noticed"]


@pytest.mark.django_db
def test_what_is_known_about_factors_is_answered_with_its_fact(rolled_back: RolledBack, cast: Cast) -> None:
    assert draft_due() == 1
    answers = {row.question.key: row for row in FactorAnswer.objects.select_related("question")}
    assert (answers["drilled"].answer, answers["proof"].answer) == ("yes", "yes"), "it was never drilled"
    assert answers["drilled"].fact == "No drill of smart-reasoner had passed before the decision."
    assert answers["slow_segment"].answer == "no"
    assert "the target is 10 min" in answers["slow_segment"].fact
    assert answers["retention"].answer == "no"
    assert "v2 had 25 % of smart-reasoner" in answers["canary_steps"].fact
    for judged in ("eval_gate", "feedback_gate", "canary_steps", "canary_dwell", "monitoring", "communication"):
        assert answers[judged].answer == "", judged
    assert len(answers) == 12


@pytest.mark.django_db
def test_owner_is_who_led_else_who_decided_else_leads_are_asked(cast: Cast) -> None:
    led = IncidentFactory(stable=True, commander=cast.lead, decided_by=cast.on_call)
    decided = IncidentFactory(stable=True, decided_by=cast.on_call)
    gone = IncidentFactory(stable=True, decided_by=cast.admin)
    User.objects.filter(pk=cast.admin.pk).update(is_active=False)
    assert draft_due() == 3
    owners = {row.incident_id: row.owner for row in Postmortem.objects.select_related("owner")}
    assert (owners[led.pk], owners[decided.pk], owners[gone.pk]) == (cast.lead, cast.on_call, None)
    assert Notice.objects.filter(user=cast.on_call, key__endswith=":drafted").count() == 1
    assert "has no owner" in Notice.objects.get(user=cast.lead, key=f"postmortem:{postmortem_of(gone).pk}:drafted").text  # type: ignore[union-attr]


@pytest.mark.django_db
def test_due_day_comes_from_the_severitys_rule(cast: Cast) -> None:
    DueRule.objects.filter(severity=Severity.SEV1).update(working_days=2)
    incidents = [IncidentFactory(stable=True, severity=severity) for severity in (Severity.SEV1, Severity.SEV2)]
    draft_due()
    today = now().date()
    assert [postmortem_of(incident).due_on for incident in incidents] == [add_working_days(today, 2), add_working_days(today, 5)]  # type: ignore[union-attr]


@pytest.mark.django_db
def test_by_hand_of_any_incident_once_and_with_the_right(cast: Cast) -> None:
    incident = IncidentFactory(severity=Severity.SEV4)
    for nobody in (cast.auditor, cast.stranger):
        with pytest.raises(Forbidden):
            draft_postmortem(incident_id=incident.pk, **who(nobody))
    postmortem = draft_postmortem(incident_id=incident.pk, **who(cast.on_call))
    with pytest.raises(Conflict) as caught:
        draft_postmortem(incident_id=incident.pk, **who(cast.on_call))
    assert (caught.value.code, caught.value.extra["postmortem_id"]) == ("postmortem_exists", str(postmortem.pk))
    with pytest.raises(NotFound):
        draft_postmortem(incident_id=postmortem.pk, **who(cast.on_call))
    assert events_of(postmortem) == ["postmortem.drafted"]
    assert AuditEvent.objects.get(event="postmortem.drafted").data["incident"] == str(incident.pk)
    assert postmortem.state == PostmortemState.DRAFT


def test_drafting_is_the_housekeepers() -> None:
    jobs = {job.name: job.function for job in list_jobs()}
    assert jobs["postmortems.draft"] is draft_due
    assert {"postmortems.gate", "postmortems.remind"} <= set(jobs)


def test_two_housekeepers_at_once_draft_one(fresh_database: FreshDatabase) -> None:
    for _ in range(3):
        IncidentFactory(stable=True)
    results = at_once(4, lambda number: draft_due())
    assert all(isinstance(result, int) for result in results), results
    assert sum(result for result in results if isinstance(result, int)) == 3
    assert Postmortem.objects.count() == Incident.objects.count() == 3
    assert AuditEvent.objects.filter(event="postmortem.drafted").count() == 3
