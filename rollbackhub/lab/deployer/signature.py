"""Whether a request is signed with our secret (Standard Webhooks), as any receiver of deploy hooks has to check it. docs/connectors/deploy.md shows it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Mapping

TOLERANCE_SECONDS = 300
"""How old or early a message may be. Older ones may be repeated by somebody who has recorded them."""


def is_signed(headers: Mapping[str, str], body: bytes, *, secret: str) -> bool:
    """Whether the message comes from somebody who has the secret, is whole, and is of now. Raises ValueError when a `whsec_` secret is no base64."""
    message_id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not message_id or not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) < 12):
        return False
    if abs(time.time() - int(timestamp)) > TOLERANCE_SECONDS:
        return False
    key = base64.b64decode(secret.removeprefix("whsec_"), validate=True) if secret.startswith("whsec_") else secret.encode()
    mac = hmac.new(key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256)
    wanted = b"v1," + base64.b64encode(mac.digest())
    # Several signatures stand there while a secret is exchanged for another.
    return any(hmac.compare_digest(wanted, given.encode()) for given in headers.get("webhook-signature", "").split())
