"""Incidents in every state, for pages."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from django.urls import reverse

from incidents.domain.acts import declare_stable, set_severity, take_command
from incidents.domain.corrections import correct_exposure, correct_impact
from incidents.domain.notes import add_note, edit_note, withdraw_note
from incidents.domain.opening import open_incident
from incidents.domain.transitions import follow_what_was_missed
from incidents.enums import Severity, Source
from incidents.models import Incident, IncidentNote
from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.accounts.models import User
from rollbackhub.common import clock
from rollbackhub.rollbacks.models import Rollback
from tests.dashboard.rollback_world import make_rollback
from tests.factories.rollbacks import ApprovalFactory
from tests.factories.routing import RoutingPolicyFactory

NOTE = """The support queue **doubled**:

| Who | Calls |
|---|---|
| Tenant A | 12 |

1. see [the board](/)
"""


@dataclass(frozen=True)
class Incidents:
    """One of each kind."""

    by_hand: Incident
    """Open, without a rollback."""
    going_on: Incident
    """Its rollback waits for approval."""
    worked_on: Incident
    """Stable by its rollback, with notes and corrections."""
    note: IncidentNote


def make_incidents() -> Incidents:
    """In whatever database is current; people of the cast are there."""
    olga, lee = User.objects.get(username="oncall"), User.objects.get(username="lead")
    by_olga: dict[str, Any] = {"account": olga, "actor": actor_of(olga)}
    by_lee: dict[str, Any] = {"account": lee, "actor": actor_of(lee)}
    waiting = make_rollback("awaiting_approval", alias="waiting-alias", person=olga)
    verified = make_rollback("verified", alias="worked-alias", person=olga, exposure_observed=412, exposure_estimated=9120, exposure_basis="By counters.")
    ApprovalFactory(rollback=verified, user=lee, reason="Go.")
    follow_what_was_missed()
    going_on, worked_on = _of(waiting), _of(verified)
    policy = RoutingPolicyFactory(alias="by-hand-alias", environment__slug="production")
    by_hand = open_incident(
        title="Answers come in the wrong language",
        environment=policy.environment,
        policies=[policy],
        severity=Severity.SEV1,
        source=Source.PERSON,
        actor=actor_of(olga),
        summary="Since **the morning**, see [the board](/).",
        detected_at=clock.now() - dt.timedelta(minutes=20),
        detected_by="the support queue",
    )
    set_severity(incident_id=worked_on.pk, severity=Severity.SEV3, reason="One tenant.", **by_olga)
    take_command(incident_id=worked_on.pk, **by_olga)
    correct_exposure(incident_id=worked_on.pk, observed=900, reason="Billing counts 900.", **by_lee)
    correct_impact(incident_id=worked_on.pk, impact="Empty answers.", reason="Support.", **by_lee)
    about = clock.now() - dt.timedelta(minutes=2)
    note = add_note(incident_id=worked_on.pk, text="Support called.", about_at=about, **by_olga)
    edit_note(incident_id=worked_on.pk, note_id=note.pk, text=NOTE, based_on=1, **by_lee)
    wrong = add_note(incident_id=worked_on.pk, text="Tenant B, too.", **by_olga)
    withdraw_note(incident_id=worked_on.pk, note_id=wrong.pk, reason="It was not.", **by_olga)
    return Incidents(by_hand=by_hand, going_on=going_on, worked_on=_of(verified), note=note)


def addresses_of_incidents(incidents: Incidents) -> dict[str, str]:
    """Pages that everybody with a role opens."""
    found = {"incidents": reverse("incidents:list"), "incidents-none": reverse("incidents:list") + "?alias=nothing"}
    for name in ("by_hand", "going_on", "worked_on"):
        pk = getattr(incidents, name).pk
        found[f"incident-{name}"] = reverse("incidents:detail", args=[pk])
        found[f"incident-{name}-record"] = reverse("incidents:record", args=[pk])
    found["incident-note"] = reverse("incidents:note", args=[incidents.worked_on.pk, incidents.note.pk])
    return found


def addresses_for_responders(incidents: Incidents) -> dict[str, str]:
    """Pages of who works on incidents."""
    pk = incidents.by_hand.pk
    names = ("edit", "severity", "stable", "close", "affected", "note-new", "hand-over-command")
    found = {f"incident-{name}": reverse(f"incidents:{name}", args=[pk]) for name in names}
    found |= {f"incident-correct-{matter}": reverse("incidents:correct", args=[pk, matter]) for matter in ("detection", "exposure", "impact")}
    return found | {"incident-new": reverse("incidents:new") + "?environment=production&alias=by-hand-alias"}


def make_stable_by_hand(incident: Incident) -> None:
    """As a person says."""
    lee = User.objects.get(username="lead")
    declare_stable(incident_id=incident.pk, evidence="The flag is off.", account=lee, actor=actor_of(lee))


def _of(rollback: Rollback) -> Incident:
    return Incident.objects.get(rollback_links__rollback=rollback)
