"""The questions in their order: where each has its page, what it says, and the function that answers it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rollbackhub.analytics.answer import AnalyticsFilter, Answer
from rollbackhub.common.errors import NotFound


@dataclass(frozen=True, slots=True)
class Question:
    """A question as people meet it."""

    slug: str
    """In the address."""
    title: str
    """The question itself."""
    name: str
    """One or two words for where there is little room."""
    says: str
    """What its answer shows, in a sentence."""
    group: str
    """What it belongs to on the page of all questions."""
    answer: Callable[[AnalyticsFilter], Answer]


_SPEED, _DRILLS, _WAYS_BACK, _OUTCOMES = "How fast we are", "What drills are worth", "What we could go back to", "What it comes to"
GROUPS = (_SPEED, _DRILLS, _OUTCOMES, _WAYS_BACK)
"""The groups in the order of the page."""

QUESTIONS: tuple[Question, ...] = ()
"""All of them, in order."""


def get_question(slug: str) -> Question:
    """The question at this address. Raises NotFound."""
    for question in QUESTIONS:
        if question.slug == slug:
            return question
    raise NotFound(f"There is no question {slug!r}. The page of analytics lists those that there are.", code="question_not_found", url="/analytics/")
