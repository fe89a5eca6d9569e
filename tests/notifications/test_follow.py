"""Messages follow the audit log: once each, to the right team, in words, and never about themselves."""

from __future__ import annotations

import datetime as dt
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from rollbackhub.audit.actors import system_actor
from rollbackhub.audit.domain.record import record
from rollbackhub.audit.domain.sequence import sequence_pending
from rollbackhub.common import clock
from rollbackhub.notifications.domain import follow
from rollbackhub.notifications.domain.follow import AT_ONCE, follow_log
from rollbackhub.notifications.domain.overdue import note_overdue_actions
from rollbackhub.notifications.enums import Digest, Topic
from rollbackhub.notifications.models import Channel, Follower, Message, MessageDelivery
from tests.factories.accounts import TeamFactory
from tests.factories.actions import ActionFactory
from tests.factories.audit import AuditEventFactory
from tests.factories.drills import PlannedDrillFactory
from tests.factories.incidents import IncidentFactory, IncidentRollbackFactory
from tests.factories.notifications import ChannelFactory, FollowerFactory, QuietHoursFactory, RuleFactory
from tests.factories.releases import ReleaseFactory
from tests.factories.rollbacks import RollbackFactory
from tests.factories.routing import RoutingPolicyFactory

pytestmark = pytest.mark.django_db
ACTOR = system_actor("test")


@pytest.fixture(autouse=True)
def _followed(db: None) -> None:
    FollowerFactory()


def happened(event: str, subject_type: str, subject_id: object, **data: Any) -> None:
    """Something, on the log and sequenced."""
    record(event=event, actor=ACTOR, subject_type=subject_type, subject_id=subject_id, data=data)
    assert sequence_pending()


def team_of(rollback: Any) -> Any:
    return rollback.parts.get().policy.artefact.team


def wants(team: Any, topic: Topic, **values: Any) -> Channel:
    channel: Channel = ChannelFactory(team=team)
    RuleFactory(team=team, topic=topic, channels=[channel], **values)
    return channel


def test_stopped_rollback_is_told_to_its_team_in_words(settings: Any) -> None:
    settings.PUBLIC_URL = "https://hub.example.org"
    rollback = RollbackFactory(needs_human=True)
    incident = IncidentRollbackFactory(rollback=rollback).incident
    channel = wants(team_of(rollback), Topic.NEEDS_HUMAN)
    happened("rollback.needs_human", "rollback", rollback.pk, why="Step flip did not pass.")
    assert follow_log() > 0
    message = Message.objects.get()
    alias = rollback.parts.get().policy.alias
    assert message.subject == f"Rollback of {alias} in {rollback.environment.slug} needs a person"
    assert "Step flip did not pass." in message.body
    assert "What is asked of you: On-call: open the rollback and say how it goes on." in message.body
    assert f"https://hub.example.org/rollbacks/{rollback.pk}/" in message.body
    assert str(message.pk) in message.body, "whoever gets it twice can tell"
    assert (message.incident_id, message.weight, message.topic) == (incident.pk, "failure", Topic.NEEDS_HUMAN)
    delivery = MessageDelivery.objects.get()
    assert (delivery.channel, delivery.is_bundled, delivery.due_at <= clock.now()) == (channel, False, True)


def test_each_kind_of_thing_finds_its_team_and_page() -> None:
    policy = RoutingPolicyFactory(artefact__team=TeamFactory(slug="search", name="Search"))
    team = policy.artefact.team
    incident = IncidentFactory(aliases=[policy], environment=policy.environment)
    planned = PlannedDrillFactory(failed=True, plan__policy=policy)
    release = ReleaseFactory(policy=policy)
    action = ActionFactory(team=team)
    channel = ChannelFactory(team=team)
    wanted = (Topic.INCIDENT_OPENED, Topic.DRILL_FAILED, Topic.GATE_BYPASSED, Topic.ACTION_OVERDUE, Topic.HOLD_LIFTED, Topic.ALERT_FIRED)
    proposal_id, postmortem_id = uuid4(), uuid4()
    for topic in (*wanted, Topic.PROPOSAL_MADE, Topic.POSTMORTEM_PUBLISHED):
        RuleFactory(team=team, topic=topic, channels=[channel])
    happened("incident.opened", "incident", incident.pk, title=incident.title)
    happened("planned_drill.failed", "planned_drill", planned.pk, why="The gateway served something else.")
    happened("release.gate_bypassed", "release", release.pk, reason="The fix cannot wait.", conditions=["no_proof"])
    happened("action.overdue", "action", action.pk, title=action.title, due_on="2026-11-30")
    happened("hold.lifted", "version", release.to_version.pk, reason="The cause is mended.")
    happened("alert.fired", "alert", uuid4(), incident=str(incident.pk), name="NegativeFeedback")
    happened("alert.fired", "alert", uuid4(), incident=str(uuid4()), name="OfNothingThatIsThere")
    happened("proposal.made", "proposal", proposal_id, incident=str(incident.pk), name="NegativeFeedback", bad_version="v2", good_versions=["v1"])
    happened("postmortem.published", "postmortem", postmortem_id, incident=str(incident.pk), title=incident.title)
    follow_log()
    found = {message.topic: message for message in Message.objects.filter(team=team)}
    assert {topic: message.url for topic, message in found.items()} == {
        Topic.INCIDENT_OPENED: f"/incidents/{incident.pk}/",
        Topic.DRILL_FAILED: f"/drills/planned/{planned.pk}/",
        Topic.GATE_BYPASSED: f"/releases/{release.pk}/",
        Topic.ACTION_OVERDUE: f"/actions/{action.pk}/",
        Topic.HOLD_LIFTED: f"/registry/versions/{release.to_version.pk}/",
        Topic.ALERT_FIRED: f"/incidents/{incident.pk}/",
        Topic.PROPOSAL_MADE: f"/alerts/proposals/{proposal_id}/",
        Topic.POSTMORTEM_PUBLISHED: f"/postmortems/{postmortem_id}/",
    }
    assert "To be taken out: v2.\n\nTo go back to: v1." in found[Topic.PROPOSAL_MADE].body
    assert found[Topic.ALERT_FIRED].incident_id == incident.pk


def test_rollback_of_two_teams_is_told_to_both_and_each_alias_once() -> None:
    rollback = RollbackFactory(needs_human=True, parts=2)
    teams = {part.policy.artefact.team for part in rollback.parts.all()}
    for team in teams:
        wants(team, Topic.NEEDS_HUMAN)
    happened("rollback.needs_human", "rollback", rollback.pk, why="x")
    follow_log()
    assert {message.team for message in Message.objects.all()} == teams


def test_without_a_rule_or_an_active_channel_nothing_is_told() -> None:
    rollback = RollbackFactory(needs_human=True)
    happened("rollback.needs_human", "rollback", rollback.pk)
    follow_log()
    channel = wants(team_of(rollback), Topic.NEEDS_HUMAN)
    Channel.objects.filter(pk=channel.pk).update(is_active=False)
    happened("rollback.needs_human", "rollback", rollback.pk)
    follow_log()
    assert Message.objects.count() == 0


def test_event_is_told_once_however_often_the_log_is_read() -> None:
    rollback = RollbackFactory(needs_human=True)
    wants(team_of(rollback), Topic.NEEDS_HUMAN)
    happened("rollback.needs_human", "rollback", rollback.pk)
    follow_log()
    assert follow_log() == 0
    assert Message.objects.count() == 1
    assert Follower.objects.get().position == 1


def test_installation_that_turns_it_on_is_not_told_its_past() -> None:
    Follower.objects.all().delete()
    rollback = RollbackFactory(needs_human=True)
    wants(team_of(rollback), Topic.NEEDS_HUMAN)
    happened("rollback.needs_human", "rollback", rollback.pk)
    assert follow_log() == 0
    assert Follower.objects.get().position == 1
    happened("rollback.needs_human", "rollback", rollback.pk)
    follow_log()
    assert Message.objects.count() == 1


def test_what_is_delivered_is_on_the_log_and_is_not_told_again() -> None:
    rollback = RollbackFactory(needs_human=True)
    wants(team_of(rollback), Topic.NEEDS_HUMAN)
    for event in ("notification.delivered", "notification.dead", "notification_channel.made", "notification_rule.set"):
        happened(event, "notification", uuid4(), incident=str(IncidentFactory().pk))
    assert follow_log() == 4
    assert Message.objects.count() == 0


def test_event_that_cannot_be_told_is_said_and_keeps_no_other_from_it(monkeypatch: pytest.MonkeyPatch) -> None:
    rollback = RollbackFactory(needs_human=True)
    wants(team_of(rollback), Topic.NEEDS_HUMAN)
    happened("rollback.needs_human", "rollback", rollback.pk, why="first")
    happened("rollback.needs_human", "rollback", rollback.pk, why="second")
    compose = follow.compose

    def fails_at_first(telling: Any, event: Any, *args: Any, **kwargs: Any) -> Message:
        if event.data["why"] == "first":
            raise RuntimeError("cannot be told")
        return compose(telling, event, *args, **kwargs)

    monkeypatch.setattr(follow, "compose", fails_at_first)
    with pytest.raises(ExceptionGroup) as failed:
        follow_log()
    assert "while telling audit event" in "".join(failed.value.exceptions[0].__notes__)
    assert ["second" in message.body for message in Message.objects.all()] == [True]
    assert follow_log() == 0


def test_quiet_hours_hold_back_what_is_not_urgent(monkeypatch: pytest.MonkeyPatch) -> None:
    rollback = RollbackFactory(verified=True)
    team = team_of(rollback)
    team.timezone = "Asia/Kolkata"
    team.save()
    QuietHoursFactory(team=team, starts=dt.time(22), ends=dt.time(7))
    wants(team, Topic.ROLLBACK_VERIFIED, passes_quiet=False)
    wants(team, Topic.NEEDS_HUMAN, passes_quiet=True)
    night = dt.datetime(2026, 12, 1, 18, 0, tzinfo=dt.UTC)
    monkeypatch.setattr(clock, "now", lambda: night)
    happened("rollback.verified", "rollback", rollback.pk)
    happened("rollback.needs_human", "rollback", rollback.pk)
    follow_log()
    found = {delivery.message.topic: (delivery.due_at, delivery.is_bundled) for delivery in MessageDelivery.objects.select_related("message")}
    assert found == {
        Topic.ROLLBACK_VERIFIED: (dt.datetime(2026, 12, 2, 1, 30, tzinfo=dt.UTC), True),
        Topic.NEEDS_HUMAN: (night, False),
    }


def test_digest_waits_for_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    rollback = RollbackFactory(verified=True)
    wants(team_of(rollback), Topic.ROLLBACK_VERIFIED, digest=Digest.HOURLY)
    monkeypatch.setattr(clock, "now", lambda: dt.datetime(2026, 12, 1, 18, 20, tzinfo=dt.UTC))
    happened("rollback.verified", "rollback", rollback.pk)
    follow_log()
    delivery = MessageDelivery.objects.get()
    assert (delivery.due_at, delivery.is_bundled) == (dt.datetime(2026, 12, 1, 19, 0, tzinfo=dt.UTC), True)


def test_words_of_people_make_no_second_line_of_a_subject() -> None:
    incident = IncidentFactory(title="bad\r\nBcc: everybody@example.org", aliases=[RoutingPolicyFactory()])
    wants(incident.aliases.get().artefact.team, Topic.INCIDENT_OPENED)
    happened("incident.opened", "incident", incident.pk, title=incident.title)
    follow_log()
    assert Message.objects.get().subject == "Incident: bad Bcc: everybody@example.org"


def test_burst_of_a_thousand_events_costs_the_same_queries_as_a_few() -> None:
    rollback = RollbackFactory(needs_human=True)
    wants(team_of(rollback), Topic.NEEDS_HUMAN)

    def cost(events: int) -> int:
        for _ in range(events):
            record(event="rollback.needs_human", actor=ACTOR, subject_type="rollback", subject_id=rollback.pk, data={"why": "x"})
        while sequence_pending():
            pass
        with CaptureQueriesContext(connection) as queries:
            follow_log()
        return len(queries)

    few, many = cost(3), cost(1000)
    assert Message.objects.count() == MessageDelivery.objects.count() == 1003
    turns = 1000 // AT_ONCE + 1
    assert many <= few * turns


def test_events_that_nobody_tells_cost_two_queries_and_a_move() -> None:
    AuditEventFactory.create_batch(20)
    assert sequence_pending()
    with CaptureQueriesContext(connection) as queries:
        assert follow_log() == 20
    assert len([query for query in queries if "SAVEPOINT" not in query["sql"]]) == 3


class TestOverdueActions:
    """Their day is over: on the log once, and told."""

    def test_is_noted_once_for_each_day(self) -> None:
        action = ActionFactory(due_on=clock.now().date() - dt.timedelta(days=3))
        ActionFactory(due_on=clock.now().date() + dt.timedelta(days=3))
        ActionFactory(due_on=clock.now().date() - dt.timedelta(days=3), done=True)
        ActionFactory(due_on=clock.now().date() - dt.timedelta(days=60))
        assert (note_overdue_actions(), note_overdue_actions()) == (1, 0)
        wants(action.team, Topic.ACTION_OVERDUE)
        assert sequence_pending()
        follow_log()
        assert [message.subject for message in Message.objects.all()] == [f"Action overdue: {action.title}"]
        action.due_on = clock.now().date() - dt.timedelta(days=2)
        action.save()
        assert (note_overdue_actions(), note_overdue_actions()) == (1, 0), "another day that is over is news again"
