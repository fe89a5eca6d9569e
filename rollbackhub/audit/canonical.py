"""What exactly of an audit event is hashed: its RFC 8785 canonical JSON.

The document has the members id, at, event, actor_kind, actor_label, actor_user_id, actor_token_id, subject_type, subject_id and data;
`at` is RFC 3339 in UTC with six digits of a second. `data` goes through a jsonb column between recording and hashing, so only values
that come back from there as they went in may be recorded; `check_data` refuses the rest at the door.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator
from typing import Any

import rfc8785

from rollbackhub.audit.merkle import leaf_hash
from rollbackhub.common.secret_names import looks_secret

MAX_INTEGER = 2**53 - 1
"""The largest number up to which RFC 8785 (like JavaScript) tells all integers apart."""
MAX_DEPTH = 32
HASHED_FIELDS = ("id", "at", "event", "actor_kind", "actor_label", "actor_user_id", "actor_token_id", "subject_type", "subject_id", "data")
"""In the order of `canonical_event`'s arguments; the document itself is sorted by RFC 8785."""


class AuditDataError(ValueError):
    """A programming error: something was to be recorded that the audit log cannot hold."""


def canonical_event(
    *,
    id: int,
    at: dt.datetime,
    event: str,
    actor_kind: str,
    actor_label: str,
    actor_user_id: int | None,
    actor_token_id: str,
    subject_type: str,
    subject_id: str,
    data: dict[str, Any],
) -> bytes:
    """The canonical JSON of one stored event, as UTF-8. Raises rfc8785.CanonicalizationError for data that `check_data` refuses."""
    return rfc8785.dumps(
        {
            "id": id,
            "at": at.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "event": event,
            "actor_kind": actor_kind,
            "actor_label": actor_label,
            "actor_user_id": actor_user_id,
            "actor_token_id": actor_token_id,
            "subject_type": subject_type,
            "subject_id": subject_id,
            "data": data,
        }
    )


def event_leaf_hash(**fields: Any) -> bytes:
    """The leaf hash of one stored event: SHA-256(0x00 ‖ canonical JSON). Arguments as in `canonical_event`."""
    return leaf_hash(canonical_event(**fields))


def check_text(name: str, value: str) -> None:
    """Raises AuditDataError when a text cannot be stored in PostgreSQL or written as UTF-8."""
    if "\x00" in value:
        raise AuditDataError(f"{name} holds a NUL character, which PostgreSQL cannot store")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise AuditDataError(f"{name} holds half a surrogate pair, which is no character") from error


def check_data(data: object) -> None:
    """Raises AuditDataError, naming the place, unless `data` is a JSON object that survives jsonb unchanged and names no secret."""
    if not isinstance(data, dict):
        raise AuditDataError(f"data must be a dict, not {type(data).__name__}")
    for path, value in _walk("data", data, 0):
        _check_value(path, value)


def _walk(path: str, value: object, depth: int) -> Iterator[tuple[str, object]]:
    if depth > MAX_DEPTH:
        raise AuditDataError(f"{path} is nested deeper than {MAX_DEPTH} levels")
    yield path, value
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise AuditDataError(f"{path} has the key {key!r}; keys must be strings")
            check_text(f"a key of {path}", key)
            if looks_secret(key):
                raise AuditDataError(f"{path}.{key} looks like a secret by its name; audit rows never hold secrets (record an id or a label instead)")
            yield from _walk(f"{path}.{key}", inner, depth + 1)
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _walk(f"{path}[{index}]", inner, depth + 1)


def _check_value(path: str, value: object) -> None:
    if value is None or isinstance(value, bool | dict | list | tuple):
        return
    if isinstance(value, str):
        check_text(path, value)
    elif isinstance(value, int):
        if abs(value) > MAX_INTEGER:
            raise AuditDataError(f"{path} is {value}; integers beyond ±(2^53 - 1) are not exact in JSON (record it as a string)")
    elif isinstance(value, float):
        if not math.isfinite(value) or abs(value) > MAX_INTEGER:
            raise AuditDataError(f"{path} is {value}; only finite numbers up to 2^53 - 1 can be recorded")
    else:
        raise AuditDataError(f"{path} is a {type(value).__name__}; only JSON values can be recorded (write dates and ids as strings)")
