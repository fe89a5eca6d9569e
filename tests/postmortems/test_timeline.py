"""The timeline of a postmortem is the incident's: what was recorded, and what people noted; not what was done to the postmortem itself."""

from __future__ import annotations

import datetime as dt
from functools import partial

import pytest

from incidents.domain.timeline import Timeline
from incidents.models import Incident
from rollbackhub.audit.actors import system_actor
from rollbackhub.audit.domain.record import record
from rollbackhub.common.clock import now
from rollbackhub.postmortems.domain.export import to_markdown
from rollbackhub.postmortems.domain.facts import timeline_of
from rollbackhub.postmortems.domain.selectors import get_record
from rollbackhub.postmortems.domain.texts import write_section
from tests.factories.fixtures import Cast
from tests.factories.incidents import IncidentFactory, IncidentNoteFactory
from tests.factories.postmortems import make_postmortem
from tests.postmortems.conftest import RolledBack, who

pytestmark = pytest.mark.django_db


def test_it_is_the_incidents_without_what_was_done_to_the_postmortem(rolled_back: RolledBack, cast: Cast) -> None:
    postmortem = make_postmortem(incident=rolled_back.incident)
    write_section(postmortem_id=postmortem.pk, key="summary", text="Another text.", based_on=1, **who(cast.on_call))
    told = {"incident": str(rolled_back.incident.pk)}
    record(event="postmortem.published", actor=system_actor("test"), subject_type="postmortem", subject_id=postmortem.pk, data=told)
    lines = Timeline(rolled_back.incident).lines
    theirs = [line for line in lines if not line.event.startswith("postmortem.")]
    assert len(theirs) == len(lines) - 1 > 5, "the incident's page tells that it was published, too, and not of each text that is written"
    rows = get_record(postmortem.pk).timeline
    assert [(dt.datetime.fromisoformat(row["at"]), row["by"], row["url"]) for row in rows] == [(line.at, line.who, line.url) for line in theirs]
    for row, line in zip(rows, theirs, strict=True):
        assert row["words"] == (f"{line.words}: {line.detail}" if line.detail else line.words)
    said = [row["words"] for row in rows]
    for words in ("Decided to roll back smart-reasoner", "Authorised", "Flipped at smart-reasoner", "Restored", "Verified"):
        assert [one for one in said if one.startswith(words)], words
    assert f"/rollbacks/{rolled_back.rollback.pk}/" in {row["url"] for row in rows}


def test_notes_are_told_as_they_stand_in_one_line_and_withdrawn_ones_are_not(cast: Cast) -> None:
    incident = IncidentFactory(stable=True, detected_at=now() - dt.timedelta(minutes=4), detected_by="An alert")
    IncidentNoteFactory(incident=incident, text="The queue\n\n| doubled", author=cast.on_call)
    IncidentNoteFactory(incident=incident, text="It was the other alias.", withdrawn=True)
    record_ = get_record(make_postmortem(incident=incident).pk)
    assert [(row["words"], row["by"]) for row in record_.timeline] == [("Noticed: An alert", ""), ("Note: The queue | doubled", "Olga Call")]
    assert "| Note: The queue \\| doubled | Olga Call |" in to_markdown(record_)


def test_what_does_not_fit_is_said_at_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    incident: Incident = IncidentFactory(stable=True)
    for number in range(4):
        record(event="alert.fired", actor=system_actor("test"), subject_type="incident", subject_id=incident.pk, data={"name": f"Alert{number}"})
    monkeypatch.setattr("rollbackhub.postmortems.domain.facts.Timeline", partial(Timeline, limit=2))
    assert [row["words"] for row in timeline_of(incident)] == [
        "What happened before is not shown: there is more than a postmortem holds",
        "Alert: Alert2",
        "Alert: Alert3",
    ]
