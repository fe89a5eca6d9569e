"""Notifications beside a real hub: a rollback goes through while every channel hangs, and a housekeeper that is killed in the middle loses nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator

import psutil
import pytest

from rollbackhub.accounts.models import Team
from rollbackhub.audit.models import AuditEvent
from rollbackhub.common import clock
from rollbackhub.notifications.catalogue import CHOOSABLE
from rollbackhub.notifications.enums import AttemptOutcome, DeliveryState
from rollbackhub.notifications.models import Channel, DeliveryAttempt, Message, MessageDelivery
from rollbackhub.rollbacks.enums import RollbackState
from tests.factories.notifications import ChannelFactory, MessageDeliveryFactory, RuleFactory
from tests.integration.production import Production, say
from tests.notifications.receivers import HttpReceiver, http_receiver

pytestmark = pytest.mark.timeout(400)


@pytest.fixture
def receiver() -> Iterator[HttpReceiver]:
    with http_receiver() as found:
        yield found


def at(receiver: HttpReceiver, production: Production, *names: str) -> Team:
    """The team of the lab with a channel of each of these names, each told everything at once. The address stands in a file, as secrets do."""
    folder = production.hub.folder / "secrets"
    folder.mkdir(exist_ok=True)
    file = folder / f"address-{receiver.port}"
    file.write_text(receiver.address())
    file.chmod(0o600)
    team = production.policy("smart-reasoner").artefact.team
    channels = [ChannelFactory(team=team, name=name, address_ref=f"file:{file}") for name in names]
    for topic in CHOOSABLE:
        RuleFactory(team=team, topic=topic, channels=channels)
    return team


def test_rollback_goes_through_while_every_channel_hangs(production: Production, receiver: HttpReceiver) -> None:
    receiver.hangs = True
    at(receiver, production, *(f"hangs {number}" for number in range(5)))
    rollback_id = production.roll_back()
    rollback = production.wait_for(rollback_id)
    assert rollback.state == RollbackState.VERIFIED
    assert receiver.called.wait(60), "channels were really called"
    waiting = MessageDelivery.objects.filter(message__url=f"/rollbacks/{rollback_id}/")
    _wait(lambda: waiting.filter(message__topic="rollback_verified").count() == 5, "the rollback was told to every channel")
    assert not waiting.filter(state=DeliveryState.DELIVERED).exists()
    say(f"rollback_seconds {rollback.rollback_seconds}, messages waiting {waiting.count()}")
    receiver.hangs = False
    receiver.released.set()

    def all_arrived() -> bool:
        # Nobody waits in this test until channels are tried again.
        Channel.objects.update(paused_until=None)
        MessageDelivery.objects.filter(state=DeliveryState.RETRYING).update(due_at=clock.now())
        return not waiting.exclude(state=DeliveryState.DELIVERED).exists()

    _wait(all_arrived, "all of it arrived when the channels answered again")
    told = AuditEvent.objects.filter(event="notification.delivered", data__message=str(waiting.first().message_id)).first()  # type: ignore[union-attr]
    assert told is not None
    # About deliveries nothing is told.
    assert not Message.objects.filter(subject__icontains="notification").exists()


def test_housekeeper_killed_between_sending_and_recording_sends_again(production: Production, receiver: HttpReceiver) -> None:
    team = production.policy("smart-reasoner").artefact.team
    file = production.hub.folder / "address-killed"
    file.write_text(receiver.address())
    channel = ChannelFactory(team=team, name="killed", address_ref=f"file:{file}")
    (production.hub.failpoints / "notification.sent@killed").write_text("kill self\n")
    delivery = MessageDeliveryFactory(channel=channel)
    _wait(lambda: (production.hub.failpoints / "fired-notification.sent@killed").exists(), "the housekeeper was killed")
    assert MessageDelivery.objects.get(pk=delivery.pk).state == DeliveryState.SENDING
    # Nobody waits in this test until the lease is over.
    MessageDelivery.objects.filter(pk=delivery.pk).update(lease_until=clock.now())
    _wait(lambda: MessageDelivery.objects.get(pk=delivery.pk).state == DeliveryState.DELIVERED, "it was sent again")
    outcomes = list(DeliveryAttempt.objects.filter(delivery=delivery).values_list("outcome", flat=True))
    assert (outcomes, len(receiver.got)) == ([AttemptOutcome.LOST, AttemptOutcome.DELIVERED], 2)


def test_process_that_sends_ends_with_its_housekeeper(production: Production, receiver: HttpReceiver) -> None:
    """No process is left behind when the housekeeper is killed."""
    team = production.policy("smart-reasoner").artefact.team
    file = production.hub.folder / "address-orphan"
    file.write_text(receiver.address())
    delivery = MessageDeliveryFactory(channel=ChannelFactory(team=team, name="orphan", address_ref=f"file:{file}"))
    _wait(lambda: MessageDelivery.objects.get(pk=delivery.pk).state == DeliveryState.DELIVERED, "it was sent")
    housekeeper = production.hub.housekeeper.pid
    assert housekeeper is not None
    (child,) = _senders_of(housekeeper)
    os.kill(housekeeper, 9)
    _wait(lambda: not _runs(child), "the process that sends has ended")


def _senders_of(parent: int) -> list[int]:
    children = psutil.Process(parent).children()
    return [child.pid for child in children if "rollbackhub.notifications.child" in child.cmdline()]


def _runs(pid: int) -> bool:
    return psutil.pid_exists(pid) and bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)


def _wait(holds: object, what: str, *, seconds: float = 90) -> None:
    assert callable(holds)
    deadline = clock.monotonic() + seconds
    while not holds():
        assert clock.monotonic() < deadline, f"not within {seconds} s: {what}"
        clock.sleep(0.1)
