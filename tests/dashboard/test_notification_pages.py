"""Pages of notifications: channels and their health, what teams are told, deliveries, and what nobody sees."""

from __future__ import annotations

import datetime as dt
import re
from html import unescape
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client

from rollbackhub.accounts.models import Team
from rollbackhub.common.clock import now
from rollbackhub.dashboard.templatetags.hub import full_time
from rollbackhub.notifications.catalogue import CHOOSABLE
from rollbackhub.notifications.enums import DeliveryState, Digest, Topic
from rollbackhub.notifications.models import Channel, MessageDelivery, QuietHours, Rule
from tests import leaks
from tests.dashboard.people import client_of, page
from tests.factories.accounts import TeamFactory
from tests.factories.fixtures import Cast
from tests.factories.notifications import ChannelFactory, DeliveryAttemptFactory, MessageDeliveryFactory, QuietHoursFactory, RuleFactory

pytestmark = pytest.mark.django_db
CHANNELS, RULES, DELIVERIES = "/notifications/", "/notifications/rules/", "/notifications/deliveries/"
SECRET = "page-channel-secret-Hn45Tz"
leaks.watch(SECRET)


def said(html: str) -> str:
    """As it is read."""
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html)))


@pytest.fixture
def team(db: None) -> Team:
    found: Team = TeamFactory(slug="platform", name="Platform")
    return found


@pytest.fixture
def lead(cast: Cast) -> Client:
    return client_of(cast.lead)


def test_empty_page_says_what_would_fill_it_and_offers_it_to_who_may(cast: Cast) -> None:
    assert "Add a channel" in page(client_of(cast.lead), CHANNELS)
    for_others = page(client_of(cast.auditor), CHANNELS)
    assert "A platform lead or an administrator adds a channel." in for_others
    assert "channels/new/" not in for_others


@pytest.mark.parametrize(
    ("values", "dead", "answer"),
    [
        ({}, False, "Nobody knows yet: the one channel was not tried yet."),
        ({"last_delivered_at": now()}, False, "Yes: no channel fails."),
        ({"failures": 3, "last_failed_at": now(), "last_error": "It answered 500."}, False, "1 channel fails."),
        ({"last_delivered_at": now()}, True, "Not everything arrived, though 1 channel works now."),
        ({}, True, "Not everything arrived; 1 was not tried yet."),
        ({"is_active": False}, False, "Every channel is off."),
    ],
)
def test_answer_is_above_the_channels(values: dict[str, Any], dead: bool, answer: str, lead: Client, team: Team) -> None:
    channel = ChannelFactory(team=team, **values)
    if dead:
        MessageDeliveryFactory(dead=True, channel=channel)
    text = said(page(lead, CHANNELS))
    assert answer in text
    assert ("1 message could not be delivered" in text) == dead
    if values.get("last_error"):
        assert "It answered 500." in text


@pytest.mark.parametrize(
    ("working", "failing", "untried", "answer"),
    [
        (1, 3, 1, "3 channels fail, 1 works, 1 was not tried yet."),
        (0, 3, 1, "3 channels fail, 1 was not tried yet."),
        (2, 1, 0, "1 channel fails, 2 work."),
        (2, 0, 1, "Yes, where it was tried: 2 channels work, 1 was not tried yet."),
        (0, 0, 2, "Nobody knows yet: none of the 2 channels was tried yet."),
    ],
)
def test_channel_that_was_never_tried_counts_neither_as_failing_nor_as_working(
    working: int, failing: int, untried: int, answer: str, lead: Client, team: Team
) -> None:
    ChannelFactory.create_batch(working, team=team, last_delivered_at=now())
    ChannelFactory.create_batch(failing, team=team, failures=1, last_failed_at=now(), last_error="It answered 500.")
    ChannelFactory.create_batch(untried, team=team)
    ChannelFactory(team=team, is_active=False)
    assert answer in said(page(lead, CHANNELS))


def test_channel_is_added_by_reference_and_a_pasted_address_is_not_shown_again(lead: Client, team: Team) -> None:
    refused = lead.post("/notifications/channels/new/", {"team": "platform", "name": "Slack", "address_ref": f"slack://{SECRET}/a/b"})
    assert (refused.status_code, Channel.objects.count()) == (422, 0)
    text = refused.content.decode()
    assert "The address itself is a secret and is never stored." in text
    assert 'value="Slack"' in text, "what was fine stays"
    made = lead.post("/notifications/channels/new/", {"team": "platform", "name": "Slack", "address_ref": "env:NOTIFY_SLACK"}, follow=True)
    assert "The channel Slack is kept. Send a test" in made.content.decode()
    again = lead.post("/notifications/channels/new/", {"team": "platform", "name": "Slack", "address_ref": "env:NOTIFY_SLACK"})
    assert (again.status_code, "Platform has a channel Slack already" in again.content.decode()) == (422, True)


def test_channel_is_changed_turned_off_and_on(lead: Client, team: Team) -> None:
    channel = ChannelFactory(team=team, name="Slack")
    where = f"/notifications/channels/{channel.pk}/"
    assert 'value="env:NOTIFY_TEST"' in page(lead, f"{where}edit/")
    lead.post(f"{where}edit/", {"name": "Slack #rollbacks", "address_ref": "file:/run/secrets/slack"})
    channel.refresh_from_db()
    assert (channel.name, channel.address_ref) == ("Slack #rollbacks", "file:/run/secrets/slack")
    assert "What waited for it is discarded" in said(lead.post(f"{where}off/", follow=True).content.decode())
    assert "Turn on" in page(lead, CHANNELS)
    lead.post(f"{where}on/")
    channel.refresh_from_db()
    assert channel.is_active


def test_test_button_leads_to_what_becomes_of_it(lead: Client, team: Team) -> None:
    channel = ChannelFactory(team=team)
    response = lead.post(f"/notifications/channels/{channel.pk}/test/")
    delivery = MessageDelivery.objects.get()
    assert response["Location"] == f"{DELIVERIES}{delivery.pk}/"
    html = page(lead, response["Location"])
    assert f'hx-get="{DELIVERIES}{delivery.pk}/live/?seen=pending.0"' in html, "it says by itself what becomes of it"
    assert lead.get(f"{DELIVERIES}{delivery.pk}/live/?seen=pending.0").status_code == 204
    assert 'id="live"' in page(lead, f"{DELIVERIES}{delivery.pk}/live/?seen=sending.1")
    MessageDelivery.objects.update(state=DeliveryState.DEAD, error="It answered 500.")
    assert lead.get(f"{DELIVERIES}{delivery.pk}/live/")["HX-Refresh"] == "true"
    html = page(lead, response["Location"])
    assert 'hx-get="/notifications' not in html
    assert "It answered 500. Mend the channel" in said(html)


def test_team_says_what_it_is_told(lead: Client, team: Team) -> None:
    channel = ChannelFactory(team=team, name="Slack")
    html = page(lead, f"{RULES}platform/")
    assert html.count('type="checkbox"') == 2 * len(CHOOSABLE) + 1
    assert said(html).count("Urgent") >= 5
    data = {
        "starts": "22:00", "ends": "07:00", "weekends": "on",
        "needs_human-channels": [str(channel.pk)], "needs_human-digest": "at_once", "needs_human-passes_quiet": "on",
        "rollback_verified-channels": [str(channel.pk)], "rollback_verified-digest": "daily", "rollback_verified-daily_at": "09:00",
    }  # fmt: skip
    saved = lead.post(f"{RULES}platform/", data, follow=True)
    assert "Platform is told so from now on." in saved.content.decode()
    rules = {rule.topic: (rule.digest, rule.daily_at, rule.passes_quiet) for rule in Rule.objects.all()}
    assert rules == {
        Topic.NEEDS_HUMAN: (Digest.AT_ONCE, None, True),
        Topic.ROLLBACK_VERIFIED: (Digest.DAILY, dt.time(9), False),
    }
    assert (QuietHours.objects.get().starts, QuietHours.objects.get().weekends) == (dt.time(22), True)
    assert "2 topics" in said(page(lead, RULES))


def test_rules_with_nothing_set_say_what_would_fill_them_and_lead_there(cast: Cast, team: Team) -> None:
    client, reader = client_of(cast.lead), client_of(cast.auditor)
    html = page(client, RULES)
    assert "Nothing is told to any team yet. First a team needs a place where it reads: add a channel" in said(html)
    assert 'href="/notifications/channels/new/">add a channel</a>' in html
    assert "channels/new/" not in page(reader, RULES)
    channel = ChannelFactory(team=team)
    html = page(client, RULES)
    assert "Open a team that has a channel, and say which topics go there: Platform" in said(html)
    assert html.count(f'href="{RULES}platform/"') == 2
    assert "A platform lead or an administrator opens a team here" in said(page(reader, RULES))
    RuleFactory(team=team, channels=[channel])
    assert "Nothing is told" not in page(client, RULES)


def test_rules_without_a_team_lead_an_administrator_to_making_one(cast: Cast) -> None:
    Team.objects.all().delete()
    assert 'href="/admin/accounts/team/add/"' in page(client_of(cast.admin), RULES)
    text = page(client_of(cast.auditor), RULES)
    assert "an administrator makes them in the settings" in text
    assert "/admin/accounts/team/add/" not in text


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({"needs_human-channels": ["{channel}"], "needs_human-digest": "daily"}, "say at what time it goes out daily"),
        ({"needs_human-channels": ["00000000-0000-0000-0000-000000000001"]}, "Select a valid choice"),
        ({"starts": "22:00"}, "Say when it begins and when it ends"),
        ({"starts": "late"}, "Enter a valid time"),
        ({"needs_human-digest": "sometimes"}, "Select a valid choice"),
    ],
)
def test_wish_that_cannot_be_is_said_and_nothing_changes(data: dict[str, Any], sentence: str, lead: Client, team: Team) -> None:
    channel = ChannelFactory(team=team)
    sent = {name: [one.format(channel=channel.pk) for one in value] if isinstance(value, list) else value for name, value in data.items()}
    response = lead.post(f"{RULES}platform/", {"drill_failed-channels": [str(channel.pk)], **sent})
    assert response.status_code == 422
    assert sentence in said(response.content.decode())
    assert (Rule.objects.count(), QuietHours.objects.count()) == (0, 0)


def test_who_may_not_configure_reads_it_and_cannot_change_it(cast: Cast, team: Team) -> None:
    channel = ChannelFactory(team=team, name="Slack")
    RuleFactory(team=team, topic=Topic.NEEDS_HUMAN, channels=[channel])
    QuietHoursFactory(team=team)
    for who in (cast.on_call, cast.auditor, cast.leadership):
        client = client_of(who)
        text = said(page(client, f"{RULES}platform/"))
        assert "From 22:00 to 07:00, by the team's clock" in text
        assert "Rollback needs a person Slack Each at once Told, too" in text
        assert '<form method="post" class="stack"' not in page(client, f"{RULES}platform/")
        assert client.post(f"{RULES}platform/", {}).status_code == 403
    assert Rule.objects.count() == 1


def test_deliveries_are_filtered_and_dead_letters_stand_out(lead: Client, team: Team) -> None:
    dead = MessageDeliveryFactory(dead=True, message__subject="the dead one")
    MessageDeliveryFactory(delivered=True, message__subject="the one that arrived")
    text = said(page(lead, DELIVERIES))
    assert "1 message could not be delivered." in text
    only = page(lead, f"{DELIVERIES}?state=dead")
    assert "the dead one" in only
    assert "the one that arrived" not in only
    assert f"{DELIVERIES}{dead.pk}/" in only
    assert "filters by what there is not (state=nonsense)" in said(page(lead, f"{DELIVERIES}?state=nonsense"))
    assert "No message fits this filter." in page(lead, f"{DELIVERIES}?topic=drill_missed")


def test_what_waits_says_until_when_and_only_what_arrived_counts_as_told(lead: Client, team: Team) -> None:
    at, later = now() + dt.timedelta(hours=5), now() + dt.timedelta(hours=6)
    paused = ChannelFactory(team=team, name="paused", failures=2, paused_until=later)
    cells = {
        MessageDeliveryFactory(due_at=at): f"not yet waits until {full_time(at)}",
        MessageDeliveryFactory(channel=paused, due_at=at): f"not yet waits until {full_time(later)}",
        MessageDeliveryFactory(retrying=True, due_at=at): f"not yet waits until {full_time(at)}",
        MessageDeliveryFactory(): "not yet due now",
        MessageDeliveryFactory(state=DeliveryState.SENDING, claim=uuid4(), lease_until=at): "not yet it is being sent",
        MessageDeliveryFactory(delivered=True): "just now",
        MessageDeliveryFactory(dead=True, message__happened_at=now() - dt.timedelta(hours=2)): "no it happened 2 h ago",
        MessageDeliveryFactory(state=DeliveryState.DISCARDED, ended_by_label="Lee Lead", ended_reason="The channel is gone."): "no it happened just now",
    }
    rows = re.findall(r"(?s)<tr><th scope=\"row\".*?</tr>", page(lead, DELIVERIES))
    for delivery, words in cells.items():
        [row] = [row for row in rows if str(delivery.pk) in row]
        told = said(row.split('data-label="Told"')[1].split("</td>")[0].partition(">")[2]).strip()
        assert told.startswith(words), delivery.state
        assert ("By Lee Lead: The channel is gone." in said(row)) == (delivery.state == DeliveryState.DISCARDED)


def test_page_of_a_message_that_waits_says_until_when(lead: Client, team: Team) -> None:
    at, later = now() + dt.timedelta(hours=5), now() + dt.timedelta(hours=6)

    def answer(**values: Any) -> str:
        return said(page(lead, f"{DELIVERIES}{MessageDeliveryFactory(**values).pk}/"))

    assert f"It waits until {full_time(at)} , and goes out then." in answer(due_at=at)
    assert f"It waits until {full_time(at)} , and goes out then with what else the team is told until then." in answer(due_at=at, is_bundled=True)
    assert "It is due now, and goes out at once." in answer()
    paused = ChannelFactory(team=team, failures=2, paused_until=later)
    assert f"The next try: {full_time(later)} ." in answer(channel=paused, retrying=True, due_at=at)
    assert "The next try: now." in answer(retrying=True)


def test_dead_letter_is_sent_again_or_discarded_on_its_page(lead: Client, cast: Cast) -> None:
    delivery = DeliveryAttemptFactory().delivery
    where = f"{DELIVERIES}{delivery.pk}/"
    html = page(lead, where)
    assert "Send again" in html
    assert "Discard…" in html
    assert "Send again" not in page(client_of(cast.auditor), where)
    assert client_of(cast.on_call).post(f"{where}send-again/").status_code == 403
    lead.post(f"{where}send-again/")
    delivery.refresh_from_db()
    assert delivery.state == DeliveryState.PENDING
    lead.post(f"{where}discard/", {"reason": "The channel is gone."})
    assert "By Lee Lead: The channel is gone." in said(page(lead, where))


def test_what_people_wrote_is_text(lead: Client, team: Team) -> None:
    evil = "<script>alert(1)</script>"
    delivery = MessageDeliveryFactory(dead=True, error=evil[:300], message__subject=evil, message__body=evil, channel__name=evil, channel__team=team)
    for where in (CHANNELS, DELIVERIES, f"{DELIVERIES}{delivery.pk}/", f"{RULES}platform/"):
        assert evil not in page(lead, where)


@pytest.mark.parametrize(("where", "most"), [(CHANNELS, 14), (RULES, 13), (f"{RULES}platform/", 18), (DELIVERIES, 16)])
def test_pages_ask_the_database_as_often_for_many(where: str, most: int, lead: Client, team: Team, django_assert_max_num_queries: Any) -> None:
    for number in range(8):
        channel = ChannelFactory(team=team if number % 2 else TeamFactory(slug=f"team-{number}"))
        RuleFactory(team=channel.team, topic=CHOOSABLE[number], channels=[channel])
        MessageDeliveryFactory(channel=channel, dead=bool(number % 3))
    with django_assert_max_num_queries(most):
        page(lead, where)


def test_page_of_a_delivery_asks_as_often_for_many_tries(lead: Client, django_assert_max_num_queries: Any) -> None:
    delivery = MessageDeliveryFactory(dead=True)
    DeliveryAttemptFactory.create_batch(6, delivery=delivery)
    with django_assert_max_num_queries(13):
        page(lead, f"{DELIVERIES}{delivery.pk}/")
