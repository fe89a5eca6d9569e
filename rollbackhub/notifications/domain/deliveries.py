"""The only writers of deliveries: claimed, recorded, sent again, discarded. Nothing here calls another system.

A claim commits before anything is sent, and what came of it is recorded after: a sender that is killed between leaves a lease that runs out, and the
message is sent again. So every message arrives at least once, and perhaps twice; its number tells.
"""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet

from rollbackhub.accounts.models import User
from rollbackhub.accounts.rules import Capability, require
from rollbackhub.audit.actors import Actor, system_actor
from rollbackhub.audit.domain.record import record
from rollbackhub.common import clock
from rollbackhub.common.errors import Conflict, InvalidInput, NotFound
from rollbackhub.common.shown_text import spoken
from rollbackhub.notifications.enums import AttemptOutcome, DeliveryState, Topic
from rollbackhub.notifications.models import Channel, DeliveryAttempt, MessageDelivery
from rollbackhub.notifications.rules import LONGEST_TRIED, TRANSITIONS, WAITING, pause_after, wait_before_next

SENDER = system_actor("notifications")

MOST_TOGETHER = 50
"""Messages that go out in one."""
LEASE_MARGIN = dt.timedelta(seconds=20)
"""Beyond a try's own time: to record what came of it, and to start the process that sends again when it had ended."""
LONGEST_REASON = 300


@dataclass(frozen=True, slots=True)
class Claim:
    """What is to be sent now, in one, and to where."""

    id: UUID
    channel: Channel
    deliveries: list[MessageDelivery]
    """The oldest first."""


def is_anything_due() -> bool:
    """Whether there is something to claim now. One query."""
    return _due(clock.now()).exists()


def claim_next() -> Claim | None:
    """What is due first, now being sent by the caller until the lease ends; channels that do well come first. None: nothing is due."""
    now = clock.now()
    with transaction.atomic():
        first = _mine(_due(now)).order_by("channel__failures", "due_at", "pk").first()
        if first is None:
            return None
        together = [first]
        if first.message.topic != Topic.TEST and (first.is_bundled or first.channel.failures):
            # What a channel that fails has kept waiting goes out in one as well.
            others = _mine(_due(now)).filter(channel=first.channel_id).exclude(pk=first.pk).exclude(message__topic=Topic.TEST)
            if not first.channel.failures:
                others = others.filter(is_bundled=True)
            together += others.order_by("due_at", "pk")[: MOST_TOGETHER - 1]
        together.sort(key=lambda delivery: (delivery.message.happened_at, delivery.created_at))
        claim = Claim(id=uuid4(), channel=first.channel, deliveries=together)
        lost = [delivery.claim for delivery in together if delivery.state == DeliveryState.SENDING and delivery.claim is not None]
        if lost:
            DeliveryAttempt.objects.filter(claim__in=lost, delivery__in=together, outcome=AttemptOutcome.RUNNING).update(
                outcome=AttemptOutcome.LOST, ended_at=now, error=_LOST
            )
        lease = now + dt.timedelta(seconds=settings.CONFIG.notify_timeout_seconds) + LEASE_MARGIN
        for delivery in together:
            _require(delivery, DeliveryState.SENDING)
            delivery.state, delivery.claim, delivery.lease_until = DeliveryState.SENDING, claim.id, lease
            delivery.attempt_count += 1
        MessageDelivery.objects.bulk_update(together, ["state", "claim", "lease_until", "attempt_count"])
        DeliveryAttempt.objects.bulk_create(DeliveryAttempt(delivery=delivery, claim=claim.id, started_at=now, together=len(together)) for delivery in together)
        return claim


def record_outcome(*, claim_id: UUID, outcome: AttemptOutcome, error: str = "") -> int:
    """Write down what came of a claim. Returns how many deliveries still were the caller's: none when its lease had run out and another has them."""
    now = clock.now()
    with transaction.atomic():
        mine = list(
            MessageDelivery.objects.select_for_update(of=("self",))
            .select_related("message__team", "channel")
            .filter(claim=claim_id, state=DeliveryState.SENDING)
            .order_by("pk")
        )
        if not mine:
            return 0
        channel = Channel.objects.select_for_update().get(pk=mine[0].channel_id)
        for delivery in mine:
            _settle(delivery, outcome, error, now=now, channel=channel)
        MessageDelivery.objects.bulk_update(mine, ["state", "claim", "lease_until", "due_at", "delivered_at", "error", "ended_by_label", "ended_reason"])
        DeliveryAttempt.objects.filter(claim=claim_id).update(outcome=outcome, ended_at=now, error=error)
        _note_health(channel, outcome, error, now=now)
        for delivery in mine:
            if delivery.state in (DeliveryState.DELIVERED, DeliveryState.DEAD):
                _record(delivery, f"notification.{delivery.state}", SENDER, {"error": error} if error else {})
        return len(mine)


def send_again(*, delivery_id: UUID, user: User, actor: Actor) -> MessageDelivery:
    """Try a dead letter again from the start, now. Raises Forbidden, NotFound, Conflict `wrong_state`, `channel_off`."""
    require(user=user, capability=Capability.CONFIGURE)
    with transaction.atomic():
        delivery = _locked(delivery_id)
        _require(delivery, DeliveryState.PENDING)
        if not delivery.channel.is_active:
            raise Conflict(f"The channel {delivery.channel.name} is off. Turn it on before you send to it.", code="channel_off")
        now = clock.now()
        _move(delivery, DeliveryState.PENDING, due_at=now, first_due_at=now, attempt_count=0, is_bundled=False)
        # Whoever sends again has looked at the channel: it is tried at once.
        Channel.objects.filter(pk=delivery.channel_id).update(paused_until=None)
        _record(delivery, "notification.sent_again", actor, {})
        return delivery


def discard(*, delivery_id: UUID, reason: str, user: User, actor: Actor) -> MessageDelivery:
    """Give a message up for good: a dead letter, or one that still waits. Raises Forbidden, NotFound, InvalidInput `reason_missing`, Conflict `wrong_state`."""
    require(user=user, capability=Capability.CONFIGURE)
    reason = spoken(reason)
    if not 3 <= len(reason) <= LONGEST_REASON:
        sentence = f"Say why it is discarded, in 3 to {LONGEST_REASON} characters."
        raise InvalidInput(sentence, code="reason_missing", fields={"reason": [sentence]})
    with transaction.atomic():
        delivery = _locked(delivery_id)
        if delivery.state == DeliveryState.SENDING:
            raise _wrong_state(delivery, "Wait until it is known what came of it.")
        _require(delivery, DeliveryState.DISCARDED)
        _move(delivery, DeliveryState.DISCARDED, ended_by_label=actor.label, ended_reason=reason)
        _record(delivery, "notification.discarded", actor, {"reason": reason})
        return delivery


def discard_waiting(channel: Channel, *, actor: Actor) -> int:
    """What still waits for a channel that is turned off. In the open transaction. Returns how many."""
    return (
        MessageDelivery.objects.filter(channel=channel, state__in=WAITING)
        .update(state=DeliveryState.DISCARDED, ended_by_label=actor.label, ended_reason=_CHANNEL_OFF)
    )  # fmt: skip


_CHANNEL_OFF = "The channel was turned off."
_LOST = "The process that sent it ended before it could say what became of it. It may have arrived."


def give_up_lost() -> int:
    """What a killed sender left of a channel that was turned off meanwhile is not sent again. Returns how many."""
    now = clock.now()
    with transaction.atomic():
        lost = MessageDelivery.objects.filter(state=DeliveryState.SENDING, lease_until__lte=now, channel__is_active=False)
        found = list(_mine(lost)[:MOST_TOGETHER])
        for delivery in found:
            _require(delivery, DeliveryState.DISCARDED)
            running = delivery.attempts.filter(outcome=AttemptOutcome.RUNNING)
            running.update(outcome=AttemptOutcome.LOST, ended_at=now, error=_LOST)
            _move(delivery, DeliveryState.DISCARDED, claim=None, lease_until=None, ended_by_label=SENDER.label, ended_reason=_CHANNEL_OFF)
    return len(found)


def _due(now: dt.datetime) -> QuerySet[MessageDelivery]:
    """What may be claimed."""
    waiting = Q(state__in=WAITING, due_at__lte=now) & (Q(channel__paused_until=None) | Q(channel__paused_until__lte=now))
    lost = Q(state=DeliveryState.SENDING, lease_until__lte=now)
    return MessageDelivery.objects.select_related("message__team", "channel").filter(waiting | lost, channel__is_active=True)


def _mine(found: QuerySet[MessageDelivery]) -> QuerySet[MessageDelivery]:
    """Each row locked, or left to whoever has it."""
    return found.select_for_update(of=("self",), skip_locked=True)


def _settle(delivery: MessageDelivery, outcome: AttemptOutcome, error: str, *, now: dt.datetime, channel: Channel) -> None:
    """The state that follows from what came of it, on the object."""
    delivery.claim = delivery.lease_until = None
    if outcome == AttemptOutcome.DELIVERED:
        _require(delivery, DeliveryState.DELIVERED)
        delivery.state, delivery.delivered_at, delivery.error = DeliveryState.DELIVERED, now, ""
        return
    delivery.error = error
    # Noise, not evidence: it decides nothing but who waits a second longer.
    wait = wait_before_next(delivery.attempt_count, chance=random.random())
    final = delivery.message.topic == Topic.TEST or outcome == AttemptOutcome.REFUSED or wait is None or now - delivery.first_due_at >= LONGEST_TRIED
    if not channel.is_active:
        to, delivery.ended_by_label, delivery.ended_reason = DeliveryState.DISCARDED, SENDER.label, _CHANNEL_OFF
    else:
        to = DeliveryState.DEAD if final else DeliveryState.RETRYING
    _require(delivery, to)
    delivery.state = to
    if to == DeliveryState.RETRYING and wait is not None:
        delivery.due_at = now + wait


def _note_health(channel: Channel, outcome: AttemptOutcome, error: str, *, now: dt.datetime) -> None:
    if outcome == AttemptOutcome.DELIVERED:
        channel.last_delivered_at, channel.failures, channel.paused_until = now, 0, None
    else:
        channel.last_failed_at, channel.last_error = now, error
        channel.failures += 1
        channel.paused_until = now + pause_after(channel.failures)
    channel.save(update_fields=["last_delivered_at", "last_failed_at", "last_error", "failures", "paused_until"])


def _locked(delivery_id: UUID) -> MessageDelivery:
    found = MessageDelivery.objects.select_for_update(of=("self",)).select_related("message__team", "channel__team").filter(pk=delivery_id).first()
    if found is None:
        raise no_delivery()
    return found


def no_delivery() -> NotFound:
    """What is said of a delivery that does not exist."""
    return NotFound("There is no such delivery.", code="delivery_not_found")


def _require(delivery: MessageDelivery, to: DeliveryState) -> None:
    if to not in TRANSITIONS[DeliveryState(delivery.state)]:
        raise _wrong_state(delivery, f"It cannot become {to.label.lower()}.")


def _wrong_state(delivery: MessageDelivery, what: str) -> Conflict:
    return Conflict(f"The message is {delivery.get_state_display().lower()}. {what}", code="wrong_state", state=delivery.state)


def _move(delivery: MessageDelivery, to: DeliveryState, **fields: Any) -> None:
    for name, value in (fields | {"state": to}).items():
        setattr(delivery, name, value)
    delivery.save(update_fields=["state", *fields])


def _record(delivery: MessageDelivery, event: str, actor: Actor, data: dict[str, Any]) -> None:
    message = delivery.message
    facts: dict[str, Any] = {
        "message": str(message.pk),
        "topic": message.topic,
        "subject": message.subject,
        "team": message.team.slug,
        "channel": delivery.channel.name,
        "attempts": delivery.attempt_count,
    }
    if message.incident_id is not None:
        facts["incident"] = str(message.incident_id)
    record(event=event, actor=actor, subject_type="notification", subject_id=delivery.pk, data={**facts, **data})


def texts_of(deliveries: Sequence[MessageDelivery]) -> tuple[str, str]:
    """Subject and body of what goes out: of one message its own, of several one with all of them."""
    if len(deliveries) == 1:
        return deliveries[0].message.subject, deliveries[0].message.body
    messages = [delivery.message for delivery in deliveries]
    shown = [f"{message.happened_at:%Y-%m-%d %H:%M} UTC: {message.subject}\n{message.body}" for message in messages]
    return f"{len(messages)} messages from RollbackHub for {messages[0].team.name}", "\n\n----\n\n".join(shown)


def weight_of(deliveries: Sequence[MessageDelivery]) -> str:
    """The gravest of them."""
    order = ("failure", "warning", "info")
    return min((delivery.message.weight for delivery in deliveries), key=order.index)
