"""Two people at the same incident at the same instant."""

from __future__ import annotations

from typing import Any

from incidents.domain.acts import close_incident, take_command
from incidents.domain.corrections import correct_exposure
from incidents.domain.notes import add_note, edit_note, list_texts
from incidents.models import Incident, IncidentCorrection
from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.accounts.models import User
from rollbackhub.audit.models import AuditEvent
from rollbackhub.common.errors import Conflict
from tests.databases import FreshDatabase
from tests.factories.fixtures import make_cast
from tests.factories.incidents import IncidentFactory
from tests.threads import at_once


def who(user: User) -> dict[str, Any]:
    return {"account": user, "actor": actor_of(user)}


def codes(results: list[Any]) -> list[str]:
    """What each came to: the code of its refusal, or `done`."""
    return sorted(result.code if isinstance(result, Conflict) else "done" for result in results)


def test_two_who_take_the_command_at_once_get_it_once(fresh_database: FreshDatabase) -> None:
    cast, incident = make_cast(), IncidentFactory()
    people = [cast.on_call, cast.lead]
    assert codes(at_once(2, lambda number: take_command(incident_id=incident.pk, **who(people[number])))) == ["commander_changed", "done"]
    assert AuditEvent.objects.filter(event="incident.commander_changed").count() == 1


def test_two_who_close_at_once_close_it_once(fresh_database: FreshDatabase) -> None:
    cast, incident = make_cast(), IncidentFactory(stable=True)
    people = [cast.on_call, cast.lead]
    assert codes(at_once(2, lambda number: close_incident(incident_id=incident.pk, **who(people[number])))) == ["done", "wrong_state"]
    assert AuditEvent.objects.filter(event="incident.closed").count() == 1


def test_two_who_write_a_note_at_once_do_not_overwrite_each_other(fresh_database: FreshDatabase) -> None:
    cast, incident = make_cast(), IncidentFactory()
    note = add_note(incident_id=incident.pk, text="One.", **who(cast.on_call))
    people = [cast.on_call, cast.lead]

    def write(number: int) -> Any:
        return edit_note(incident_id=incident.pk, note_id=note.pk, text=f"By {number}.", based_on=1, **who(people[number]))

    assert codes(at_once(2, write)) == ["done", "note_moved"]
    assert len(list_texts(note)) == 2


def test_two_who_correct_the_same_at_once_leave_one_that_stands(fresh_database: FreshDatabase) -> None:
    cast, incident = make_cast(), IncidentFactory()
    people = [cast.on_call, cast.lead]

    def correct(number: int) -> Any:
        return correct_exposure(incident_id=incident.pk, observed=number, reason="Logs.", **who(people[number]))

    assert codes(at_once(2, correct)) == ["done", "done"]
    standing = IncidentCorrection.objects.get(ended_at=None)
    assert Incident.objects.get().exposure_observed == standing.value["exposure_observed"]
    assert IncidentCorrection.objects.exclude(ended_at=None).count() == 1
