"""The only writers of what a team wants to be told: rules per topic, and quiet hours."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import transaction

from rollbackhub.accounts.models import Team, User
from rollbackhub.accounts.rules import Capability, require
from rollbackhub.audit.actors import Actor
from rollbackhub.audit.domain.record import record
from rollbackhub.common.errors import InvalidInput
from rollbackhub.notifications.catalogue import CHOOSABLE, URGENT
from rollbackhub.notifications.enums import Digest, Topic
from rollbackhub.notifications.models import Channel, QuietHours, Rule


@dataclass(frozen=True, slots=True)
class Wish:
    """Where and how soon a team wants a topic. Without channels: not at all."""

    topic: Topic
    channels: Collection[UUID]
    digest: Digest = Digest.AT_ONCE
    daily_at: dt.time | None = None
    passes_quiet: bool | None = None
    """None: as the topic is, urgent or not."""


def set_rules(*, team: Team, wishes: Collection[Wish], user: User, actor: Actor) -> list[Rule]:
    """Set some topics' rules of a team; other topics stay. Returns the rules that there are then, of these topics.

    Raises Forbidden; InvalidInput: a topic that no rule is for, a channel of another team, a daily digest without its time.
    """
    require(user=user, capability=Capability.CONFIGURE)
    with transaction.atomic():
        # One at a time for a team.
        Team.objects.select_for_update(no_key=True).get(pk=team.pk)
        channels = {channel.pk: channel for channel in Channel.objects.filter(team=team)}
        for wish in wishes:
            _require_valid(wish, channels)
        before = {rule.topic: rule for rule in Rule.objects.filter(team=team, topic__in=[wish.topic for wish in wishes]).prefetch_related("channels")}
        for wish in wishes:
            _set(team, wish, before.get(wish.topic), actor)
        return list(Rule.objects.filter(team=team, topic__in=[wish.topic for wish in wishes]).select_related("team").prefetch_related("channels"))


def set_quiet_hours(*, team: Team, starts: dt.time | None, ends: dt.time | None, weekends: bool, user: User, actor: Actor) -> QuietHours | None:
    """When what is not urgent waits, by the team's clock; without times only weekends, without either none. Raises Forbidden, InvalidInput."""
    require(user=user, capability=Capability.CONFIGURE)
    if (starts is None) != (ends is None):
        sentence = "Say when it begins and when it ends, or neither."
        raise InvalidInput(sentence, fields={"starts" if starts is None else "ends": [sentence]})
    if starts is not None and starts == ends:
        sentence = "It begins and ends at the same time, which is no time at all."
        raise InvalidInput(sentence, fields={"ends": [sentence]})
    with transaction.atomic():
        Team.objects.select_for_update(no_key=True).get(pk=team.pk)
        before = QuietHours.objects.filter(team=team).first()
        if starts is None and not weekends:
            QuietHours.objects.filter(team=team).delete()
            after = None
        else:
            midnight = dt.time()
            after, _ = QuietHours.objects.update_or_create(team=team, defaults={"starts": starts or midnight, "ends": ends or midnight, "weekends": weekends})
        if _hours(before) != _hours(after):
            data = {"team": team.slug, "before": _hours(before), "after": _hours(after)}
            record(event="notification_quiet_hours.set", actor=actor, subject_type="team", subject_id=team.pk, data=data)
        return after


def _require_valid(wish: Wish, channels: dict[UUID, Channel]) -> None:
    label = wish.topic.label
    if wish.topic not in CHOOSABLE:
        raise InvalidInput(f"{label} has no rule: it goes to the channel that is tested.", fields={"topic": ["Choose another topic."]})
    if not set(wish.channels) <= set(channels):
        raise InvalidInput(f"{label}: a team is told in its own channels only.", fields={"channels": ["Choose channels of this team."]})
    if wish.digest == Digest.DAILY and wish.daily_at is None and wish.channels:
        raise InvalidInput(f"{label}: say at what time it goes out daily.", fields={"daily_at": ["Say at what time."]})


def _set(team: Team, wish: Wish, before: Rule | None, actor: Actor) -> None:
    was = _plain(before) if before is not None else None
    if not wish.channels:
        if before is not None:
            Rule.objects.filter(pk=before.pk).delete()
            _record(team, wish.topic, was, None, actor)
        return
    passes = wish.passes_quiet if wish.passes_quiet is not None else wish.topic in URGENT
    fields = {"digest": wish.digest, "daily_at": wish.daily_at if wish.digest == Digest.DAILY else None, "passes_quiet": passes}
    rule, _ = Rule.objects.update_or_create(team=team, topic=wish.topic, defaults=fields)
    if before is None or {channel.pk for channel in before.channels.all()} != set(wish.channels):
        rule.channels.set(Channel.objects.filter(pk__in=wish.channels))
    after = _plain(rule)
    if was != after:
        _record(team, wish.topic, was, after, actor)


def _record(team: Team, topic: Topic, before: dict[str, Any] | None, after: dict[str, Any] | None, actor: Actor) -> None:
    data = {"team": team.slug, "topic": topic, "before": before, "after": after}
    record(event="notification_rule.set", actor=actor, subject_type="team", subject_id=team.pk, data=data)


def _plain(rule: Rule) -> dict[str, Any]:
    return {
        "channels": sorted(channel.name for channel in rule.channels.all()),
        "digest": str(rule.digest),
        "daily_at": f"{rule.daily_at:%H:%M}" if rule.daily_at else None,
        "passes_quiet": rule.passes_quiet,
    }


def _hours(quiet: QuietHours | None) -> dict[str, Any] | None:
    return {"starts": f"{quiet.starts:%H:%M}", "ends": f"{quiet.ends:%H:%M}", "weekends": quiet.weekends} if quiet else None
