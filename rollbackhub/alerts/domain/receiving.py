"""Taking a post in: who sent it, whether it came before, and one row for it. All else is done later, so that a storm is answered fast.

Nothing is kept of a post that is refused but a count (PostCount).
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import json
import random
from collections.abc import Mapping
from typing import NoReturn
from uuid import UUID

from django.db import connection
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from rollbackhub.alerts.domain.hook_secrets import read_hook_secret
from rollbackhub.alerts.domain.hooks import Way, find_way
from rollbackhub.alerts.enums import Counted, HookKind
from rollbackhub.alerts.models import SLOTS
from rollbackhub.alerts.payloads import Delivery, Unreadable, Unusable, read_delivery
from rollbackhub.common import clock
from rollbackhub.common.errors import RollbackHubError
from rollbackhub.connectors.secret_refs import SecretMissing

MAX_BODY_BYTES = 2 * 1000 * 1000 - 1
"""A body of 2 MB is too large."""
PAGERDUTY_OLDEST = dt.timedelta(days=3)
"""PagerDuty signs no time beside the body: an event that says it is older is not taken. Ids are remembered for longer (domain/processing.py)."""
LONGEST_DELIVERY_ID = 200

_INSERT = """
    INSERT INTO alerts_alertpost (hook_id, delivery_id, entries, problem, received_at) VALUES (%s, %s, %s::jsonb, '', %s)
    ON CONFLICT (hook_id, delivery_id) WHERE delivery_id IS NOT NULL DO NOTHING RETURNING id
"""
_COUNT = """
    INSERT INTO alerts_postcount (hook_id, counted, day, slot, count) VALUES (%s, %s, %s, %s, %s)
    ON CONFLICT (hook_id, counted, day, slot) DO UPDATE SET count = alerts_postcount.count + EXCLUDED.count
"""


class Refused(RollbackHubError):
    """A post that is not taken, with the status that its sender gets."""

    def __init__(self, counted: Counted, status: int, message: str, *, code: str = "", fields: Mapping[str, list[str]] | None = None) -> None:
        super().__init__(message, code=code or counted.value, fields=fields)
        self.counted = counted
        self.status = status
        self.title = "The post is refused"


def receive_post(*, kind: HookKind, key: str, headers: Mapping[str, str], body: bytes) -> int:
    """Take a post: authenticate, see whether it came before, write it down. Returns how many alerts are in it. Two statements.

    `key` is what stands in the address, `headers` have lower-case names. Raises Refused, counted already.
    """
    now = clock.now()
    hook = find_way(kind, key)
    if hook is None:
        refuse(None, _unknown(kind))
    try:
        delivery_id = _require_genuine(hook, headers=headers, body=body)
        delivery = _read(kind, body)
        if kind == HookKind.PAGERDUTY:
            delivery_id = delivery.delivery_id
            _require_recent(delivery, now=now)
    except Refused as refusal:
        refuse(hook, refusal)
    with connection.cursor() as cursor:
        cursor.execute(_INSERT, [hook.hook_id, delivery_id or None, json.dumps([entry.as_json() for entry in delivery.entries]), now])
        taken = cursor.fetchone() is not None
    if not taken:
        refuse(hook, Refused(Counted.REPLAYED, 409, "This post was taken already. It is not taken a second time."))
    return len(delivery.entries)


def refuse_unread(*, kind: HookKind, key: str) -> NoReturn:
    """Refuse a post whose body is too large to be read. Raises Refused, counted."""
    hook = find_way(kind, key)
    if hook is None:
        refuse(None, _unknown(kind))
    refuse(hook, Refused(Counted.TOO_LARGE, 413, "A post has less than 2 MB. Send fewer alerts at once."))


def refuse(hook: Way | None, refusal: Refused) -> NoReturn:
    """Count a refusal, and raise it."""
    count(hook.hook_id if hook is not None else None, refusal.counted)
    raise refusal


def count(hook_id: UUID | None, counted: Counted, *, number: int = 1, day: dt.date | None = None) -> None:
    """Count posts of a hook (None: of no hook) on a day (today, UTC). One statement; the rows of a day are spread, so that it rarely waits."""
    values = [hook_id, counted.value, day or clock.now().date(), random.randrange(SLOTS), number]
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, values)


def _unknown(kind: HookKind) -> Refused:
    # In the words and with the status of a wrong signature where posts are signed: nobody learns which ids there are.
    return (
        Refused(Counted.UNKNOWN_HOOK, 404, "There is no such hook.", code="not_found") if kind == HookKind.ALERTMANAGER else _not_genuine(Counted.UNKNOWN_HOOK)
    )


def _not_genuine(counted: Counted = Counted.FORGED) -> Refused:
    return Refused(counted, 401, "There is no such hook, or the signature does not fit the body and the hook's secret.", code="not_genuine")


def _require_genuine(hook: Way, *, headers: Mapping[str, str], body: bytes) -> str:
    """What the sender calls the post, as far as its headers say. Raises Refused: not signed by who has the secret, or too old."""
    if hook.kind == HookKind.ALERTMANAGER:
        # Who knows the address is who it was given to.
        return ""
    try:
        secret = read_hook_secret(hook.kind, hook.signing_ref)
    except SecretMissing as error:
        # In words that tell a sender nothing of the place.
        raise Refused(
            Counted.SECRET_MISSING, 503, "The secret of this hook is not there. Whoever runs RollbackHub has to put it there; send it again later."
        ) from error
    if hook.kind == HookKind.PAGERDUTY:
        _require_pagerduty_signature(secret, headers.get("x-pagerduty-signature", ""), body)
        return ""
    return _require_standard_signature(secret, headers, body)


def _require_pagerduty_signature(secret: str, given: str, body: bytes) -> None:
    expected = f"v1={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}".encode()
    # Several while the secret is being changed. All are compared: how long it takes tells nothing.
    found = [hmac.compare_digest(expected, one.strip().encode()) for one in given.split(",")[:10]]
    if not any(found):
        raise _not_genuine()


def _require_standard_signature(secret: str, headers: Mapping[str, str], body: bytes) -> str:
    delivery_id = headers.get("webhook-id", "")
    if not 0 < len(delivery_id) <= LONGEST_DELIVERY_ID or not delivery_id.isprintable():
        raise _not_genuine()
    try:
        Webhook(secret).verify(body, dict(headers), json_parse=False)
    except WebhookVerificationError as error:
        if "timestamp too" in str(error):
            raise Refused(Counted.STALE, 401, "The post was signed more than 5 minutes ago, or in the future. Sign it anew, and look at the clocks.") from error
        raise _not_genuine() from error
    except ValueError as error:
        # A signature that is no base64, a body that is no text.
        raise _not_genuine() from error
    return delivery_id


def _require_recent(delivery: Delivery, *, now: dt.datetime) -> None:
    if delivery.occurred_at is not None and delivery.occurred_at < now - PAGERDUTY_OLDEST:
        raise Refused(Counted.STALE, 401, f"The event is older than {PAGERDUTY_OLDEST.days} days. It is not taken any more.")


def _read(kind: HookKind, body: bytes) -> Delivery:
    try:
        return read_delivery(kind, body)
    except Unreadable as error:
        raise Refused(Counted.MALFORMED, 400, "The body is no JSON that can be read.") from error
    except Unusable as error:
        raise Refused(Counted.UNUSABLE, 422, "The body is not what this hook takes (docs/alerts.md says what is).", fields=error.fields) from error
