"""Channels by reference only, and what teams wish to be told: refusals as carefully as successes."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.accounts.models import Team
from rollbackhub.audit.models import AuditEvent
from rollbackhub.common.config import load_config
from rollbackhub.common.errors import Conflict, Forbidden, InvalidInput, NotFound
from rollbackhub.notifications.domain.channels import change_channel, make_channel
from rollbackhub.notifications.domain.wishes import Wish, set_quiet_hours, set_rules
from rollbackhub.notifications.enums import Digest, Topic
from rollbackhub.notifications.models import Channel, QuietHours, Rule
from tests import leaks
from tests.factories.accounts import TeamFactory
from tests.factories.fixtures import Cast
from tests.factories.notifications import ChannelFactory

SECRET = "channel-form-secret-Wv33Kd"
leaks.watch(SECRET)


@pytest.fixture
def team(db: None) -> Team:
    found: Team = TeamFactory(slug="platform")
    return found


@pytest.fixture
def lead(cast: Cast) -> dict[str, Any]:
    return {"user": cast.lead, "actor": actor_of(cast.lead)}


def test_channel_is_made_changed_and_recorded_without_its_address(team: Team, lead: dict[str, Any]) -> None:
    channel = make_channel(team=team, name=" Slack ", address_ref="env:NOTIFY_SLACK", **lead)
    changed = change_channel(channel_id=channel.pk, name="Slack #rollbacks", address_ref="file:/run/secrets/slack", **lead)
    assert (changed.name, changed.address_ref) == ("Slack #rollbacks", "file:/run/secrets/slack")
    events = list(AuditEvent.objects.filter(subject_type="notification_channel").order_by("id").values_list("event", flat=True))
    assert events == ["notification_channel.made", "notification_channel.changed"]
    change_channel(channel_id=channel.pk, name="Slack #rollbacks", **lead)
    assert AuditEvent.objects.filter(subject_type="notification_channel").count() == 2, "nothing changed"


@pytest.mark.parametrize(
    "address", [f"slack://{SECRET}/x/y", f"env:{SECRET}", "", "NOTIFY_SLACK", "file:relative", f"https://hooks.slack.com/services/{SECRET}"]
)
def test_address_itself_is_refused_and_not_repeated(address: str, team: Team, lead: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as refused:
        make_channel(team=team, name="Slack", address_ref=address, **lead)
    assert list(refused.value.fields) == ["address_ref"]
    assert SECRET not in str(refused.value) + str(refused.value.fields)
    assert (Channel.objects.count(), refused.value.__cause__) == (0, None)


@pytest.mark.parametrize("name", ["", " ", "x" * 101, "two\nlines", "\u202ebackwards"])
def test_name_that_cannot_be_shown_is_refused(name: str, team: Team, lead: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as refused:
        make_channel(team=team, name=name, address_ref="env:A", **lead)
    assert list(refused.value.fields) == ["name"]


def test_name_is_once_in_a_team(team: Team, lead: dict[str, Any]) -> None:
    first = make_channel(team=team, name="Slack", address_ref="env:A", **lead)
    make_channel(team=TeamFactory(slug="search"), name="Slack", address_ref="env:A", **lead)
    other = make_channel(team=team, name="Mail", address_ref="env:B", **lead)
    for twice in (
        lambda: make_channel(team=team, name="Slack", address_ref="env:A", **lead),
        lambda: change_channel(channel_id=other.pk, name=first.name, **lead),
    ):
        with pytest.raises(Conflict) as refused:
            twice()
        assert refused.value.code == "channel_exists"


def test_who_may_not_configure_may_not(team: Team, cast: Cast) -> None:
    channel = ChannelFactory(team=team)
    for person in cast.everybody_but("lead", "admin").values():
        act: dict[str, Any] = {"user": person, "actor": actor_of(person)}
        for forbidden in (
            lambda act=act: make_channel(team=team, name="x", address_ref="env:A", **act),
            lambda act=act: change_channel(channel_id=channel.pk, is_active=False, **act),
            lambda act=act: set_rules(team=team, wishes=[], **act),
            lambda act=act: set_quiet_hours(team=team, starts=None, ends=None, weekends=True, **act),
        ):
            with pytest.raises(Forbidden):
                forbidden()


def test_channel_that_does_not_exist(team: Team, lead: dict[str, Any]) -> None:
    with pytest.raises(NotFound):
        change_channel(channel_id=ChannelFactory.build().pk, name="x", **lead)


def test_wishes_are_set_changed_and_taken_back_with_one_record_each(team: Team, lead: dict[str, Any]) -> None:
    slack, mail = ChannelFactory(team=team, name="Slack"), ChannelFactory(team=team, name="Mail")
    wishes = [
        Wish(Topic.NEEDS_HUMAN, [slack.pk, mail.pk]),
        Wish(Topic.ROLLBACK_VERIFIED, [mail.pk], Digest.DAILY, dt.time(9)),
        Wish(Topic.DRILL_FAILED, []),
    ]
    set_rules(team=team, wishes=wishes, **lead)
    found = {rule.topic: rule for rule in Rule.objects.all()}
    assert set(found) == {Topic.NEEDS_HUMAN, Topic.ROLLBACK_VERIFIED}
    assert (found[Topic.NEEDS_HUMAN].passes_quiet, found[Topic.ROLLBACK_VERIFIED].passes_quiet) == (True, False), "urgent or not, as the topic is"
    assert found[Topic.ROLLBACK_VERIFIED].daily_at == dt.time(9)
    set_rules(team=team, wishes=wishes, **lead)
    assert AuditEvent.objects.filter(event="notification_rule.set").count() == 2, "the same again is no change"
    set_rules(team=team, wishes=[Wish(Topic.NEEDS_HUMAN, [slack.pk], passes_quiet=False), Wish(Topic.ROLLBACK_VERIFIED, [])], **lead)
    rule = Rule.objects.get()
    assert (list(rule.channels.all()), rule.passes_quiet) == ([slack], False)
    last = AuditEvent.objects.filter(event="notification_rule.set").order_by("-id")[:2]
    assert {event.data["topic"]: event.data["after"] and event.data["after"]["channels"] for event in last} == {
        "needs_human": ["Slack"],
        "rollback_verified": None,
    }


@pytest.mark.parametrize(
    "wish",
    [
        lambda mine, others: Wish(Topic.NEEDS_HUMAN, [others.pk]),
        lambda mine, others: Wish(Topic.TEST, [mine.pk]),
        lambda mine, others: Wish(Topic.NEEDS_HUMAN, [mine.pk], Digest.DAILY),
    ],
)
def test_wish_that_cannot_be_is_refused_and_nothing_is_set(wish: Any, team: Team, lead: dict[str, Any]) -> None:
    mine, others = ChannelFactory(team=team), ChannelFactory(team=TeamFactory(slug="search"))
    with pytest.raises(InvalidInput):
        set_rules(team=team, wishes=[Wish(Topic.DRILL_FAILED, [mine.pk]), wish(mine, others)], **lead)
    assert Rule.objects.count() == 0


def test_quiet_hours_are_set_and_taken_off(team: Team, lead: dict[str, Any]) -> None:
    set_quiet_hours(team=team, starts=dt.time(22), ends=dt.time(7), weekends=True, **lead)
    assert (QuietHours.objects.get().starts, QuietHours.objects.get().weekends) == (dt.time(22), True)
    set_quiet_hours(team=team, starts=None, ends=None, weekends=True, **lead)
    assert QuietHours.objects.get().starts == QuietHours.objects.get().ends
    assert set_quiet_hours(team=team, starts=None, ends=None, weekends=False, **lead) is None
    assert (QuietHours.objects.count(), AuditEvent.objects.filter(event="notification_quiet_hours.set").count()) == (0, 3)
    for starts, ends in ((dt.time(22), None), (None, dt.time(7)), (dt.time(7), dt.time(7))):
        with pytest.raises(InvalidInput):
            set_quiet_hours(team=team, starts=starts, ends=ends, weekends=False, **lead)


@pytest.mark.parametrize(("text", "says"), [("json,syslog", "syslog cannot be allowed"), ("apprise", "cannot be allowed"), ("js on", "cannot be allowed")])
def test_schemes_that_act_on_this_machine_cannot_be_allowed(text: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_ALLOWED_SCHEMES", text)
    with pytest.raises(SystemExit) as stopped:
        load_config()
    assert "NOTIFY_ALLOWED_SCHEMES" in str(stopped.value)
    assert says in str(stopped.value)


def test_schemes_are_a_list_of_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_ALLOWED_SCHEMES", "Slack://, mailtos")
    assert load_config().notify_allowed_schemes == ["slack", "mailtos"]
