"""Notes of people on an incident's timeline, in Markdown. Every text that a note had is kept."""

from __future__ import annotations

import datetime as dt
from uuid import UUID

from django.db import transaction

from incidents.domain.changes import keep, locked, no_incident, required_text
from incidents.models import Incident, IncidentNote, IncidentNoteText
from incidents.rules import LONGEST_NOTE
from rollbackhub.accounts.models import User
from rollbackhub.accounts.rules import Capability, require
from rollbackhub.audit.actors import Actor
from rollbackhub.common import clock
from rollbackhub.common.errors import Conflict, InvalidInput, NotFound

LONGEST_BEFORE = dt.timedelta(days=90)
"""A note is about what happened at most so long before the incident was noticed: an older date is a slip of the hand."""

SHOWN_ON_THE_RECORD = 300
"""Characters of a note on its audit event; the whole text stands with the note."""


def add_note(*, incident_id: UUID, text: str, account: User, actor: Actor, about_at: dt.datetime | None = None) -> IncidentNote:
    """Write a note, in any state of the incident. `about_at`: the instant that it is about; None: now.

    Raises NotFound, Forbidden, InvalidInput `text_missing`, `about_at_invalid` (in the future, or long before it).
    """
    require(user=account, capability=Capability.RESPOND)
    with transaction.atomic():
        incident = locked(incident_id)
        now = clock.now()
        note = IncidentNote(
            incident=incident,
            text=_text(text),
            about_at=_in_its_time(about_at or now, incident=incident, now=now),
            author=account,
            author_label=actor.label,
            written_at=now,
        )
        note.save()
        _keep_text(note, actor=actor, now=now)
        _record(incident, note, actor=actor, event="incident.noted", text=note.text)
    return note


def edit_note(*, incident_id: UUID, note_id: int, text: str, based_on: int, account: User, actor: Actor, about_at: dt.datetime | None = None) -> IncidentNote:
    """Write a note anew, whole; what it said before stays readable. `based_on`: the number of the text that the person began from.

    `about_at` None leaves it. By anybody who may work on incidents. Raises NotFound, Forbidden, InvalidInput, Conflict `note_withdrawn`, and
    `note_moved`, with the present text and its number, when somebody else has written meanwhile: nothing is overwritten.
    """
    require(user=account, capability=Capability.RESPOND)
    cleaned = _text(text)
    with transaction.atomic():
        incident = locked(incident_id)
        note = _note(incident, note_id)
        if note.withdrawn_at is not None:
            raise Conflict("The note is withdrawn. Write a new one.", code="note_withdrawn")
        now = clock.now()
        about = note.about_at if about_at is None else _in_its_time(about_at, incident=incident, now=now)
        same = note.text == cleaned and note.about_at == about
        if same:
            return note
        if note.number != based_on:
            by = note.texts.get(number=note.number).by_label
            raise Conflict(
                f"{by} has changed this note since you began. Nothing of yours was saved yet: take over what you need, and save again.",
                code="note_moved",
                text=note.text,
                number=note.number,
                by=by,
            )
        note.text, note.about_at, note.number = cleaned, about, note.number + 1
        note.save(update_fields=["text", "about_at", "number"])
        _keep_text(note, actor=actor, now=now)
        _record(incident, note, actor=actor, event="incident.note_edited", text=note.text)
    return note


def withdraw_note(*, incident_id: UUID, note_id: int, account: User, actor: Actor, reason: str) -> IncidentNote:
    """Take a note back: it stays, struck, with who and why. Raises NotFound, Forbidden, InvalidInput `reason_missing`, Conflict `note_withdrawn`."""
    require(user=account, capability=Capability.RESPOND)
    reason = required_text(reason, field="reason", missing="Say why it is withdrawn.")
    with transaction.atomic():
        incident = locked(incident_id)
        note = _note(incident, note_id)
        if note.withdrawn_at is not None:
            raise Conflict(f"{note.withdrawn_by_label} has withdrawn it already.", code="note_withdrawn")
        note.withdrawn_at, note.withdrawn_by_label, note.withdrawn_reason = clock.now(), actor.label, reason
        note.save(update_fields=["withdrawn_at", "withdrawn_by_label", "withdrawn_reason"])
        _record(incident, note, actor=actor, event="incident.note_withdrawn", reason=reason)
    return note


def get_note(*, incident_id: UUID, note_id: int) -> IncidentNote:
    """One note with its incident. Raises NotFound. One query."""
    note = IncidentNote.objects.select_related("incident__environment").filter(incident=incident_id, pk=note_id).first()
    if note is None:
        if not Incident.objects.filter(pk=incident_id).exists():
            raise no_incident()
        raise _no_note()
    return note


def list_texts(note: IncidentNote) -> list[IncidentNoteText]:
    """Every text that it had, the newest first. One query."""
    return list(note.texts.order_by("-number"))


def _text(text: str) -> str:
    return required_text(text, field="text", missing="Write what there is to say.", most=LONGEST_NOTE)


def _in_its_time(at: dt.datetime, *, incident: Incident, now: dt.datetime) -> dt.datetime:
    sentence = ""
    if at > now:
        sentence = "A note is about what has happened: this time is still to come."
    elif at < (incident.detected_at or incident.opened_at) - LONGEST_BEFORE:
        sentence = f"This is more than {LONGEST_BEFORE.days} days before the incident was noticed. Look at the date."
    if sentence:
        raise InvalidInput(sentence, code="about_at_invalid", fields={"about_at": [sentence]})
    return at


def _note(incident: Incident, note_id: int) -> IncidentNote:
    note = IncidentNote.objects.filter(incident=incident, pk=note_id).first()
    if note is None:
        raise _no_note()
    return note


def _no_note() -> NotFound:
    return NotFound("The incident has no such note.", code="note_not_found")


def _keep_text(note: IncidentNote, *, actor: Actor, now: dt.datetime) -> None:
    IncidentNoteText.objects.create(note=note, number=note.number, about_at=note.about_at, text=note.text, by_label=actor.label, written_at=now)


def _record(incident: Incident, note: IncidentNote, *, actor: Actor, event: str, text: str = "", reason: str = "") -> None:
    data = {"note": note.pk, "number": note.number, "about_at": note.about_at.isoformat()}
    keep(incident, actor=actor, event=event, data=data | ({"text": text[:SHOWN_ON_THE_RECORD]} if text else {}) | ({"reason": reason} if reason else {}))
