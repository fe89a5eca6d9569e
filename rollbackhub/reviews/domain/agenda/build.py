"""The items of an agenda in the order that a meeting needs, and how long each took to ask."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction

from rollbackhub.analytics.answer import Answer
from rollbackhub.common import clock
from rollbackhub.reviews.domain.agenda.compliance import compliance
from rollbackhub.reviews.domain.agenda.findings import findings
from rollbackhub.reviews.domain.agenda.incident_list import incident_list
from rollbackhub.reviews.domain.agenda.misses import misses
from rollbackhub.reviews.domain.agenda.promised import promised
from rollbackhub.reviews.domain.agenda.proof import proof
from rollbackhub.reviews.domain.agenda.retention_risks import retention_risks
from rollbackhub.reviews.domain.agenda.scope import Scope
from rollbackhub.reviews.domain.agenda.wanted import wanted
from rollbackhub.reviews.domain.frozen import freeze
from rollbackhub.reviews.enums import Agenda
from rollbackhub.reviews.models import Review, ReviewItem

BUILDERS: dict[Agenda, Callable[[Scope], Answer]] = {
    Agenda.PROMISED: promised,
    Agenda.COMPLIANCE: compliance,
    Agenda.MISSES: misses,
    Agenda.PROOF: proof,
    Agenda.FINDINGS: findings,
    Agenda.INCIDENTS: incident_list,
    Agenda.RETENTION: retention_risks,
    Agenda.DECISIONS: wanted,
}
LONGEST_HEADLINE = ReviewItem._meta.get_field("headline").max_length or 0


@dataclass(frozen=True, slots=True)
class BuiltItem:
    """One item, frozen. `query_seconds` until its answer was there."""

    agenda: Agenda
    headline: str
    content: dict[str, Any]
    query_seconds: float


def build_agenda(review: Review, *, at: dt.datetime) -> list[BuiltItem]:
    """Every item as the data stand at one instant: all queries see the same state of the database."""
    scope = Scope(review, at)
    with _one_state():
        return [_build(agenda, scope) for agenda in Agenda]


def _build(agenda: Agenda, scope: Scope) -> BuiltItem:
    began = clock.monotonic()
    answer = BUILDERS[agenda](scope)
    seconds = clock.monotonic() - began
    headline = answer.headline if len(answer.headline) <= LONGEST_HEADLINE else f"{answer.headline[: LONGEST_HEADLINE - 1]}…"
    return BuiltItem(agenda, headline, freeze(answer), seconds)


@contextmanager
def _one_state() -> Iterator[None]:
    """A transaction that reads one state of the database, unless a transaction of the caller's stands already."""
    outermost = not connection.in_atomic_block
    with transaction.atomic():
        if outermost:
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield
