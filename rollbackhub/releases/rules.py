"""Canary steps of a release, and which state may follow which. Pure: no database."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from rollbackhub.common.errors import InvalidInput
from rollbackhub.common.shown_text import problem_of
from rollbackhub.registry.enums import ChangeType
from rollbackhub.releases.enums import ReleaseState

CANARY_STEPS: dict[ChangeType, tuple[int, ...]] = {
    ChangeType.PROMPT: (5, 25, 50, 100),
    ChangeType.MODEL: (1, 5, 25, 50, 100),
}
"""Percent of the traffic at each step, unless somebody says otherwise. Other change types have no traffic to share: all at once."""

MAX_STEPS = 20
MAX_CANDIDATE_ID = 160

TRANSITIONS: dict[ReleaseState, frozenset[ReleaseState]] = {
    ReleaseState.PLANNED: frozenset({ReleaseState.ROLLING_OUT, ReleaseState.LIVE, ReleaseState.ABANDONED}),
    ReleaseState.ROLLING_OUT: frozenset({ReleaseState.ROLLING_OUT, ReleaseState.LIVE, ReleaseState.ROLLED_BACK, ReleaseState.ABANDONED}),
    ReleaseState.LIVE: frozenset({ReleaseState.SUPERSEDED, ReleaseState.ROLLED_BACK}),
    ReleaseState.SUPERSEDED: frozenset(),
    ReleaseState.ROLLED_BACK: frozenset(),
    ReleaseState.ABANDONED: frozenset(),
}
"""Which state may follow which. Rolling out follows itself: at each further step."""


def default_steps(change_type: str) -> list[int]:
    """The canary steps of a change type, in percent."""
    return list(CANARY_STEPS.get(ChangeType(change_type), (100,)))


def candidate_problem(candidate_id: str) -> str:
    """Why no policy takes a candidate of this id, as a sentence; empty when one does."""
    if not candidate_id:
        return "Name a candidate, e.g. anthropic:claude-sonnet-4-5:ap-south-1."
    if len(candidate_id) > MAX_CANDIDATE_ID:
        return f"A candidate's id has {MAX_CANDIDATE_ID} characters at most, this one has {len(candidate_id)}."
    if any(character.isspace() for character in candidate_id):
        return "A candidate's id has no spaces, e.g. anthropic:claude-sonnet-4-5:ap-south-1."
    if problem_of(candidate_id):
        return "This candidate's id holds a character that cannot be shown. Take it out."
    return ""


def require_valid_steps(steps: Sequence[int]) -> None:
    """Raise InvalidInput unless these are whole percents from 1 to 100 that grow and end with 100."""
    problem = ""
    if not steps or len(steps) > MAX_STEPS:
        problem = f"Give 1 to {MAX_STEPS} steps."
    elif any(isinstance(step, bool) or not isinstance(step, int) or not 1 <= step <= 100 for step in steps):
        problem = "Each step is a whole number of percent from 1 to 100."
    elif any(later <= earlier for earlier, later in itertools.pairwise(steps)):
        problem = "Each step is larger than the one before."
    elif steps[-1] != 100:
        problem = "The last step is 100 %."
    if problem:
        raise InvalidInput(f"These canary steps cannot be used: {problem}", code="invalid_steps", fields={"steps": [problem]})
