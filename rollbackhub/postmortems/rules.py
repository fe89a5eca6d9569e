"""How a postmortem moves, what may be done to it in which state, what it must have, and when it is due. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import Any

from rollbackhub.postmortems.enums import PostmortemState as S
from rollbackhub.postmortems.enums import SectionKey

TRANSITIONS: dict[S, frozenset[S]] = {
    S.DRAFT: frozenset({S.IN_REVIEW}),
    S.IN_REVIEW: frozenset({S.DRAFT, S.PUBLISHED}),
    S.PUBLISHED: frozenset({S.CLOSED}),
    S.CLOSED: frozenset({S.PUBLISHED}),
}
"""From → to. What is published is never a draft again: it is amended. What is closed is published again when one of its actions is open again."""


class Act(StrEnum):
    """Something that people do to a postmortem."""

    WRITE = "write"
    """Texts, answers about factors."""
    TAG = "tag"
    CHANGE = "change"
    """Its owner, its day."""
    GIVE_ACTION = "give_action"
    GATE = "gate"
    SEND = "send"
    ASK_REVIEWER = "ask_reviewer"
    REVIEW = "review"
    TAKE_BACK = "take_back"
    PUBLISH = "publish"
    AMEND = "amend"
    CLOSE = "close"


ALLOWED_IN: dict[Act, frozenset[S]] = {
    Act.WRITE: frozenset({S.DRAFT, S.IN_REVIEW}),
    Act.TAG: frozenset({S.DRAFT, S.IN_REVIEW, S.PUBLISHED}),
    Act.CHANGE: frozenset({S.DRAFT, S.IN_REVIEW, S.PUBLISHED}),
    Act.GIVE_ACTION: frozenset({S.DRAFT, S.IN_REVIEW, S.PUBLISHED}),
    Act.GATE: frozenset({S.DRAFT, S.IN_REVIEW, S.PUBLISHED}),
    Act.SEND: frozenset({S.DRAFT}),
    Act.ASK_REVIEWER: frozenset({S.IN_REVIEW}),
    Act.REVIEW: frozenset({S.IN_REVIEW}),
    Act.TAKE_BACK: frozenset({S.IN_REVIEW}),
    Act.PUBLISH: frozenset({S.IN_REVIEW}),
    Act.AMEND: frozenset({S.PUBLISHED, S.CLOSED}),
    Act.CLOSE: frozenset({S.PUBLISHED}),
}
"""In which states an act is possible at all; what it needs besides, the domain says."""

WORDS: dict[Act, str] = {
    Act.WRITE: "to write to it",
    Act.TAG: "to name its causes",
    Act.CHANGE: "to change its owner or its day",
    Act.GIVE_ACTION: "to give actions",
    Act.GATE: "to say what gates the hold",
    Act.SEND: "to send it to review",
    Act.ASK_REVIEWER: "to ask somebody to review it",
    Act.REVIEW: "to review it",
    Act.TAKE_BACK: "to take it back",
    Act.PUBLISH: "to publish it",
    Act.AMEND: "to amend it",
    Act.CLOSE: "to close it",
}

REQUIRED = (SectionKey.SUMMARY, SectionKey.IMPACT, SectionKey.ROOT_CAUSE, SectionKey.RESPONSE, SectionKey.IMPROVEMENTS)
"""Without these it is not sent to review."""

WRITTEN_BEFORE_DUE = (S.DRAFT, S.IN_REVIEW)
"""It is due until it is published."""

DEFAULT_WORKING_DAYS = 5
REMIND_BEFORE = (2, 1, 0)
"""How many days before it is due its owner is reminded; once it is overdue, every day."""

MAX_TEXT = 20_000
MAX_WORDS = 2_000
MAX_REASON = 1_000
MIN_REASON = 10
MAX_TITLE = 200
MAX_CAUSES = 10
MAX_CAUSE = 60
"""Characters, and causes."""

BLAMELESS = (
    "Blameless: everybody acted sensibly on what they knew at the time. Ask what made the mistake easy and its discovery hard; name roles and systems, not"
    " the person who pressed the button."
)


USERS_UNSAID = "**Users:** say what they saw of it."
"""Stands in a new draft's impact, in place of what only people know."""


def missing_for_review(*, texts: Mapping[Any, str], unanswered: Collection[str]) -> list[str]:
    """What it lacks to be sent to review, a sentence each; empty when it lacks nothing."""
    missing = [f"{key.label} is empty." for key in REQUIRED if not texts.get(key, "").strip()]
    if USERS_UNSAID in texts.get(SectionKey.IMPACT, ""):
        missing.append(f"{SectionKey.IMPACT.label} does not say yet what users saw: write it in place of “say what they saw of it”.")
    return missing + [f"Nobody has answered: {question}" for question in unanswered]


def add_working_days(day: dt.date, days: int) -> dt.date:
    """The day so many working days (Monday to Friday) later."""
    while days > 0:
        day += dt.timedelta(days=1)
        days -= day.weekday() < 5
    return day


def reminder_step(*, due_on: dt.date, today: dt.date) -> str:
    """Which reminder is due today: `2`, `1` or `0` days before, `late:2026-12-07` each day after; empty for none."""
    left = (due_on - today).days
    if left < 0:
        return f"late:{today:%Y-%m-%d}"
    return str(left) if left in REMIND_BEFORE else ""
