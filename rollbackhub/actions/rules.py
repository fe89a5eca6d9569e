"""How an action moves. Pure."""

from __future__ import annotations

from rollbackhub.actions.enums import ActionState

TRANSITIONS: dict[ActionState, frozenset[ActionState]] = {
    ActionState.OPEN: frozenset({ActionState.DONE, ActionState.NOT_DOING}),
    ActionState.DONE: frozenset({ActionState.OPEN}),
    ActionState.NOT_DOING: frozenset({ActionState.OPEN}),
}
"""From → to. What was done may prove not to hold: it is opened again, with a reason."""
