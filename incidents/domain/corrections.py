"""What people correct of an incident's figures: it stands instead of what is reckoned until it is withdrawn, and says what stood there before."""

from __future__ import annotations

import datetime as dt
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils.dateparse import parse_datetime

from incidents.domain.changes import keep, locked, optional_text, plain, required_text
from incidents.domain.selectors import list_rollbacks_of, standings_of
from incidents.domain.summary import facts_of
from incidents.enums import Matter
from incidents.models import Incident, IncidentCorrection
from incidents.rules import COLUMNS, those_that_count
from rollbackhub.accounts.models import User
from rollbackhub.accounts.rules import Capability, require
from rollbackhub.audit.actors import Actor
from rollbackhub.common import clock
from rollbackhub.common.errors import InvalidInput, NotFound

MOST_REQUESTS = 10**15
"""More requests than that no correction can mean; the database and the audit log could keep a little more."""


def correct_detection(*, incident_id: UUID, detected_at: dt.datetime, reason: str, account: User, actor: Actor, detected_by: str = "") -> IncidentCorrection:
    """Say when (and, if given, how) it was noticed. Raises NotFound, Forbidden, InvalidInput `detected_at_invalid`, `reason_missing`."""
    detected_by = optional_text(detected_by, field="detected_by", most=200)
    if detected_at > clock.now():
        sentence = "It cannot have been noticed in the future."
        raise InvalidInput(sentence, code="detected_at_invalid", fields={"detected_at": [sentence]})

    def values(incident: Incident) -> dict[str, Any]:
        return {"detected_at": detected_at, "detected_by": detected_by or incident.detected_by}

    return _correct(incident_id, Matter.DETECTION, values, reason=reason, account=account, actor=actor)


def correct_exposure(*, incident_id: UUID, observed: int | None, reason: str, account: User, actor: Actor, estimated: int | None = None) -> IncidentCorrection:
    """Say how many requests bad versions served: counted, estimated besides, or both. Raises NotFound, Forbidden, InvalidInput."""
    fields = {name: ["A number of requests, 0 or more."] for name, value in (("observed", observed), ("estimated", estimated)) if not _is_number(value)}
    if observed is None and estimated is None:
        fields["observed"] = ["Say how many requests were counted or are estimated."]
    if fields:
        raise InvalidInput("The exposure cannot be corrected: " + " ".join(said for found in fields.values() for said in found), fields=fields)

    def values(incident: Incident) -> dict[str, Any]:
        return {"exposure_observed": observed, "exposure_estimated": estimated, "exposure_basis": f"As {actor.label} says: {reason.strip()}"}

    return _correct(incident_id, Matter.EXPOSURE, values, reason=reason, account=account, actor=actor)


def correct_impact(*, incident_id: UUID, impact: str, reason: str, account: User, actor: Actor) -> IncidentCorrection:
    """Say what users saw of it, in words. Raises NotFound, Forbidden, InvalidInput `impact_missing`, `reason_missing`."""
    impact = required_text(impact, field="impact", missing="Say what users saw.")
    return _correct(incident_id, Matter.IMPACT, lambda incident: {"impact": impact}, reason=reason, account=account, actor=actor)


def withdraw_correction(*, incident_id: UUID, correction_id: int, account: User, actor: Actor, reason: str) -> Incident:
    """Take a correction back: what is reckoned stands again. Raises NotFound (also when it stands no more), Forbidden, InvalidInput `reason_missing`."""
    require(user=account, capability=Capability.RESPOND)
    reason = required_text(reason, field="reason", missing="Say why it is withdrawn.")
    with transaction.atomic():
        incident = locked(incident_id)
        correction = IncidentCorrection.objects.filter(incident=incident, pk=correction_id, ended_at=None).first()
        if correction is None:
            raise NotFound("There is no such correction that stands.", code="correction_not_found")
        _end(correction, actor=actor, reason=reason)
        columns = COLUMNS[Matter(correction.matter)]
        reckoned = facts_of(incident, list_rollbacks_of(incident), counting=those_that_count(standings_of(incident)))
        after = {column: reckoned.get(column, "") for column in columns}
        data = {
            "matter": correction.matter,
            "correction": correction.pk,
            "before": {column: plain(getattr(incident, column)) for column in columns},
            "after": {column: plain(value) for column, value in after.items()},
            "reason": reason,
        }
        keep(incident, actor=actor, event="incident.correction_withdrawn", data=data, **after)
    return incident


def list_corrections(incident: Incident) -> list[IncidentCorrection]:
    """All of them, also those that stand no more, the newest first. One query."""
    return list(incident.corrections.order_by("-made_at", "-pk"))


def instant_in(values: dict[str, Any], column: str) -> dt.datetime | None:
    """An instant of a correction's values."""
    text = values.get(column)
    return parse_datetime(text) if text else None


def _correct(incident_id: UUID, matter: Matter, values: Any, *, reason: str, account: User, actor: Actor) -> IncidentCorrection:
    require(user=account, capability=Capability.RESPOND)
    reason = required_text(reason, field="reason", missing="Say why: what the right figure comes from.")
    with transaction.atomic():
        incident = locked(incident_id)
        wanted: dict[str, Any] = values(incident)
        before = {column: plain(getattr(incident, column)) for column in COLUMNS[matter]}
        after = {column: plain(value) for column, value in wanted.items()}
        standing = IncidentCorrection.objects.filter(incident=incident, matter=matter, ended_at=None).first()
        if standing is not None:
            _end(standing, actor=actor, reason=f"Corrected again: {reason}")
        correction = IncidentCorrection.objects.create(
            incident=incident, matter=matter, value=after, before=before, reason=reason, made_by=account, made_by_label=actor.label, made_at=clock.now()
        )
        data = {"matter": matter, "correction": correction.pk, "before": before, "after": after, "reason": reason}
        keep(incident, actor=actor, event="incident.corrected", data=data, **wanted)
    return correction


def _end(correction: IncidentCorrection, *, actor: Actor, reason: str) -> None:
    correction.ended_at, correction.ended_by_label, correction.ended_reason = clock.now(), actor.label, reason
    correction.save(update_fields=["ended_at", "ended_by_label", "ended_reason"])


def _is_number(value: int | None) -> bool:
    return value is None or 0 <= value <= MOST_REQUESTS
