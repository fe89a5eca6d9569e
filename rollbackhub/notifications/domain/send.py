"""The housekeeping job that sends what is due. It claims, sends outside of any transaction, and records."""

from __future__ import annotations

from rollbackhub.common import clock
from rollbackhub.common.errors import RollbackHubError
from rollbackhub.common.failpoints import failpoint
from rollbackhub.connectors.secret_refs import SecretMissing, read_secret
from rollbackhub.notifications.domain.deliveries import Claim, claim_next, give_up_lost, is_anything_due, record_outcome, texts_of, weight_of
from rollbackhub.notifications.enums import AttemptOutcome
from rollbackhub.notifications.sending import Result, Sender, sender_of_this_thread

TURN_SECONDS = 30.0
"""After so long the housekeeper gets to say that it lives."""


def send_due() -> int:
    """Send what is due, one after the other, for a bounded time. Returns how many messages went out or failed. Safe in several processes."""
    sender, done, until = sender_of_this_thread(), 0, clock.monotonic() + TURN_SECONDS
    give_up_lost()
    if is_anything_due() and not sender.start():
        raise RollbackHubError("The process that sends notifications could not be started. What is due waits.", code="sender_not_started")
    while clock.monotonic() < until:
        claim = claim_next()
        if claim is None:
            break
        done += send_claimed(claim, sender)
    sender.close_if_idle()
    return done


def send_claimed(claim: Claim, sender: Sender) -> int:
    """Send what was claimed and record what came of it."""
    subject, body = texts_of(claim.deliveries)
    failpoint("notification.claimed", scope=claim.channel.name)
    try:
        address = read_secret(claim.channel.address_ref)
    except SecretMissing as error:
        result = Result(AttemptOutcome.FAILED, error.message[:300])
    else:
        result = sender.send(address=address, subject=subject, body=body, weight=weight_of(claim.deliveries))
    failpoint("notification.sent", scope=claim.channel.name)
    return record_outcome(claim_id=claim.id, outcome=result.outcome, error=result.error)
