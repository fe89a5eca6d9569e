"""The only writers of channels. Each change is on the audit log; an address never is, only where it is found."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

from django.db import IntegrityError, transaction
from pydantic import TypeAdapter, ValidationError

from rollbackhub.accounts.models import Team, User
from rollbackhub.accounts.rules import Capability, require
from rollbackhub.audit.actors import Actor
from rollbackhub.audit.domain.record import record
from rollbackhub.common import clock
from rollbackhub.common.errors import Conflict, InvalidInput, NotFound
from rollbackhub.common.shown_text import problem_of
from rollbackhub.connectors.secret_refs import SecretRef
from rollbackhub.notifications.catalogue import Weight, instant_in_words
from rollbackhub.notifications.domain.deliveries import discard_waiting
from rollbackhub.notifications.domain.follow import as_body
from rollbackhub.notifications.enums import Topic
from rollbackhub.notifications.models import Channel, Message, MessageDelivery

LONGEST_NAME = 100
_REFERENCE: TypeAdapter[str] = TypeAdapter(SecretRef)
_WANTED = "Say where the address is found, as env:NAME or file:/path. The address itself is a secret and is never stored."


def make_channel(*, team: Team, name: str, address_ref: str, user: User, actor: Actor) -> Channel:
    """Raises Forbidden; InvalidInput, per field: no name, a reference that is none; Conflict `channel_exists`."""
    require(user=user, capability=Capability.CONFIGURE)
    name, address_ref = name.strip(), address_ref.strip()
    _require_valid(name=name, address_ref=address_ref)
    try:
        with transaction.atomic():
            channel = Channel.objects.create(team=team, name=name, address_ref=address_ref)
            _record("notification_channel.made", channel, actor, {"address_ref": address_ref})
    except IntegrityError as error:
        raise _exists(team, name) from error
    return channel


def change_channel(
    *, channel_id: UUID, user: User, actor: Actor, name: str | None = None, address_ref: str | None = None, is_active: bool | None = None
) -> Channel:
    """Change what is given. Turned off, nothing goes there any more: what waits is discarded. Raises Forbidden, NotFound, InvalidInput, Conflict."""
    require(user=user, capability=Capability.CONFIGURE)
    try:
        with transaction.atomic():
            channel = Channel.objects.select_for_update(of=("self",)).select_related("team").filter(pk=channel_id).first()
            if channel is None:
                raise no_channel()
            given = {"name": name.strip() if name is not None else None, "address_ref": address_ref.strip() if address_ref is not None else None}
            changes: dict[str, list[Any]] = {}
            for field, value in (given | {"is_active": is_active}).items():
                before = getattr(channel, field)
                if value is not None and value != before:
                    setattr(channel, field, value)
                    changes[field] = [before, value]
            if not changes:
                return channel
            _require_valid(name=channel.name, address_ref=channel.address_ref)
            # Another address, or on again: what went wrong before says nothing any more.
            channel.failures, channel.paused_until = 0, None
            channel.save(update_fields=[*changes, "failures", "paused_until"])
            discarded = discard_waiting(channel, actor=actor) if is_active is False and "is_active" in changes else 0
            _record("notification_channel.changed", channel, actor, {"changes": changes, "discarded": discarded})
            return channel
    except IntegrityError as error:
        raise _exists(Team.objects.get(notification_channels=channel_id), name or "") from error


def send_test(*, channel_id: UUID, user: User, actor: Actor) -> MessageDelivery:
    """Put a test message on its way to a channel; its delivery says what becomes of it. Raises Forbidden, NotFound, Conflict `channel_off`."""
    require(user=user, capability=Capability.CONFIGURE)
    with transaction.atomic():
        channel = Channel.objects.select_for_update(of=("self",)).select_related("team").filter(pk=channel_id).first()
        if channel is None:
            raise no_channel()
        if not channel.is_active:
            raise Conflict(f"The channel {channel.name} is off. Turn it on before you send to it.", code="channel_off")
        now, message_id = clock.now(), uuid4()
        said = [f"{actor.label} sends a test to the channel “{channel.name}” of {channel.team.name}. If you read this, it works."]
        when = instant_in_words(now, ZoneInfo(channel.team.timezone))
        message = Message.objects.create(
            id=message_id,
            team=channel.team,
            topic=Topic.TEST,
            weight=Weight.INFO,
            subject=f"Test of the channel {channel.name}",
            body=as_body(said, ask="Nothing is asked of you.", url="/notifications/", message_id=message_id, when=when),
            url="/notifications/",
            happened_at=now,
        )
        delivery = MessageDelivery.objects.create(message=message, channel=channel, due_at=now, first_due_at=now)
        channel.paused_until = None
        channel.save(update_fields=["paused_until"])
        _record("notification_channel.tested", channel, actor, {"delivery": str(delivery.pk)})
        return delivery


def no_channel() -> NotFound:
    """What is said of a channel that does not exist."""
    return NotFound("There is no such channel.", code="channel_not_found")


def _require_valid(*, name: str, address_ref: str) -> None:
    fields: dict[str, list[str]] = {}
    if not 1 <= len(name) <= LONGEST_NAME:
        fields["name"] = [f"Give it a name of 1 to {LONGEST_NAME} characters, e.g. where it is read."]
    elif problem_of(name):
        fields["name"] = [problem_of(name)]
    try:
        _REFERENCE.validate_python(address_ref)
    except ValidationError:
        # Without the cause, which would repeat what may be the secret itself.
        fields["address_ref"] = [_WANTED]
    if fields:
        raise InvalidInput("The channel cannot be kept: " + " ".join(said for found in fields.values() for said in found), fields=fields)


def _exists(team: Team, name: str) -> Conflict:
    return Conflict(f"{team.name} has a channel {name.strip()} already. Choose another name.", code="channel_exists")


def _record(event: str, channel: Channel, actor: Actor, data: dict[str, Any]) -> None:
    facts = {"team": channel.team.slug, "name": channel.name}
    record(event=event, actor=actor, subject_type="notification_channel", subject_id=channel.pk, data={**facts, **data})
