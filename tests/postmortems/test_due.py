"""Reminders: to whom, once for each step, and put away when the next one comes; the list with what is overdue first."""

from __future__ import annotations

import datetime as dt
from functools import partial

import pytest

from rollbackhub.accounts.models import Notice, Team, User
from rollbackhub.audit.domain.sequence import sequence_pending
from rollbackhub.audit.models import AuditEvent
from rollbackhub.common.clock import now
from rollbackhub.common.errors import InvalidInput
from rollbackhub.common.housekeeping import list_jobs
from rollbackhub.notifications.domain.follow import follow_log
from rollbackhub.notifications.enums import Topic
from rollbackhub.notifications.models import MessageDelivery
from rollbackhub.postmortems.domain.due import note_overdue, remind_due
from rollbackhub.postmortems.domain.reviewing import publish_postmortem
from rollbackhub.postmortems.domain.selectors import count_overdue, is_overdue, list_postmortems, postmortem_of, postmortems_of
from rollbackhub.postmortems.domain.texts import change_postmortem
from rollbackhub.postmortems.enums import PostmortemState
from rollbackhub.postmortems.models import Postmortem
from tests.factories.accounts import TeamFactory
from tests.factories.fixtures import Cast
from tests.factories.incidents import IncidentFactory
from tests.factories.notifications import ChannelFactory, FollowerFactory, RuleFactory
from tests.factories.postmortems import PostmortemActionFactory, make_postmortem
from tests.factories.routing import RoutingPolicyFactory
from tests.postmortems.conftest import who

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


def noted() -> list[str]:
    return list(AuditEvent.objects.filter(event="postmortem.overdue").order_by("id").values_list("data__due_on", flat=True))


def test_overdue_is_noted_once_for_each_day_that_it_was_due_and_delivered_to_the_team(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    FollowerFactory()
    policy = RoutingPolicyFactory(alias="smart-reasoner")
    team: Team = policy.artefact.team
    team.timezone = "Asia/Kolkata"
    team.save()
    incident = IncidentFactory(environment=policy.environment, aliases=[policy], title="It lied")
    postmortem = make_postmortem(incident=incident, team=team, due_on=dt.date(2026, 12, 4))
    channel = ChannelFactory(team=team)
    RuleFactory(team=team, topic=Topic.POSTMORTEM_OVERDUE, channels=[channel])

    def at(day: int, hour: int) -> list[str]:
        monkeypatch.setattr("rollbackhub.common.clock.now", partial(_at, dt.datetime(2026, 12, day, hour, tzinfo=dt.UTC)))
        note_overdue()
        return noted()

    assert at(4, 18) == [], "in Kolkata it is still the fourth"
    assert at(4, 19) == ["2026-12-04"], "there it is the fifth"
    assert at(4, 19) == at(5, 9) == ["2026-12-04"], "it is told once, not every day"
    change_postmortem(postmortem_id=postmortem.pk, due_on=dt.date(2026, 12, 8), **who(cast.on_call))
    assert at(8, 9) == ["2026-12-04"], "the new day is not over"
    assert at(9, 9) == at(10, 9) == ["2026-12-04", "2026-12-08"]
    event = AuditEvent.objects.filter(event="postmortem.overdue").last()
    assert event is not None
    assert (event.actor_kind, event.subject_id, event.data["incident"]) == ("system", str(postmortem.pk), str(incident.pk))
    assert sequence_pending()
    follow_log()
    follow_log()
    rows = MessageDelivery.objects.select_related("message").order_by("message__position")
    assert [(row.channel, row.message.subject, row.message.url, row.message.incident_id) for row in rows] == [
        (channel, f"Postmortem overdue: smart-reasoner in {policy.environment.slug}", f"/postmortems/{postmortem.pk}/", incident.pk)
    ] * 2
    for row, day in zip(rows, ("2026-12-04", "2026-12-08"), strict=True):
        assert f"was to be published by {day}." in row.message.body
        assert "It lied" in row.message.body


@pytest.mark.parametrize("state", [PostmortemState.PUBLISHED, PostmortemState.CLOSED])
def test_what_is_published_is_not_noted_however_late(state: PostmortemState, cast: Cast) -> None:
    make_postmortem(state, due_on=now().date() - dt.timedelta(days=9))
    late = make_postmortem(PostmortemState.IN_REVIEW, due_on=now().date() - dt.timedelta(days=9))
    publish_postmortem(postmortem_id=late.pk, **who(cast.lead))
    assert note_overdue() == 0
    assert noted() == []


def test_housekeeper_notes_what_is_overdue_every_minute() -> None:
    assert {job.name: job.every_seconds for job in list_jobs()}["postmortems.note_overdue"] == 60
