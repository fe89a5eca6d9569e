"""Reminders: to whom, once for each step, and put away when the next one comes; the list with what is overdue first."""

from __future__ import annotations

import datetime as dt
from functools import partial

import pytest

from rollbackhub.accounts.models import Notice, Team, User
from rollbackhub.common.clock import now
from rollbackhub.common.errors import InvalidInput
from rollbackhub.postmortems.domain.due import remind_due
from rollbackhub.postmortems.domain.selectors import count_overdue, is_overdue, list_postmortems, postmortem_of, postmortems_of
from rollbackhub.postmortems.enums import PostmortemState
from rollbackhub.postmortems.models import Postmortem
from tests.factories.accounts import TeamFactory
from tests.factories.fixtures import Cast
from tests.factories.incidents import IncidentFactory
from tests.factories.postmortems import PostmortemActionFactory, make_postmortem

pytestmark = pytest.mark.django_db


def unread(user: User) -> list[str]:
    return list(Notice.objects.filter(user=user, read_at=None, key__contains=":due:").order_by("pk").values_list("subject", flat=True))


def _at(instant: dt.datetime) -> dt.datetime:
    return instant


def test_owner_is_reminded_before_the_day_and_every_day_after_it(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    today = now().date()
    postmortem = make_postmortem(owner=cast.on_call, due_on=today + dt.timedelta(days=2))
    seen = []
    for day in range(5):
        at = now() + dt.timedelta(days=day)
        monkeypatch.setattr("rollbackhub.postmortems.domain.due.clock.now", partial(_at, at))
        remind_due()
        remind_due()
        seen.append(unread(cast.on_call))
    title = postmortem.incident.title
    date = f"{postmortem.due_on:%d %b %Y}"
    late = f"Overdue since {date}: the postmortem of {title}"
    assert seen == [
        [f"Due in 2 days: the postmortem of {title}"],
        [f"Due tomorrow: the postmortem of {title}"],
        [f"Due today: the postmortem of {title}"],
        [late],
        [late],
    ]
    assert unread(cast.lead) == [late], "leads are told once"
    assert Notice.objects.filter(user=cast.on_call, key__contains=":due:").count() == 5


def test_leads_are_reminded_of_what_nobody_owns(cast: Cast) -> None:
    make_postmortem(owner=None, due_on=now().date())
    assert remind_due() == 1
    assert len(unread(cast.lead)) == 1


@pytest.mark.parametrize("state", [PostmortemState.PUBLISHED, PostmortemState.CLOSED])
def test_nobody_is_reminded_of_what_is_published(state: PostmortemState, cast: Cast) -> None:
    make_postmortem(state, due_on=now().date() - dt.timedelta(days=9))
    assert remind_due() == 0
    assert count_overdue() == 0


def test_day_ends_in_the_teams_zone(cast: Cast) -> None:
    at = dt.datetime(2026, 11, 30, 20, 0, tzinfo=dt.UTC)
    kolkata: Team = TeamFactory(slug="kolkata", timezone="Asia/Kolkata")
    there = make_postmortem(team=kolkata, due_on=dt.date(2026, 11, 30))
    here = make_postmortem(team=TeamFactory(slug="london", timezone="Europe/London"), due_on=dt.date(2026, 11, 30))
    nowhere = make_postmortem(team=None, due_on=dt.date(2026, 11, 29))
    assert [is_overdue(row, at=at) for row in (there, here, nowhere)] == [True, False, True]
    assert set(list_postmortems(overdue=True, at=at)) == {there, nowhere}
    assert count_overdue(at=at) == 2


def test_list_has_what_is_overdue_first_then_what_is_due_then_what_was_published(cast: Cast) -> None:
    today = now().date()
    closed = make_postmortem(PostmortemState.CLOSED)
    published = make_postmortem(PostmortemState.PUBLISHED)
    later = make_postmortem(due_on=today + dt.timedelta(days=4))
    soon = make_postmortem(PostmortemState.IN_REVIEW, due_on=today + dt.timedelta(days=1))
    late = make_postmortem(due_on=today - dt.timedelta(days=3))
    PostmortemActionFactory(postmortem=published)
    rows = list(list_postmortems())
    assert rows == [late, soon, later, published, closed]
    assert [(row.open_actions, row.actions_count) for row in rows] == [(0, 0), (0, 0), (0, 0), (1, 1), (0, 0)]  # type: ignore[attr-defined]
    with pytest.raises(InvalidInput):
        list_postmortems(state="nonsense")


def test_postmortem_of_an_incident(cast: Cast) -> None:
    postmortem = make_postmortem()
    none = IncidentFactory()
    assert postmortem_of(postmortem.incident) == postmortem
    assert postmortem_of(none) is None
    assert postmortems_of([postmortem.incident, none]) == {postmortem.incident_id: postmortem}
    assert Postmortem.objects.get(incident__pk=postmortem.incident_id) == postmortem
