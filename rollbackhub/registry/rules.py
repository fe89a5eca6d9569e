"""Which lifecycle state may follow which, what traffic makes of a version, and how long one is kept. Pure: no database."""

from __future__ import annotations

import datetime as dt

from rollbackhub.registry.enums import Lifecycle

DEFAULT_RETENTION_DAYS = 90
LEAST_RETENTION_DAYS = 30
"""What a rollback in production may go back to is kept this long at least."""

WARN_DAYS = (30, 14, 3, 1)
"""How many days before a provider retires a version people are told."""

LIFECYCLE: dict[Lifecycle, frozenset[Lifecycle]] = {
    Lifecycle.REGISTERED: frozenset({Lifecycle.CANARY, Lifecycle.LIVE, Lifecycle.ROLLED_BACK, Lifecycle.ARCHIVED, Lifecycle.RETIRED}),
    Lifecycle.CANARY: frozenset({Lifecycle.REGISTERED, Lifecycle.LIVE, Lifecycle.SUPERSEDED, Lifecycle.ROLLED_BACK}),
    Lifecycle.LIVE: frozenset({Lifecycle.SUPERSEDED, Lifecycle.ROLLED_BACK}),
    Lifecycle.SUPERSEDED: frozenset({Lifecycle.CANARY, Lifecycle.LIVE, Lifecycle.ROLLED_BACK, Lifecycle.ARCHIVED, Lifecycle.RETIRED}),
    Lifecycle.ROLLED_BACK: frozenset({Lifecycle.CANARY, Lifecycle.LIVE, Lifecycle.ARCHIVED, Lifecycle.RETIRED}),
    Lifecycle.ARCHIVED: frozenset({Lifecycle.CANARY, Lifecycle.LIVE, Lifecycle.ROLLED_BACK, Lifecycle.RETIRED}),
    Lifecycle.RETIRED: frozenset({Lifecycle.ARCHIVED}),
}
"""The lifecycle of a version (DESIGN.md §2). Canary, live and superseded follow its traffic in production; archived and retired are people's acts.

Archived: kept, but not meant to serve again. Retired: gone, nothing can go back to it. A retired version comes back as archived.
"""

SERVING = (Lifecycle.CANARY, Lifecycle.LIVE)
"""It has traffic in production."""


def may_follow(before: str, after: str) -> bool:
    """Whether a version may go from one state to the other."""
    return Lifecycle(after) in LIFECYCLE[Lifecycle(before)]


def lifecycle_by_traffic(before: str, *, serves: bool, leads: bool, was_live: bool) -> Lifecycle:
    """Where a version stands by its traffic in production.

    `serves`: it has weight there. `leads`: all the weight of a policy, or the most where no live version serves beside it. `was_live`: it
    was live before its present canary. A canary that never took over goes back to registered; what was live is superseded. The other
    states stay as they are while there is no weight.
    """
    state = Lifecycle(before)
    if serves:
        return Lifecycle.LIVE if leads or state == Lifecycle.LIVE else Lifecycle.CANARY
    if state == Lifecycle.LIVE or (state == Lifecycle.CANARY and was_live):
        return Lifecycle.SUPERSEDED
    return Lifecycle.REGISTERED if state == Lifecycle.CANARY else state


def retained_until(superseded_at: dt.datetime | None, *, days: int) -> dt.datetime | None:
    """When the window of a superseded version ends; None while it serves, or if it never did."""
    return None if superseded_at is None else superseded_at + dt.timedelta(days=days)
