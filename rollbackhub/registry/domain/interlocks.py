"""Why a version may not be retired. The definition is one function in the database, `registry_interlocks` (migration releases.0002): what the
product says and what the database refuses cannot differ.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

from django.db import connection

from rollbackhub.common import clock
from rollbackhub.common.errors import Conflict
from rollbackhub.registry.models import Version


@dataclass(frozen=True, slots=True)
class Interlock:
    """One reason: its code (`serves`, `rollback_target`, `only_proven_target`, `within_window`, `stability_hold`, `open_incident`), in words, and
    when it ends by itself (None: not by time).
    """

    code: str
    sentence: str
    until: dt.datetime | None


class Interlocked(Conflict):
    """The version is still needed: 409 `interlocked`, with every reason."""

    def __init__(self, *, version: Version, reasons: list[Interlock]) -> None:
        super().__init__(
            f"{version.label} is still needed and cannot be retired: " + " ".join(reason.sentence for reason in reasons),
            code="interlocked",
            reasons=[{"code": reason.code, "sentence": reason.sentence, "until": reason.until.isoformat() if reason.until else None} for reason in reasons],
        )
        self.reasons = reasons


def list_interlocks(versions: Iterable[Version], *, at: dt.datetime | None = None) -> dict[int, list[Interlock]]:
    """Every reason against retiring these versions, by the version's id; a free version is absent. One query."""
    ids = [version.pk for version in versions]
    if not ids:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT version_id, code, sentence, until FROM registry_interlocks(%s::bigint[], %s) ORDER BY version_id, code", [ids, at or clock.now()]
        )
        rows = cursor.fetchall()
    found: dict[int, list[Interlock]] = {}
    for version_id, code, sentence, until in rows:
        found.setdefault(version_id, []).append(Interlock(code=code, sentence=sentence, until=until))
    return found
