"""How channels and deliveries look, and what is said of a channel's health."""

from __future__ import annotations

import datetime as dt

from rollbackhub.common import clock
from rollbackhub.dashboard.looks import Look
from rollbackhub.notifications.enums import AttemptOutcome, DeliveryState
from rollbackhub.notifications.models import Channel, MessageDelivery
from rollbackhub.notifications.rules import WAITING

DELIVERIES = {
    DeliveryState.PENDING: Look("Waiting", "hourglass", "idle"),
    DeliveryState.SENDING: Look("Being sent", "loader-2", "busy", spin=True),
    DeliveryState.RETRYING: Look("To be tried again", "refresh", "warn"),
    DeliveryState.DELIVERED: Look("Delivered", "circle-check", "ok"),
    DeliveryState.DEAD: Look("Not delivered", "circle-x", "bad"),
    DeliveryState.DISCARDED: Look("Discarded", "ban", "idle"),
}
ATTEMPTS = {
    AttemptOutcome.RUNNING: Look("Under way", "loader-2", "busy", spin=True),
    AttemptOutcome.DELIVERED: Look("Delivered", "circle-check", "ok"),
    AttemptOutcome.FAILED: Look("Failed", "circle-x", "bad"),
    AttemptOutcome.REFUSED: Look("Refused", "ban", "bad"),
    AttemptOutcome.LOST: Look("Unknown", "help", "warn"),
}


def look_of_channel(channel: Channel) -> Look:
    """Off, failing, working, or nothing known yet."""
    if not channel.is_active:
        return Look("Off", "ban", "idle")
    if channel.failures:
        return Look("Fails", "circle-x", "bad")
    if channel.last_delivered_at is not None:
        return Look("Works", "circle-check", "ok")
    return Look("Not tried yet", "circle-dashed", "idle")


def waits_until(delivery: MessageDelivery) -> dt.datetime | None:
    """Until when a message waits: its own time, or that of a channel that is left alone since it failed. None: it does not wait, or is due already."""
    if delivery.state not in WAITING:
        return None
    until = max(filter(None, (delivery.due_at, delivery.channel.paused_until)))
    return until if until > clock.now() else None
