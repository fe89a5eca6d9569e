"""How an action moves. Pure."""

from __future__ import annotations

import datetime as dt

from rollbackhub.actions.enums import ActionState

TRANSITIONS: dict[ActionState, frozenset[ActionState]] = {
    ActionState.OPEN: frozenset({ActionState.DONE, ActionState.NOT_DOING}),
    ActionState.DONE: frozenset({ActionState.OPEN}),
    ActionState.NOT_DOING: frozenset({ActionState.OPEN}),
}
"""From → to. What was done may prove not to hold: it is opened again, with a reason."""

MOST_YEARS = 3
"""An action is due at most so many years ahead: what is further away is a slip of the pen, or nobody's."""


def last_day(today: dt.date) -> dt.date:
    """The last day that an action may be due. 29 February counts as the 28th."""
    day = 28 if (today.month, today.day) == (2, 29) else today.day
    return today.replace(year=today.year + MOST_YEARS, day=day)
