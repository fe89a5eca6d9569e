"""Deliveries: sent, tried again, given up, sent again, discarded; killed senders, bundles, channels that fail, and secrets that stand nowhere."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext

from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.audit.models import AuditEvent
from rollbackhub.common import clock
from rollbackhub.common.errors import Conflict, Forbidden, InvalidInput, NotFound
from rollbackhub.notifications.domain.channels import change_channel, send_test
from rollbackhub.notifications.domain.deliveries import MOST_TOGETHER, claim_next, discard, give_up_lost, record_outcome, send_again
from rollbackhub.notifications.domain.send import send_claimed, send_due
from rollbackhub.notifications.enums import AttemptOutcome, DeliveryState, Topic
from rollbackhub.notifications.models import Channel, DeliveryAttempt, Message, MessageDelivery
from rollbackhub.notifications.rules import LONGEST_TRIED, MOST_ATTEMPTS
from rollbackhub.notifications.sending import Sender
from tests import leaks
from tests.databases import FreshDatabase
from tests.factories.fixtures import Cast
from tests.factories.incidents import IncidentFactory
from tests.factories.notifications import ChannelFactory, MessageDeliveryFactory, MessageFactory
from tests.notifications.receivers import HttpReceiver, closed_port

SECRET = "delivery-secret-Xy81Pq"
leaks.watch(SECRET)
Make = Callable[..., Channel]
Send = Callable[[], int]


def again(delivery: MessageDelivery) -> MessageDelivery:
    return MessageDelivery.objects.select_related("message", "channel").get(pk=delivery.pk)


def make_due(*deliveries: MessageDelivery) -> None:
    """Its time to be tried again has come, and its channel's pause is over."""
    past = clock.now() - dt.timedelta(seconds=1)
    MessageDelivery.objects.filter(pk__in=[delivery.pk for delivery in deliveries]).update(due_at=past)
    Channel.objects.update(paused_until=None)


def lose(delivery: MessageDelivery) -> None:
    """Whoever had it is dead, and its lease over."""
    MessageDelivery.objects.filter(pk=delivery.pk).update(lease_until=clock.now() - dt.timedelta(seconds=1))


@pytest.mark.django_db
class TestSending:
    """Against a real receiver."""

    def test_delivered_with_its_attempt_health_and_audit(self, http: HttpReceiver, channel_at: Make, send: Send) -> None:
        channel = channel_at(http.address(SECRET))
        incident = IncidentFactory()
        delivery = MessageDeliveryFactory(channel=channel, message__incident_id=incident.pk)
        assert send() == 1
        found = again(delivery)
        assert (found.state, found.attempt_count, found.error, found.claim) == (DeliveryState.DELIVERED, 1, "", None)
        attempt = found.attempts.get()
        assert (attempt.outcome, attempt.error, attempt.seconds is not None) == (AttemptOutcome.DELIVERED, "", True)
        assert (http.got[0]["title"], http.got[0]["message"]) == (found.message.subject, found.message.body)
        assert (found.channel.last_delivered_at, found.channel.failures) == (found.delivered_at, 0)
        event = AuditEvent.objects.get(event="notification.delivered")
        assert (event.subject_id, event.data["incident"], event.data["channel"]) == (str(delivery.pk), str(incident.pk), channel.name)
        assert send() == 0, "once"

    def test_not_due_yet_stays(self, http: HttpReceiver, channel_at: Make, send: Send) -> None:
        MessageDeliveryFactory(channel=channel_at(http.address()), due_at=clock.now() + dt.timedelta(hours=1))
        assert (send(), http.got) == (0, [])

    def test_failure_is_tried_again_later_and_then_delivered(self, http: HttpReceiver, channel_at: Make, send: Send) -> None:
        http.answers = [500]
        delivery = MessageDeliveryFactory(channel=channel_at(http.address(SECRET)))
        send()
        found = again(delivery)
        assert (found.state, found.error) == (DeliveryState.RETRYING, "It answered 500.")
        assert 10 < (found.due_at - clock.now()).total_seconds() <= 18
        assert (found.channel.failures, found.channel.last_error) == (1, "It answered 500.")
        assert AuditEvent.objects.filter(event__startswith="notification.").count() == 0, "it has not ended"
        make_due(delivery)
        send()
        assert (again(delivery).state, again(delivery).channel.failures, len(http.got)) == (DeliveryState.DELIVERED, 0, 1)
        assert list(delivery.attempts.values_list("outcome", flat=True)) == [AttemptOutcome.FAILED, AttemptOutcome.DELIVERED]

    def test_failing_for_ever_is_a_dead_letter_with_every_try(self, http: HttpReceiver, channel_at: Make, send: Send) -> None:
        http.answers = [503] * 20
        delivery = MessageDeliveryFactory(channel=channel_at(http.address()))
        waits = []
        for _ in range(MOST_ATTEMPTS):
            send()
            waits.append((again(delivery).due_at - clock.now()).total_seconds())
            make_due(delivery)
        found = again(delivery)
        assert (found.state, found.attempt_count, found.attempts.count()) == (DeliveryState.DEAD, MOST_ATTEMPTS, MOST_ATTEMPTS)
        assert waits[:-1] == sorted(waits[:-1])
        assert AuditEvent.objects.get(event="notification.dead").data["error"] == "It answered 503."
        assert send() == 0

    def test_tried_for_a_day_is_given_up(self, http: HttpReceiver, channel_at: Make, send: Send) -> None:
        http.answers = [500]
        delivery = MessageDeliveryFactory(channel=channel_at(http.address()), due_at=clock.now() - LONGEST_TRIED)
        send()
        assert again(delivery).state == DeliveryState.DEAD

    @pytest.mark.parametrize("address", ["json://example.org/", "form://127.0.0.1/", "nonsense"])
    def test_what_is_refused_is_not_tried_again(self, address: str, channel_at: Make, send: Send) -> None:
        delivery = MessageDeliveryFactory(channel=channel_at(address))
        send()
        found = again(delivery)
        assert (found.state, found.attempts.get().outcome) == (DeliveryState.DEAD, AttemptOutcome.REFUSED)

    def test_secret_that_is_not_there_is_said_and_tried_again(self, send: Send) -> None:
        delivery = MessageDeliveryFactory(channel__address_ref="env:NOTIFY_NOT_THERE")
        send()
        assert again(delivery).state == DeliveryState.RETRYING
        assert "NOTIFY_NOT_THERE is not set" in again(delivery).error

    def test_secret_stands_in_no_row_whatever_happens(self, http: HttpReceiver, channel_at: Make, send: Send) -> None:
        http.answers = [500]
        for address in (http.address(SECRET), f"json://u:{SECRET}@127.0.0.1:{closed_port()}/{SECRET}", f"json://example.org/{SECRET}", f"{SECRET}://x/"):
            MessageDeliveryFactory(channel=channel_at(address))
        send()
        rows = [str(vars(row)) for model in (Channel, Message, MessageDelivery, DeliveryAttempt, AuditEvent) for row in model._default_manager.all()]
        assert len(rows) > 12
        assert not [row for row in rows if SECRET in row]

    def test_channel_that_hangs_does_not_keep_the_others_waiting_twice(self, http: HttpReceiver, channel_at: Make, send: Send, quick: None) -> None:
        """Ten messages for a channel that hangs cost one time-out; those of the other channel go out in the same turn."""
        slow = channel_at(http.address())
        http.hangs = True
        waiting = MessageDeliveryFactory.create_batch(10, channel=slow)
        send()
        assert sum(again(delivery).attempt_count for delivery in waiting) == 1
        assert send() == 0, "the channel has a pause"
        http.hangs, http.called = False, threading.Event()
        good = MessageDeliveryFactory(channel=channel_at(http.address()))
        assert send() == 1
        assert again(good).state == DeliveryState.DELIVERED

    def test_what_a_failing_channel_kept_waiting_goes_out_in_one(self, http: HttpReceiver, channel_at: Make, send: Send) -> None:
        http.answers = [500]
        waiting = MessageDeliveryFactory.create_batch(5, channel=channel_at(http.address()))
        send()
        make_due(*waiting)
        assert send() == 5
        assert len(http.got) == 1
        assert http.got[0]["title"] == "5 messages from RollbackHub for Platform"
        assert all(delivery.message.subject in http.got[0]["message"] for delivery in waiting)
        assert {again(delivery).state for delivery in waiting} == {DeliveryState.DELIVERED}


@pytest.mark.django_db
class TestBundles:
    """Digests, and what quiet hours held back."""

    def test_bundle_is_one_message_with_the_oldest_first(self, http: HttpReceiver, channel_at: Make, send: Send) -> None:
        channel, now = channel_at(http.address()), clock.now()
        for minutes, subject in ((1, "third"), (9, "first"), (5, "second")):
            MessageDeliveryFactory(channel=channel, is_bundled=True, message__subject=subject, message__happened_at=now - dt.timedelta(minutes=minutes))
        urgent = MessageDeliveryFactory(channel=channel, message__subject="urgent")
        assert send() == 4
        assert sorted(got["title"] for got in http.got) == ["3 messages from RollbackHub for Platform", urgent.message.subject]
        (together,) = [got["message"] for got in http.got if got["title"] != "urgent"]
        assert together.index("first") < together.index("second") < together.index("third")
        assert set(DeliveryAttempt.objects.filter(together=3).values_list("outcome", flat=True)) == {AttemptOutcome.DELIVERED}

    def test_bundle_of_one_is_the_message_itself(self, http: HttpReceiver, channel_at: Make, send: Send) -> None:
        delivery = MessageDeliveryFactory(channel=channel_at(http.address()), is_bundled=True)
        send()
        assert http.got[0]["title"] == delivery.message.subject

    def test_bundle_is_bounded(self, db: None) -> None:
        MessageDeliveryFactory.create_batch(MOST_TOGETHER + 3, channel=ChannelFactory(), is_bundled=True)
        claim = claim_next()
        assert claim is not None
        assert len(claim.deliveries) == MOST_TOGETHER

    def test_claim_and_record_of_many_cost_no_more_than_of_one(self, db: None) -> None:
        def cost(messages: int) -> int:
            MessageDeliveryFactory.create_batch(messages, channel=ChannelFactory(), is_bundled=True)
            with CaptureQueriesContext(connection) as queries:
                claim = claim_next()
                assert claim is not None
                record_outcome(claim_id=claim.id, outcome=AttemptOutcome.FAILED, error="x")
            return len(queries)

        assert cost(40) == cost(2) <= 16


@pytest.mark.django_db
class TestKilled:
    """A sender that is killed between claim and record: sent again, nothing lost, and said."""

    def test_lease_that_ran_out_is_sent_again(self, http: HttpReceiver, channel_at: Make, sender: Sender, send: Send) -> None:
        delivery = MessageDeliveryFactory(channel=channel_at(http.address()))
        claim = claim_next()
        assert claim is not None
        assert sender.send(address=http.address(), subject="s", body="b", weight="info").outcome == AttemptOutcome.DELIVERED
        assert send() == 0, "while the lease lasts nobody else has it"
        lose(delivery)
        assert send() == 1
        found = again(delivery)
        assert (found.state, len(http.got)) == (DeliveryState.DELIVERED, 2), "at least once: here it arrived twice"
        assert list(found.attempts.values_list("outcome", flat=True)) == [AttemptOutcome.LOST, AttemptOutcome.DELIVERED]

    def test_late_sender_writes_nothing_over_the_other(self) -> None:
        delivery = MessageDeliveryFactory()
        late = claim_next()
        lose(delivery)
        other = claim_next()
        assert late is not None
        assert other is not None
        assert record_outcome(claim_id=late.id, outcome=AttemptOutcome.FAILED, error="late") == 0
        assert (again(delivery).state, again(delivery).claim) == (DeliveryState.SENDING, other.id)
        assert record_outcome(claim_id=other.id, outcome=AttemptOutcome.DELIVERED) == 1
        assert record_outcome(claim_id=other.id, outcome=AttemptOutcome.FAILED) == 0, "once"

    def test_of_a_channel_turned_off_meanwhile_it_is_not_sent_again(self, cast: Cast) -> None:
        delivery = MessageDeliveryFactory()
        assert claim_next() is not None
        change_channel(channel_id=delivery.channel_id, is_active=False, user=cast.lead, actor=actor_of(cast.lead))
        assert give_up_lost() == 0
        lose(delivery)
        assert give_up_lost() == 1
        assert (again(delivery).state, again(delivery).ended_reason) == (DeliveryState.DISCARDED, "The channel was turned off.")


@pytest.mark.django_db
class TestPeople:
    """What people do about dead letters, and who may."""

    def test_dead_letter_is_sent_again_from_the_start(self, http: HttpReceiver, channel_at: Make, send: Send, cast: Cast) -> None:
        delivery = MessageDeliveryFactory(dead=True, channel=channel_at(http.address(), failures=6, paused_until=clock.now() + dt.timedelta(minutes=5)))
        send_again(delivery_id=delivery.pk, user=cast.lead, actor=actor_of(cast.lead))
        assert send() == 1
        assert (again(delivery).state, again(delivery).attempt_count) == (DeliveryState.DELIVERED, 1)
        assert AuditEvent.objects.filter(event="notification.sent_again", actor_label="Lee Lead").count() == 1

    def test_discarded_with_its_reason_for_good(self, cast: Cast) -> None:
        delivery = MessageDeliveryFactory(dead=True)
        act: dict[str, Any] = {"delivery_id": delivery.pk, "user": cast.lead, "actor": actor_of(cast.lead)}
        with pytest.raises(InvalidInput):
            discard(**act, reason=" ")
        discard(**act, reason="The channel is gone.")
        found = again(delivery)
        assert (found.state, found.ended_by_label, found.ended_reason) == (DeliveryState.DISCARDED, "Lee Lead", "The channel is gone.")
        for late in (lambda: send_again(**act), lambda: discard(**act, reason="again")):
            with pytest.raises(Conflict) as refused:
                late()
            assert refused.value.code == "wrong_state"

    @pytest.mark.parametrize(("traits", "sendable", "discardable"), [({}, False, True), ({"retrying": True}, False, True), ({"delivered": True}, False, False)])
    def test_only_dead_letters_are_sent_again_and_nothing_delivered_is_discarded(
        self, traits: dict[str, bool], sendable: bool, discardable: bool, cast: Cast
    ) -> None:
        delivery = MessageDeliveryFactory(**traits)
        act: dict[str, Any] = {"delivery_id": delivery.pk, "user": cast.lead, "actor": actor_of(cast.lead)}
        with pytest.raises(Conflict):
            send_again(**act)
        if discardable:
            discard(**act, reason="not needed")
        else:
            with pytest.raises(Conflict):
                discard(**act, reason="not needed")

    def test_what_is_being_sent_is_not_discarded(self, cast: Cast) -> None:
        delivery = MessageDeliveryFactory()
        assert claim_next() is not None
        with pytest.raises(Conflict):
            discard(delivery_id=delivery.pk, reason="not needed", user=cast.lead, actor=actor_of(cast.lead))

    def test_who_may_not_configure_may_not(self, cast: Cast) -> None:
        delivery = MessageDeliveryFactory(dead=True)
        for person in cast.everybody_but("lead", "admin").values():
            act: dict[str, Any] = {"user": person, "actor": actor_of(person)}
            for forbidden in (
                lambda act=act: send_again(delivery_id=delivery.pk, **act),
                lambda act=act: discard(delivery_id=delivery.pk, reason="why not", **act),
                lambda act=act: send_test(channel_id=delivery.channel_id, **act),
            ):
                with pytest.raises(Forbidden):
                    forbidden()
        with pytest.raises(NotFound):
            send_again(delivery_id=delivery.message_id, user=cast.lead, actor=actor_of(cast.lead))

    def test_test_message_is_tried_once_even_while_the_channel_pauses(self, channel_at: Make, send: Send, cast: Cast) -> None:
        channel = channel_at(f"json://127.0.0.1:{closed_port()}/", failures=3, paused_until=clock.now() + dt.timedelta(minutes=5))
        waiting = MessageDeliveryFactory(channel=channel, due_at=clock.now() + dt.timedelta(hours=1))
        delivery = send_test(channel_id=channel.pk, user=cast.lead, actor=actor_of(cast.lead))
        send()
        found = again(delivery)
        assert (found.state, found.error) == (DeliveryState.DEAD, "Nothing listens there: the connection was refused.")
        assert found.message.topic == Topic.TEST
        assert again(waiting).state == DeliveryState.PENDING

    def test_turned_off_channel_discards_what_waits(self, cast: Cast) -> None:
        waiting, dead = MessageDeliveryFactory(), MessageDeliveryFactory(dead=True)
        change_channel(channel_id=waiting.channel_id, is_active=False, user=cast.lead, actor=actor_of(cast.lead))
        change_channel(channel_id=dead.channel_id, is_active=False, user=cast.lead, actor=actor_of(cast.lead))
        assert (again(waiting).state, again(dead).state) == (DeliveryState.DISCARDED, DeliveryState.DEAD)
        with pytest.raises(Conflict) as refused:
            send_again(delivery_id=dead.pk, user=cast.lead, actor=actor_of(cast.lead))
        assert refused.value.code == "channel_off"


def test_two_senders_at_once_never_have_the_same(fresh_database: FreshDatabase) -> None:
    """Eight threads claim sixty messages: each is claimed once."""
    channel = ChannelFactory()
    for _ in range(60):
        MessageDeliveryFactory(channel=channel, message=MessageFactory(team=channel.team))
    claimed: list[Any] = []
    barrier = threading.Barrier(8)

    def claim_all() -> None:
        barrier.wait()
        try:
            while (claim := claim_next()) is not None:
                claimed.extend(delivery.pk for delivery in claim.deliveries)
        finally:
            connections["default"].close()

    threads = [threading.Thread(target=claim_all) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(claimed), len(set(claimed))) == (60, 60)
    assert DeliveryAttempt.objects.count() == 60


@pytest.mark.django_db
def test_nothing_is_sent_inside_a_transaction(channel_at: Make, http: HttpReceiver) -> None:
    """The network is called when the claim is committed: no atomic block of ours is open."""
    MessageDeliveryFactory(channel=channel_at(http.address()))
    depth = len(connection.savepoint_ids)
    seen: list[int] = []

    class Watching(Sender):
        def send(self, **values: Any) -> Any:
            seen.append(len(connection.savepoint_ids))
            return super().send(**values)

    claim = claim_next()
    assert claim is not None
    watching = Watching()
    try:
        assert send_claimed(claim, watching) == 1
    finally:
        watching.close()
    assert seen == [depth]
    assert send_due() == 0
