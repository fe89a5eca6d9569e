"""Corrections stand instead of what is reckoned, survive the follower, and are taken back; the earliest detection counts, whoever names it."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from incidents.domain.corrections import correct_detection, correct_exposure, correct_impact, list_corrections, withdraw_correction
from incidents.domain.opening import name_detection, open_incident
from incidents.domain.transitions import follow_rollbacks, follow_what_was_missed
from incidents.enums import IncidentState, Matter, Severity, Source
from incidents.models import Incident, IncidentCorrection
from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.accounts.models import User
from rollbackhub.audit.actors import system_actor
from rollbackhub.audit.models import AuditEvent
from rollbackhub.common import clock
from rollbackhub.common.errors import InvalidInput, NotFound
from rollbackhub.rollbacks.models import Rollback
from rollbackhub.routing.models import RoutingPolicy
from tests.factories.fixtures import Cast
from tests.factories.incidents import IncidentCorrectionFactory, IncidentFactory
from tests.factories.rollbacks import RollbackFactory
from tests.factories.routing import RoutingPolicyFactory

pytestmark = pytest.mark.django_db
MINUTE = dt.timedelta(minutes=1)
ALERTS = system_actor("alerts")


def who(user: User) -> dict[str, Any]:
    return {"account": user, "actor": actor_of(user)}


def changed(rollback: Rollback, **values: Any) -> Incident:
    """The rollback knows something else, and its incident has followed."""
    rollback.refresh_from_db()
    Rollback.objects.filter(pk=rollback.pk).update(number=rollback.number + 1, **values)
    assert follow_what_was_missed() == 1
    return Incident.objects.get()


def by_alert(policy: RoutingPolicy, *, ago: dt.timedelta, by: str = "alert FeedbackDegraded") -> Incident:
    return open_incident(
        title="Feedback is degraded", environment=policy.environment, policies=[policy], severity=Severity.SEV2, source=Source.ALERT, actor=ALERTS,
        detected_at=clock.now() - ago, detected_by=by,
    )  # fmt: skip


# --- The earliest detection ---


@pytest.mark.parametrize(("alert", "rollback", "earliest"), [(5, 3, "alert FeedbackDegraded"), (3, 5, "a person"), (5, None, "alert FeedbackDegraded")])
def test_earliest_of_an_alert_and_its_rollbacks_counts(alert: int, rollback: int | None, earliest: str) -> None:
    policy = RoutingPolicyFactory()
    incident = by_alert(policy, ago=alert * MINUTE)
    named = {"detected_at": clock.now() - rollback * MINUTE, "detected_by": "a person"} if rollback else {"detected_at": None, "detected_by": ""}
    made = RollbackFactory(verified=True, environment=policy.environment, parts__policy=policy, **named)
    follow_rollbacks()
    incident.refresh_from_db()
    assert incident.rollback_links.get().rollback == made
    assert incident.detected_by == earliest
    wanted = made.detected_at if earliest == "a person" else incident.named_detected_at
    assert incident.detected_at == wanted


def test_alert_without_an_instant_still_says_how_it_was_noticed() -> None:
    policy = RoutingPolicyFactory()
    incident = open_incident(
        title="By hand", environment=policy.environment, policies=[policy], severity=Severity.SEV2, source=Source.PERSON, actor=ALERTS, detected_by="support"
    )
    RollbackFactory(running=True, environment=policy.environment, parts__policy=policy, detected_at=None, detected_by="")
    follow_rollbacks()
    incident.refresh_from_db()
    assert (incident.detected_at, incident.detected_by) == (None, "support")


def test_alert_that_joins_names_an_earlier_detection_and_a_later_one_changes_nothing() -> None:
    policy = RoutingPolicyFactory()
    incident = by_alert(policy, ago=5 * MINUTE)
    name_detection(incident_id=incident.pk, detected_at=clock.now(), detected_by="later", actor=ALERTS)
    assert AuditEvent.objects.filter(event="incident.detection_named").count() == 0
    earlier = clock.now() - 9 * MINUTE
    found = name_detection(incident_id=incident.pk, detected_at=earlier, detected_by="alert Latency", actor=ALERTS)
    assert (found.detected_at, found.detected_by) == (earlier, "alert Latency")
    assert AuditEvent.objects.get(event="incident.detection_named").data["counts"] is True
    with pytest.raises(InvalidInput) as refusal:
        name_detection(incident_id=incident.pk, detected_at=clock.now() + MINUTE, detected_by="", actor=ALERTS)
    assert refusal.value.code == "detected_at_invalid"


# --- Corrections ---


def test_correction_of_the_detection_survives_rollbacks_and_alerts_and_is_taken_back(cast: Cast) -> None:
    policy = RoutingPolicyFactory()
    incident = by_alert(policy, ago=5 * MINUTE)
    rollback = RollbackFactory(running=True, environment=policy.environment, parts__policy=policy, detected_at=clock.now() - 4 * MINUTE, detected_by="somebody")
    follow_rollbacks()
    reckoned = Incident.objects.get().detected_at
    assert reckoned is not None
    right = clock.now() - 2 * MINUTE
    correction = correct_detection(incident_id=incident.pk, detected_at=right, reason="The alert was about another alias.", **who(cast.on_call))
    event = AuditEvent.objects.get(event="incident.corrected")
    assert event.data == {
        "matter": "detection",
        "correction": correction.pk,
        "before": {"detected_at": reckoned.isoformat(), "detected_by": "alert FeedbackDegraded"},
        "after": {"detected_at": right.isoformat(), "detected_by": "alert FeedbackDegraded"},
        "reason": "The alert was about another alias.",
    }
    assert changed(rollback, detected_at=clock.now() - 8 * MINUTE).detected_at == right
    name_detection(incident_id=incident.pk, detected_at=clock.now() - 9 * MINUTE, detected_by="alert Early", actor=ALERTS)
    assert Incident.objects.get().detected_at == right, "a person's word stands"
    withdrawn = withdraw_correction(incident_id=incident.pk, correction_id=correction.pk, reason="It was not.", **who(cast.lead))
    assert (withdrawn.detected_at, withdrawn.detected_by) == (withdrawn.named_detected_at, "alert Early")
    kept = IncidentCorrection.objects.get()
    assert (kept.ended_by_label, kept.ended_reason) == ("Lee Lead", "It was not.")
    assert AuditEvent.objects.filter(event="incident.correction_withdrawn").count() == 1
    with pytest.raises(NotFound):
        withdraw_correction(incident_id=incident.pk, correction_id=correction.pk, reason="Again.", **who(cast.lead))


def test_correction_of_the_exposure_survives_the_follower_and_what_it_does_not_touch_goes_on(cast: Cast) -> None:
    rollback = RollbackFactory(verified=True, exposure_observed=12, exposure_estimated=100, exposure_basis="By counters.")
    follow_rollbacks()
    incident = Incident.objects.get()
    correct_exposure(incident_id=incident.pk, observed=None, estimated=900, reason="Billing counts 900.", **who(cast.on_call))
    incident = changed(rollback, exposure_observed=15, outcome="Another outcome.")
    assert (incident.exposure_observed, incident.exposure_estimated, incident.exposure_basis) == (None, 900, "As Olga Call says: Billing counts 900.")
    assert incident.outcome == "Another outcome."
    correction = IncidentCorrection.objects.get()
    assert correction.before == {"exposure_observed": 12, "exposure_estimated": 100, "exposure_basis": "By counters."}
    incident = withdraw_correction(incident_id=incident.pk, correction_id=correction.pk, reason="They count retries.", **who(cast.on_call))
    assert (incident.exposure_observed, incident.exposure_estimated, incident.exposure_basis) == (15, 100, "By counters.")


def test_what_users_saw_is_said_corrected_again_and_withdrawn(cast: Cast) -> None:
    incident = IncidentFactory()
    first = correct_impact(incident_id=incident.pk, impact="Empty answers.", reason="Support.", **who(cast.on_call))
    second = correct_impact(incident_id=incident.pk, impact="Answers in French.", reason="The logs.", **who(cast.lead))
    assert second.before == {"impact": "Empty answers."}
    first.refresh_from_db()
    assert (first.ended_by_label, first.ended_reason) == ("Lee Lead", "Corrected again: The logs.")
    assert [correction.pk for correction in list_corrections(incident)] == [second.pk, first.pk]
    withdraw_correction(incident_id=incident.pk, correction_id=second.pk, reason="Nobody saw it.", **who(cast.lead))
    incident.refresh_from_db()
    assert incident.impact == ""


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"observed": None}, "observed"),
        ({"observed": -1}, "observed"),
        ({"observed": 1, "estimated": 10**16}, "estimated"),
        ({"observed": 1, "reason": " "}, "reason"),
    ],
)
def test_exposure_that_is_none_is_refused(values: dict[str, Any], field: str, cast: Cast) -> None:
    incident = IncidentFactory()
    with pytest.raises(InvalidInput) as refusal:
        correct_exposure(**{"incident_id": incident.pk, "reason": "Logs.", **values, **who(cast.on_call)})
    assert list(refusal.value.fields) == [field]


def test_detection_in_the_future_and_an_empty_impact_are_refused(cast: Cast) -> None:
    incident = IncidentFactory()
    with pytest.raises(InvalidInput) as refusal:
        correct_detection(incident_id=incident.pk, detected_at=clock.now() + MINUTE, reason="x", **who(cast.on_call))
    assert refusal.value.code == "detected_at_invalid"
    with pytest.raises(InvalidInput) as refusal:
        correct_impact(incident_id=incident.pk, impact=" ", reason="x", **who(cast.on_call))
    assert refusal.value.code == "impact_missing"


def test_another_incidents_correction_is_not_withdrawn(cast: Cast) -> None:
    correction = IncidentCorrectionFactory()
    with pytest.raises(NotFound):
        withdraw_correction(incident_id=IncidentFactory().pk, correction_id=correction.pk, reason="x", **who(cast.lead))


def test_database_lets_one_correction_of_a_matter_stand() -> None:
    correction = IncidentCorrectionFactory()
    with pytest.raises(IntegrityError, match="correction_one_of_a_matter"), transaction.atomic():
        IncidentCorrectionFactory(incident=correction.incident)
    IncidentCorrectionFactory(incident=correction.incident, matter=Matter.EXPOSURE, value={}, before={})


def test_correction_is_possible_when_closed_and_changes_no_state(cast: Cast) -> None:
    incident = IncidentFactory(closed=True)
    correct_exposure(incident_id=incident.pk, observed=7, reason="Logs.", **who(cast.on_call))
    incident.refresh_from_db()
    assert (incident.state, incident.exposure_observed) == (IncidentState.CLOSED, 7)
