"""Reading channels, rules and deliveries."""

from __future__ import annotations

from uuid import UUID

from django.db.models import Count, Prefetch, Q, QuerySet

from rollbackhub.accounts.models import Team
from rollbackhub.common.errors import InvalidInput
from rollbackhub.notifications.domain.channels import no_channel
from rollbackhub.notifications.domain.deliveries import no_delivery
from rollbackhub.notifications.enums import DeliveryState, Topic
from rollbackhub.notifications.models import Channel, DeliveryAttempt, MessageDelivery, QuietHours, Rule


def list_channels(*, team: str = "") -> QuerySet[Channel]:
    """Channels with their team, and how many dead letters each has (`dead`). `team` is its slug. One query."""
    found = Channel.objects.select_related("team").annotate(dead=Count("deliveries", filter=Q(deliveries__state=DeliveryState.DEAD)))
    return found.filter(team__slug=team) if team else found


def get_channel(channel_id: UUID) -> Channel:
    """One, with its team. Raises NotFound. One query."""
    channel = list_channels().filter(pk=channel_id).first()
    if channel is None:
        raise no_channel()
    return channel


def list_rules(*, team: str = "", topic: str = "") -> QuerySet[Rule]:
    """Rules with their team and channels. Two queries."""
    found = Rule.objects.select_related("team").prefetch_related(Prefetch("channels", Channel.objects.order_by("name")))
    if team:
        found = found.filter(team__slug=team)
    if topic:
        found = found.filter(topic=topic)
    return found


def quiet_hours_of(team: Team) -> QuietHours | None:
    """A team's quiet hours. One query."""
    return QuietHours.objects.filter(team=team).first()


def list_deliveries(
    *, state: str = "", team: str = "", channel: UUID | None = None, topic: str = "", incident: UUID | None = None
) -> QuerySet[MessageDelivery]:
    """Deliveries with message, channel and team, the newest first. One query. Raises InvalidInput for a state or topic that does not exist."""
    for name, value, known in (("state", state, DeliveryState.values), ("topic", topic, Topic.values)):
        if value and value not in known:
            raise InvalidInput(f"There is no {name} {value!r}; there are {', '.join(known)}.", fields={name: [f"Unknown {name}."]})
    found = MessageDelivery.objects.select_related("message__team", "channel").order_by("-created_at", "-id")
    if state:
        found = found.filter(state=state)
    if team:
        found = found.filter(message__team__slug=team)
    if channel is not None:
        found = found.filter(channel=channel)
    if topic:
        found = found.filter(message__topic=topic)
    if incident is not None:
        found = found.filter(message__incident_id=incident)
    return found


def get_delivery(delivery_id: UUID) -> MessageDelivery:
    """One with all its attempts, in order. Raises NotFound. Two queries."""
    attempts = Prefetch("attempts", DeliveryAttempt.objects.order_by("started_at", "id"))
    delivery = MessageDelivery.objects.select_related("message__team", "channel").prefetch_related(attempts).filter(pk=delivery_id).first()
    if delivery is None:
        raise no_delivery()
    return delivery


def count_dead() -> int:
    """How many messages could not be delivered and wait for a person. One query."""
    return MessageDelivery.objects.filter(state=DeliveryState.DEAD).count()
