"""Notes keep every text that they had; the second of two who write is told and loses nothing."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.db import InternalError, ProgrammingError, transaction
from django.db.utils import IntegrityError

from incidents.domain.notes import add_note, edit_note, get_note, list_texts, withdraw_note
from incidents.models import IncidentNoteText
from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.accounts.models import User
from rollbackhub.audit.models import AuditEvent
from rollbackhub.common import clock
from rollbackhub.common.errors import Conflict, Forbidden, InvalidInput, NotFound
from tests.factories.fixtures import Cast
from tests.factories.incidents import IncidentFactory, IncidentNoteFactory

pytestmark = pytest.mark.django_db


def who(user: User) -> dict[str, Any]:
    return {"account": user, "actor": actor_of(user)}


def test_note_is_about_another_instant_than_the_one_it_is_written_at(cast: Cast) -> None:
    incident = IncidentFactory()
    about = clock.now() - dt.timedelta(hours=2)
    note = add_note(incident_id=incident.pk, text=" The queue **doubled**.\r\n", about_at=about, **who(cast.on_call))
    assert (note.about_at, note.text, note.author, note.author_label, note.number) == (about, "The queue **doubled**.", cast.on_call, "Olga Call", 1)
    assert note.written_at > about
    event = AuditEvent.objects.get(event="incident.noted")
    assert (event.subject_id, event.data["note"], event.data["text"]) == (str(incident.pk), note.pk, "The queue **doubled**.")
    assert add_note(incident_id=incident.pk, text="Now.", **who(cast.on_call)).about_at >= note.written_at


def test_every_former_text_stays_readable(cast: Cast) -> None:
    incident = IncidentFactory()
    note = add_note(incident_id=incident.pk, text="One.", **who(cast.on_call))
    about = note.about_at - dt.timedelta(minutes=3)
    edit_note(incident_id=incident.pk, note_id=note.pk, text="Two.", based_on=1, about_at=about, **who(cast.lead))
    edit_note(incident_id=incident.pk, note_id=note.pk, text="Three.", based_on=2, **who(cast.on_call))
    assert [(text.number, text.text, text.by_label) for text in list_texts(note)] == [
        (3, "Three.", "Olga Call"),
        (2, "Two.", "Lee Lead"),
        (1, "One.", "Olga Call"),
    ]
    now = get_note(incident_id=incident.pk, note_id=note.pk)
    assert (now.text, now.number, now.about_at, now.author) == ("Three.", 3, about, cast.on_call)
    edit_note(incident_id=incident.pk, note_id=note.pk, text="Three.", based_on=3, **who(cast.on_call))
    assert len(list_texts(note)) == 3, "the same text again is no change"


def test_second_of_two_is_told_and_shown_what_stands_there(cast: Cast) -> None:
    incident = IncidentFactory()
    note = add_note(incident_id=incident.pk, text="One.", **who(cast.on_call))
    edit_note(incident_id=incident.pk, note_id=note.pk, text="Lee's.", based_on=1, **who(cast.lead))
    with pytest.raises(Conflict, match="Lee Lead has changed this note since you began") as refusal:
        edit_note(incident_id=incident.pk, note_id=note.pk, text="Olga's.", based_on=1, **who(cast.on_call))
    assert (refusal.value.code, refusal.value.extra) == ("note_moved", {"text": "Lee's.", "number": 2, "by": "Lee Lead"})
    assert get_note(incident_id=incident.pk, note_id=note.pk).text == "Lee's."


def test_withdrawn_note_is_kept_and_not_written_any_more(cast: Cast) -> None:
    incident = IncidentFactory(closed=True)
    note = add_note(incident_id=incident.pk, text="Wrong.", **who(cast.on_call))
    with pytest.raises(InvalidInput) as refusal:
        withdraw_note(incident_id=incident.pk, note_id=note.pk, reason="", **who(cast.lead))
    assert refusal.value.code == "reason_missing"
    withdraw_note(incident_id=incident.pk, note_id=note.pk, reason="Another alias.", **who(cast.lead))
    found = get_note(incident_id=incident.pk, note_id=note.pk)
    assert (found.text, found.withdrawn_by_label, found.withdrawn_reason) == ("Wrong.", "Lee Lead", "Another alias.")
    for act in (
        lambda: withdraw_note(incident_id=incident.pk, note_id=note.pk, reason="x", **who(cast.lead)),
        lambda: edit_note(incident_id=incident.pk, note_id=note.pk, text="Right.", based_on=1, **who(cast.lead)),
    ):
        with pytest.raises(Conflict) as conflict:
            act()
        assert conflict.value.code == "note_withdrawn"


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"text": " \n"}, "text_missing"),
        ({"text": "x" * 20_001}, "text_too_long"),
        ({"text": "a\x00b"}, "unshowable_text"),
        ({"about_at": dt.datetime(2100, 1, 1, tzinfo=dt.UTC)}, "about_at_invalid"),
        ({"about_at": dt.datetime(1900, 1, 1, tzinfo=dt.UTC)}, "about_at_invalid"),
    ],
)
def test_note_that_cannot_be_kept_is_refused(values: dict[str, Any], code: str, cast: Cast) -> None:
    incident = IncidentFactory()
    note = IncidentNoteFactory(incident=incident)
    with pytest.raises(InvalidInput) as refusal:
        add_note(**{"incident_id": incident.pk, "text": "Seen.", **values, **who(cast.on_call)})
    assert refusal.value.code == code
    with pytest.raises(InvalidInput) as refusal:
        edit_note(**{"incident_id": incident.pk, "note_id": note.pk, "based_on": 1, "text": "Seen.", **values, **who(cast.on_call)})
    assert refusal.value.code == code


def test_notes_are_written_changed_and_withdrawn_only_by_who_works_on_incidents(cast: Cast) -> None:
    note = IncidentNoteFactory()
    for user in (cast.auditor, cast.stranger):
        for act in (
            lambda user=user: add_note(incident_id=note.incident_id, text="x", **who(user)),
            lambda user=user: edit_note(incident_id=note.incident_id, note_id=note.pk, text="x", based_on=1, **who(user)),
            lambda user=user: withdraw_note(incident_id=note.incident_id, note_id=note.pk, reason="x", **who(user)),
        ):
            with pytest.raises(Forbidden):
                act()


def test_note_of_another_incident_is_not_found(cast: Cast) -> None:
    note, other = IncidentNoteFactory(), IncidentFactory()
    with pytest.raises(NotFound):
        get_note(incident_id=other.pk, note_id=note.pk)
    with pytest.raises(NotFound):
        edit_note(incident_id=other.pk, note_id=note.pk, text="x", based_on=1, **who(cast.lead))


def test_database_keeps_what_a_note_said() -> None:
    note = IncidentNoteFactory()
    for change in (lambda: IncidentNoteText.objects.update(text="x"), lambda: IncidentNoteText.objects.filter(note=note).delete()):
        with pytest.raises((InternalError, ProgrammingError, IntegrityError)), transaction.atomic():
            change()
    assert note.texts.get().text == note.text
