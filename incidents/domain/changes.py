"""The one function that moves an incident from state to state, and what every writer of incidents shares."""

from __future__ import annotations

import datetime as dt
from typing import Any
from uuid import UUID

from incidents.enums import IncidentState
from incidents.models import Incident, IncidentCorrection
from incidents.rules import COLUMNS, LONGEST_TEXT, TRANSITIONS
from rollbackhub.audit.actors import Actor
from rollbackhub.audit.domain.record import record
from rollbackhub.common.errors import Conflict, InvalidInput, NotFound
from rollbackhub.common.shown_text import spoken

OVER_NO_MORE: dict[str, Any] = {
    "stable_at": None,
    "stable_by_label": "",
    "stable_evidence": "",
    "closed_at": None,
    "closed_by_label": "",
    "closed_reason": "",
}
"""The columns of an incident that is open again. What stood there is on the audit log."""


def locked(incident_id: UUID) -> Incident:
    """The incident, its row locked until the transaction ends. Raises NotFound."""
    incident = Incident.objects.select_for_update(of=("self",)).select_related("environment", "commander").filter(pk=incident_id).first()
    if incident is None:
        raise no_incident()
    return incident


def change_state(incident: Incident, to: IncidentState, *, actor: Actor, event: str, data: dict[str, Any], **fields: Any) -> None:
    """Move a locked incident to a state that may follow its present one, with its audit record. Raises Conflict `wrong_state`."""
    if to not in TRANSITIONS[IncidentState(incident.state)]:
        raise wrong_state(incident, f"cannot become {to.label.lower()}")
    before = incident.state
    keep(incident, actor=actor, event=event, data={"from": before, "to": to, **data}, state=to, **fields)


def keep(incident: Incident, *, actor: Actor, event: str, data: dict[str, Any], **fields: Any) -> None:
    """Set columns of a locked incident, with the audit record that says so."""
    for name, value in fields.items():
        setattr(incident, name, value)
    if fields:
        incident.save(update_fields=list(fields))
    record(event=event, actor=actor, subject_type="incident", subject_id=incident.pk, data=data)


def corrected_columns(incident: Incident) -> set[str]:
    """The columns in which a person's word stands instead of what is reckoned. One query."""
    matters = IncidentCorrection.objects.filter(incident=incident, ended_at=None).values_list("matter", flat=True)
    return {column for matter, columns in COLUMNS.items() if matter in set(matters) for column in columns}


def required_text(text: str, *, field: str, missing: str, most: int = LONGEST_TEXT) -> str:
    """A text that must be there. `missing`: what is asked for, as a sentence. Raises InvalidInput `<field>_missing`, or for one that is too long."""
    text = optional_text(text, field=field, most=most)
    if not text:
        raise InvalidInput(missing, code=f"{field}_missing", fields={field: [missing]})
    return text


def optional_text(text: str, *, field: str, most: int = LONGEST_TEXT) -> str:
    """A text that may be empty, without space around it. Raises InvalidInput."""
    text = spoken(text, field=field)
    if len(text) > most:
        sentence = f"At most {most:,} characters; these are {len(text):,}."
        raise InvalidInput(f"The {field.replace('_', ' ')} is too long. {sentence}", code=f"{field}_too_long", fields={field: [sentence]})
    return text


def wrong_state(incident: Incident, sentence: str, *, code: str = "wrong_state") -> Conflict:
    """The refusal of what the incident's state does not allow."""
    return Conflict(
        f"The incident is {incident.get_state_display().lower()} and {sentence}.",
        code=code,
        state=incident.state,
        incident_id=str(incident.pk),
        url=address_of(incident.pk),
    )


def no_incident() -> NotFound:
    """What is said of an incident that does not exist."""
    return NotFound("There is no such incident.", code="incident_not_found")


def address_of(incident_id: UUID) -> str:
    """The path of the incident's page."""
    return f"/incidents/{incident_id}/"


def plain(value: object) -> object:
    """A value of a column as JSON has it."""
    return value.isoformat() if isinstance(value, dt.datetime) else value
