"""The questions as people meet them: their addresses, their words, and the modules that answer them, in the order of the pages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rollbackhub.analytics.answer import AnalyticsFilter, Answer
from rollbackhub.analytics.questions import question_module
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


def _by(module: str) -> Callable[[AnalyticsFilter], Answer]:
    """What answers a question: its module, which is loaded when it is asked."""

    def answer(wanted: AnalyticsFilter) -> Answer:
        found: Answer = question_module(module).answer(wanted)
        return found

    return answer


_SPEED, _DRILLS, _OUTCOMES, _WAYS_BACK = "How fast we are", "What drills are worth", "What it comes to", "What we could go back to"
GROUPS = (_SPEED, _DRILLS, _OUTCOMES, _WAYS_BACK)
"""The groups in the order of the page."""

QUESTIONS: tuple[Question, ...] = (
    Question(
        "durations",
        "Do we roll back in time?",
        "Durations",
        "Every run's time against its target, by change type, month and alias.",
        _SPEED,
        _by("durations"),
    ),
    Question(
        "segments",
        "Where does the time go?",
        "Segments",
        "Detect, decide, authorise and the rest: drills beside production.",
        _SPEED,
        _by("segments"),
    ),
    Question(
        "hit-rate",
        "How often do we meet the target?",
        "Hit rate",
        "The share of runs within their target, with its interval.",
        _SPEED,
        _by("hit_rate"),
    ),
    Question(
        "calibration",
        "Do drills predict production?",
        "Calibration",
        "Whether a drill of 4 minutes means 4 minutes in production.",
        _DRILLS,
        _by("calibration"),
    ),
    Question(
        "decisions",
        "How long do decisions and approvals take?",
        "Decisions",
        "From detection to a decision and to its approval, by who had to decide.",
        _SPEED,
        _by("decisions"),
    ),
    Question(
        "compliance",
        "Do we drill as we planned?",
        "Compliance",
        "Drills that were planned, done, and done on time, by team.",
        _DRILLS,
        _by("compliance"),
    ),
    Question(
        "findings",
        "What do drills catch, and is it mended?",
        "Findings",
        "What was caught, how soon it was mended, what came back.",
        _DRILLS,
        _by("findings"),
    ),
    Question(
        "retention",
        "How much could we roll back?",
        "Retention",
        "The rollbackable share over time, and what was kept for it.",
        _WAYS_BACK,
        _by("retention"),
    ),
    Question(
        "dora",
        "How often do changes fail, and how fast do we recover?",
        "DORA",
        "Change fail rate and failed-deployment recovery time, without drills.",
        _OUTCOMES,
        _by("dora"),
    ),
    Question(
        "exposure",
        "How much did bad versions serve?",
        "Exposure",
        "Requests that bad versions answered until they were out.",
        _OUTCOMES,
        _by("exposure"),
    ),
    Question(
        "ways-out",
        "Back or forward: which way out works?",
        "Ways out",
        "Rolling back beside rolling forward: how each ended, and how long it took.",
        _OUTCOMES,
        _by("ways_out"),
    ),
    Question(
        "control",
        "Are drills getting slower?",
        "Control chart",
        "Drill after drill of one path, with a signal where it drifts.",
        _DRILLS,
        _by("control"),
    ),
)
"""All of them, in order."""


def get_question(slug: str) -> Question:
    """The question at this address. Raises NotFound."""
    for question in QUESTIONS:
        if question.slug == slug:
            return question
    raise NotFound(f"There is no question {slug!r}. The page of analytics lists those that there are.", code="question_not_found", url="/analytics/")
