"""What an action came out of. Actions lie below it and do not know it; it registers itself for an origin.

It is told in the transaction of the act, before the action's row is locked: locks are taken in one order, what the action came out of first.
"""

from __future__ import annotations

from uuid import UUID

from rollbackhub.actions.enums import ActionOrigin
from rollbackhub.audit.actors import Actor


class ActionSource:
    """What a source may hear. The default: nothing to do."""

    def reopening(self, action_id: UUID, *, reason: str, actor: Actor) -> None:
        """The action is about to be opened again; the transaction is open, and ends with nothing done when that is refused."""


_sources: dict[str, ActionSource] = {}


def register_source(origin: ActionOrigin, source: ActionSource) -> None:
    """Once for each origin, when the source's app is ready."""
    _sources[origin] = source


def source_of(origin: str) -> ActionSource:
    """What hears of actions of this origin."""
    return _sources.get(origin) or ActionSource()
