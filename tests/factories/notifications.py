"""Channels, rules, messages and deliveries."""

from __future__ import annotations

import datetime as dt
from typing import Any
from uuid import uuid4

import factory
from factory.django import DjangoModelFactory

from rollbackhub.common.clock import now
from rollbackhub.notifications.enums import AttemptOutcome, DeliveryState, Digest, Topic
from rollbackhub.notifications.models import Channel, DeliveryAttempt, Follower, Message, MessageDelivery, QuietHours, Rule
from tests.factories.accounts import TeamFactory


class FollowerFactory(DjangoModelFactory):
    """The one cursor, at the log's begin."""

    class Meta:
        model = Follower
        django_get_or_create = ("id",)

    id = 1
    position = 0


class ChannelFactory(DjangoModelFactory):
    """A channel of the platform team whose address is in NOTIFY_TEST."""

    class Meta:
        model = Channel

    team = factory.SubFactory(TeamFactory, slug="platform")
    name = factory.Sequence("channel {}".format)
    address_ref = "env:NOTIFY_TEST"


class RuleFactory(DjangoModelFactory):
    """Needed rollbacks at once; `channels=[…]` says where."""

    class Meta:
        model = Rule
        django_get_or_create = ("team", "topic")
        skip_postgeneration_save = True

    team = factory.SubFactory(TeamFactory, slug="platform")
    topic = Topic.NEEDS_HUMAN
    digest = Digest.AT_ONCE
    passes_quiet = True

    @factory.post_generation
    def channels(self: Rule, create: bool, extracted: list[Channel] | None, **kwargs: Any) -> None:
        """Where."""
        self.channels.set(extracted or [])


class QuietHoursFactory(DjangoModelFactory):
    """Nights from ten to seven."""

    class Meta:
        model = QuietHours
        django_get_or_create = ("team",)

    team = factory.SubFactory(TeamFactory, slug="platform")
    starts = dt.time(22)
    ends = dt.time(7)


class MessageFactory(DjangoModelFactory):
    """That a rollback needs a person."""

    class Meta:
        model = Message

    team = factory.SubFactory(TeamFactory, slug="platform")
    topic = Topic.NEEDS_HUMAN
    weight = "failure"
    subject = factory.Sequence("Rollback {} needs a person".format)
    body = "It has stopped.\n\nWhat is asked of you: look at it."
    url = "/rollbacks/"
    position = factory.Sequence(lambda number: 1_000_000 + number)
    happened_at = factory.LazyFunction(now)


class MessageDeliveryFactory(DjangoModelFactory):
    """Due now. Traits: `dead`, `delivered`, `retrying`."""

    class Meta:
        model = MessageDelivery

    class Params:
        dead = factory.Trait(state=DeliveryState.DEAD, attempt_count=6, error="It answered 500.")
        delivered = factory.Trait(state=DeliveryState.DELIVERED, attempt_count=1, delivered_at=factory.LazyFunction(now))
        retrying = factory.Trait(state=DeliveryState.RETRYING, attempt_count=1, error="It answered 500.")

    channel = factory.SubFactory(ChannelFactory)
    message = factory.SubFactory(MessageFactory, team=factory.SelfAttribute("..channel.team"))
    due_at = factory.LazyFunction(now)
    first_due_at = factory.SelfAttribute("due_at")


class DeliveryAttemptFactory(DjangoModelFactory):
    """One that failed."""

    class Meta:
        model = DeliveryAttempt

    delivery = factory.SubFactory(MessageDeliveryFactory, dead=True)
    claim = factory.LazyFunction(uuid4)
    started_at = factory.LazyFunction(now)
    ended_at = factory.LazyAttribute(lambda attempt: attempt.started_at + dt.timedelta(seconds=1))
    outcome = AttemptOutcome.FAILED
    error = "It answered 500."
