"""Channels, what teams are told, and deliveries over the API."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from rollbackhub.accounts.models import Team
from rollbackhub.notifications.enums import Topic
from rollbackhub.notifications.models import Channel, MessageDelivery
from tests import leaks
from tests.api.conftest import Caller
from tests.api.openapi import CheckedClient
from tests.factories.accounts import TeamFactory
from tests.factories.fixtures import Cast
from tests.factories.notifications import ChannelFactory, DeliveryAttemptFactory, MessageDeliveryFactory, RuleFactory

CHANNELS, RULES, DELIVERIES = "/api/v1/notification-channels/", "/api/v1/notification-rules/", "/api/v1/notification-deliveries/"
SECRET = "api-channel-secret-Bq72Lm"
leaks.watch(SECRET)


@pytest.fixture
def team(db: None) -> Team:
    found: Team = TeamFactory(slug="platform")
    return found


@pytest.fixture
def lead(cast: Cast, by_session: Caller) -> CheckedClient:
    return by_session(cast.lead)


def test_channel_is_made_shown_changed_and_tested(lead: CheckedClient, on_call: CheckedClient, team: Team) -> None:
    made = lead.post(CHANNELS, {"team": "platform", "name": "Slack", "address_ref": "env:NOTIFY_SLACK"}, format="json")
    assert (made.status_code, made.json()["address_ref"], made.json()["is_active"]) == (201, "env:NOTIFY_SLACK", True)
    url = made.headers["Location"]
    assert on_call.get(url).json()["name"] == "Slack"
    assert lead.post(url, {"name": "Slack #rollbacks"}, format="json").json()["name"] == "Slack #rollbacks"
    tested = lead.post(f"{url}test/", {}, format="json")
    assert (tested.status_code, tested.json()["topic"], tested.json()["state"]) == (201, "test", "pending")
    assert lead.post(url, {"is_active": False}, format="json").json()["is_active"] is False
    assert MessageDelivery.objects.get().state == "discarded"
    assert lead.post(f"{url}test/", {}, format="json").json()["code"] == "channel_off"
    assert lead.post(CHANNELS, {"team": "platform", "name": "Slack #rollbacks", "address_ref": "env:B"}, format="json").json()["code"] == "channel_exists"


def test_address_itself_is_refused_and_not_repeated(lead: CheckedClient, team: Team) -> None:
    refused = lead.post(CHANNELS, {"team": "platform", "name": "Slack", "address_ref": f"slack://{SECRET}/a/b"}, format="json")
    assert (refused.status_code, list(refused.json()["fields"]), Channel.objects.count()) == (422, ["address_ref"], 0)


def test_same_request_with_its_key_makes_one_channel_and_one_test(lead: CheckedClient, team: Team) -> None:
    for _ in range(2):
        made = lead.post(CHANNELS, {"team": "platform", "name": "Slack", "address_ref": "env:A"}, format="json", headers={"Idempotency-Key": "k1"})
        assert made.status_code == 201
        lead.post(f"{made.json()['url']}test/", {}, format="json", headers={"Idempotency-Key": "k2"})
    assert (Channel.objects.count(), MessageDelivery.objects.count()) == (1, 1)


def test_rules_are_said_and_taken_back(lead: CheckedClient, on_call: CheckedClient, team: Team) -> None:
    channel = ChannelFactory(team=team)
    wanted: dict[str, Any] = {"team": "platform", "topic": "needs_human", "channels": [str(channel.pk)]}
    said = lead.post(RULES, wanted, format="json").json()["rule"]
    assert (said["channels"], said["digest"], said["passes_quiet"]) == ([str(channel.pk)], "at_once", True)
    assert [row["topic"] for row in on_call.get(RULES, {"team": "platform"}).json()["results"]] == ["needs_human"]
    assert lead.post(RULES, {**wanted, "digest": "daily"}, format="json").status_code == 422
    daily = lead.post(RULES, {**wanted, "digest": "daily", "daily_at": "09:00"}, format="json").json()["rule"]
    assert daily["daily_at"] == "09:00:00"
    assert lead.post(RULES, {**wanted, "channels": [str(ChannelFactory(team=TeamFactory(slug="search")).pk)]}, format="json").status_code == 422
    assert lead.post(RULES, {**wanted, "topic": "test"}, format="json").status_code == 422
    assert lead.post(RULES, {**wanted, "channels": []}, format="json").json() == {"rule": None}


def test_quiet_hours_are_said(lead: CheckedClient, on_call: CheckedClient, team: Team) -> None:
    url = f"{RULES}quiet-hours/platform/"
    assert on_call.get(url).json() == {"starts": None, "ends": None, "weekends": False}
    said = lead.post(url, {"starts": "22:00", "ends": "07:00", "weekends": True}, format="json").json()
    assert on_call.get(url).json() == said == {"starts": "22:00:00", "ends": "07:00:00", "weekends": True}
    assert lead.post(url, {"starts": "22:00", "ends": None}, format="json").status_code == 422
    assert lead.post(f"{RULES}quiet-hours/nobody/", {"starts": None, "ends": None}, format="json").status_code == 404


def test_dead_letters_are_found_sent_again_and_discarded(lead: CheckedClient, on_call: CheckedClient, team: Team) -> None:
    dead, other = DeliveryAttemptFactory().delivery, MessageDeliveryFactory(delivered=True)
    MessageDeliveryFactory(dead=True, channel__team=TeamFactory(slug="search"), message__topic=Topic.DRILL_FAILED)
    rows = on_call.get(DELIVERIES, {"state": "dead", "team": "platform"}).json()["results"]
    assert [row["id"] for row in rows] == [str(dead.pk)]
    for query, number in (({"channel": str(other.channel_id)}, 1), ({"topic": "drill_failed"}, 1), ({}, 3)):
        assert len(on_call.get(DELIVERIES, query).json()["results"]) == number
    whole = on_call.get(f"{DELIVERIES}{dead.pk}/").json()
    assert ([attempt["outcome"] for attempt in whole["attempts"]], whole["body"]) == (["failed"], dead.message.body)
    assert lead.post(f"{DELIVERIES}{dead.pk}/send-again/", {}, format="json").json()["state"] == "pending"
    assert lead.post(f"{DELIVERIES}{dead.pk}/send-again/", {}, format="json").json()["code"] == "wrong_state"
    assert lead.post(f"{DELIVERIES}{dead.pk}/discard/", {"reason": "x"}, format="json").json()["code"] == "reason_missing"
    gone = lead.post(f"{DELIVERIES}{dead.pk}/discard/", {"reason": "The channel is gone."}, format="json").json()
    assert (gone["state"], gone["ended_by_label"], gone["ended_reason"]) == ("discarded", "Lee Lead", "The channel is gone.")


def test_lists_cost_the_same_for_many(on_call: CheckedClient, team: Team) -> None:
    def cost(url: str) -> int:
        with CaptureQueriesContext(connection) as queries:
            assert on_call.get(url).status_code == 200
        return len(queries)

    def more() -> None:
        for topic in (Topic.NEEDS_HUMAN, Topic.DRILL_FAILED):
            other = TeamFactory()
            RuleFactory(team=other, topic=topic, channels=[ChannelFactory(team=other)])
            MessageDeliveryFactory(channel=ChannelFactory(team=other))

    more()
    cost(CHANNELS)  # the person's roles are read once
    few = [cost(url) for url in (CHANNELS, RULES, DELIVERIES)]
    for _ in range(6):
        more()
    assert [cost(url) for url in (CHANNELS, RULES, DELIVERIES)] == few
