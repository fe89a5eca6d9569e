"""Which state may follow which, and what a rollback says about the harm. Pure: no database."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from incidents.enums import IncidentState as S
from incidents.enums import Matter
from rollbackhub.rollbacks.enums import HOLDING_STATES, RollbackState

TRANSITIONS: dict[S, frozenset[S]] = {
    S.OPEN: frozenset({S.STABLE, S.CLOSED}),
    S.STABLE: frozenset({S.OPEN, S.CLOSED}),
    S.CLOSED: frozenset({S.OPEN}),
}
"""Which state may follow which. A stable incident opens again when the harm is back, or when a person says so; closing is a person's,
and so is opening what is closed."""

CLOSES_NOT_WHILE = HOLDING_STATES
"""A rollback in one of these is still going on: its incident cannot be closed."""

LONGEST_TITLE = 200
LONGEST_TEXT = 4000
"""Of a summary, a reason, evidence, and what users saw."""
LONGEST_NOTE = 20_000

COLUMNS: dict[Matter, tuple[str, ...]] = {
    Matter.DETECTION: ("detected_at", "detected_by"),
    Matter.EXPOSURE: ("exposure_observed", "exposure_estimated", "exposure_basis"),
    Matter.IMPACT: ("impact",),
}
"""Which columns of the incident belong to what a person may correct."""

CAME_TO_NOTHING = (RollbackState.REJECTED, RollbackState.EXPIRED, RollbackState.WITHDRAWN, RollbackState.CANCELLED)
"""Nothing was changed: such a rollback says nothing about the harm as long as another one does."""

CHANGES_NO_MORE = (*CAME_TO_NOTHING, RollbackState.UNDONE, RollbackState.ROLLED_FORWARD, RollbackState.CLOSED)
"""A rollback's last states. Only corrections come after them."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What one rollback says about the harm: at which aliases, since when asked for, and since when it was shown to be over."""

    rollback_id: UUID
    aliases: frozenset[int]
    state: str
    decided_at: dt.datetime
    over_at: dt.datetime | None


def those_that_count(standings: Iterable[Standing]) -> list[Standing]:
    """The newest rollback of each alias that changed anything or may still: earlier ones are overtaken by it."""
    newest: dict[int, Standing] = {}
    for standing in sorted(standings, key=lambda standing: standing.decided_at):
        if standing.state not in CAME_TO_NOTHING:
            newest |= dict.fromkeys(standing.aliases, standing)
    return list({standing.rollback_id: standing for standing in newest.values()}.values())


def over_at(*, state: str, verified_at: dt.datetime | None, closed_at: dt.datetime | None, before: str) -> dt.datetime | None:
    """When a rollback showed that the harm is over: its verification, or the end of a roll-forward that held. None: it has not.

    `before` is the state in which it was seen last: closed while its verification had failed, it has shown nothing.
    """
    if state == RollbackState.ROLLED_FORWARD:
        return closed_at
    if state == RollbackState.VERIFIED or (state == RollbackState.CLOSED and before != RollbackState.VERIFICATION_FAILED):
        return verified_at
    return None


def last_of(instants: Iterable[dt.datetime | None]) -> dt.datetime | None:
    """The last of several instants; None while one of them is missing, or when there is none."""
    found = list(instants)
    known = [instant for instant in found if instant is not None]
    return max(known) if known and len(known) == len(found) else None


def is_back(*, standings: Iterable[Standing], stable_at: dt.datetime, stable_by_person: bool, no_longer_over: bool) -> bool:
    """Whether the harm of a stable incident is back, by the rollbacks that count.

    What rollbacks showed ends as soon as one of them does not show it. What a person said stands until a rollback is decided after it,
    or one that had shown the end shows it no longer (`no_longer_over`).
    """
    going_on = [standing for standing in standings if standing.over_at is None]
    if not stable_by_person:
        return bool(going_on)
    return no_longer_over or any(standing.decided_at > stable_at for standing in going_on)
