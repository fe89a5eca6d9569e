"""Days, reminders and what is missing: pure."""

from __future__ import annotations

import datetime as dt

import pytest

from rollbackhub.postmortems.enums import PostmortemState, SectionKey
from rollbackhub.postmortems.rules import ALLOWED_IN, TRANSITIONS, WORDS, Act, add_working_days, missing_for_review, reminder_step

FRIDAY = dt.date(2026, 11, 27)


@pytest.mark.parametrize(
    ("day", "days", "wanted"),
    [
        (FRIDAY, 1, dt.date(2026, 11, 30)),
        (FRIDAY, 5, dt.date(2026, 12, 4)),
        (dt.date(2026, 11, 28), 1, dt.date(2026, 11, 30)),
        (dt.date(2026, 11, 30), 5, dt.date(2026, 12, 7)),
        (dt.date(2026, 12, 31), 1, dt.date(2027, 1, 1)),
    ],
)
def test_working_days_leave_weekends_out(day: dt.date, days: int, wanted: dt.date) -> None:
    assert add_working_days(day, days) == wanted


@pytest.mark.parametrize(("left", "step"), [(3, ""), (2, "2"), (1, "1"), (0, "0"), (-1, "late:2026-11-27"), (-30, "late:2026-11-27")])
def test_reminders_come_before_the_day_and_each_day_after_it(left: int, step: str) -> None:
    assert reminder_step(due_on=FRIDAY + dt.timedelta(days=left), today=FRIDAY) == step


def test_each_missing_section_and_question_is_named() -> None:
    texts = {SectionKey.SUMMARY: "x", SectionKey.IMPACT: "  ", SectionKey.ROOT_CAUSE: "x", SectionKey.RESPONSE: "x"}
    assert missing_for_review(texts=texts, unanswered=["Did it?"]) == [
        "Impact is empty.",
        "Discipline improvements is empty.",
        "Nobody has answered: Did it?",
    ]


def test_tables_know_every_state_and_act() -> None:
    assert set(TRANSITIONS) == set(PostmortemState)
    assert set(ALLOWED_IN) == set(WORDS) == set(Act)
    assert TRANSITIONS[PostmortemState.CLOSED] == {PostmortemState.PUBLISHED}, "an action of it was opened again"
    assert PostmortemState.DRAFT not in TRANSITIONS[PostmortemState.PUBLISHED], "what is published is amended, never a draft again"
