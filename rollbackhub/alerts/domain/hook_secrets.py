"""The secrets of signed hooks: read anew for each post, and looked at when a hook is made, so that a wrong place is told to who wrote it."""

from __future__ import annotations

import base64
import binascii

from rollbackhub.alerts.enums import HookKind
from rollbackhub.connectors.secret_refs import SecretMissing, read_secret

_KEY_BYTES = range(24, 65)
"""Of a Standard Webhooks key, by its specification (symmetric signatures)."""


class NoSuchSecret(SecretMissing):
    """Something stands at the place, and it is no secret of this kind."""


def read_hook_secret(kind: HookKind, reference: str) -> str:
    """The secret that posts of the hook are signed with.

    Raises SecretMissing when there is nothing at the place, and NoSuchSecret when it cannot be one: its sentence repeats nothing of what stands there.
    """
    secret = read_secret(reference)
    if kind == HookKind.STANDARD and not _is_standard(secret):
        raise NoSuchSecret(f"What stands at {reference} is no Standard Webhooks secret (whsec_ and 24 to 64 bytes as base64). Put the sender's secret there.")
    if len(secret.split()) != 1:
        raise NoSuchSecret(f"What stands at {reference} has more than one word, so it is no signing secret. Put the sender's secret there, alone.")
    return secret


def _is_standard(secret: str) -> bool:
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        return False
    return len(key) in _KEY_BYTES
