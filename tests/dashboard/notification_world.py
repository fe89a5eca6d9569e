"""Notifications for pages: channels that work, fail and are off, what a team is told, and a delivery in each state."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from django.urls import reverse

from rollbackhub.accounts.models import Team
from rollbackhub.common.clock import now
from rollbackhub.notifications.enums import AttemptOutcome, Digest, Topic
from rollbackhub.notifications.models import Channel, MessageDelivery
from tests.factories.accounts import TeamFactory
from tests.factories.notifications import ChannelFactory, DeliveryAttemptFactory, MessageDeliveryFactory, QuietHoursFactory, RuleFactory


@dataclass(frozen=True)
class Notifications:
    """The things that pages of notifications are about."""

    team: Team
    without: Team
    """Has no channel."""
    working: Channel
    failing: Channel
    deliveries: dict[str, MessageDelivery]
    """By state."""


def make_notifications() -> Notifications:
    """Build it in whatever database is current."""
    team = TeamFactory(slug="on-call-heroes", name="On-call heroes")
    working = ChannelFactory(team=team, name="Slack #rollbacks", last_delivered_at=now() - dt.timedelta(minutes=3))
    failing = ChannelFactory(
        team=team,
        name="Webhook of the pager that nobody has looked after since it was set up",
        address_ref="file:/run/secrets/a-rather-long-name-of-a-file-in-which-the-address-is-found",
        failures=3,
        last_failed_at=now() - dt.timedelta(minutes=1),
        last_error="Nothing listens there: the connection was refused.",
    )
    ChannelFactory(team=team, name="Old mail", is_active=False)
    QuietHoursFactory(team=team, weekends=True)
    RuleFactory(team=team, topic=Topic.NEEDS_HUMAN, channels=[working, failing])
    RuleFactory(team=team, topic=Topic.ROLLBACK_VERIFIED, channels=[working], digest=Digest.DAILY, daily_at=dt.time(9), passes_quiet=False)
    deliveries: dict[str, MessageDelivery] = {
        "delivered": MessageDeliveryFactory(channel=working, delivered=True),
        "retrying": MessageDeliveryFactory(channel=failing, retrying=True, due_at=now() + dt.timedelta(minutes=5)),
        "dead": MessageDeliveryFactory(channel=failing, dead=True),
    }
    DeliveryAttemptFactory(delivery=deliveries["delivered"], outcome=AttemptOutcome.DELIVERED, error="")
    for outcome in (AttemptOutcome.FAILED, AttemptOutcome.LOST, AttemptOutcome.FAILED):
        DeliveryAttemptFactory(delivery=deliveries["dead"], outcome=outcome)
    return Notifications(team, TeamFactory(slug="quiet-team", name="Quiet team"), working, failing, deliveries)


def addresses_of_notifications(found: Notifications) -> dict[str, str]:
    """Every page of it, by a short name."""
    return {
        "notifications": reverse("notifications:channels"),
        "notification-channel-new": reverse("notifications:channel-new"),
        "notification-channel-edit": reverse("notifications:channel-edit", args=[found.failing.pk]),
        "notification-rules": reverse("notifications:rules"),
        "notification-team": reverse("notifications:team", args=[found.team.slug]),
        "notification-team-without": reverse("notifications:team", args=[found.without.slug]),
        "notification-deliveries": reverse("notifications:deliveries"),
        "notification-dead-letters": reverse("notifications:deliveries") + "?state=dead",
        **{f"notification-{state}": reverse("notifications:delivery", args=[delivery.pk]) for state, delivery in found.deliveries.items()},
    }
