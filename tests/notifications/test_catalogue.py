"""What is told: real events, words without holes, and never about notifications themselves."""

from __future__ import annotations

import ast
import string
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from rollbackhub.notifications.catalogue import CHOOSABLE, TELLINGS, URGENT, Words, fill
from rollbackhub.notifications.enums import Topic

INSTANT = "2026-11-30T20:00:00+00:00"
ROOT = Path(__file__).parents[2]
WORDS = Words(
    {
        "reason": "It lies.",
        "rollback_seconds": 42.0,
        "lagging": ["edge-1", "edge-2"],
        "expires_at": "2026-11-30T20:00:00+00:00",
        "role": "platform_lead",
        "x": None,
    },
    about="smart-reasoner in production",
    who="Olga Call",
    zone=ZoneInfo("Asia/Kolkata"),
)


def names_in_the_source() -> set[str]:
    """Every text of the product's code that looks like the name of an event."""
    found = set()
    for folder in ("rollbackhub", "drills", "incidents"):
        for path in (ROOT / folder).rglob("*.py"):
            if "notifications/catalogue.py" not in str(path):
                found |= {node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    return found


def test_every_event_that_is_told_is_recorded_somewhere() -> None:
    others = {"alert.fired", "proposal.made", "postmortem.published", "incident.closed"}
    assert set(TELLINGS) - names_in_the_source() - others == set()


def test_notifications_are_not_told_themselves() -> None:
    assert [event for event in TELLINGS if event.startswith("notification")] == []


def test_every_topic_but_the_test_has_an_event() -> None:
    assert {telling.topic for telling in TELLINGS.values()} == set(CHOOSABLE) == set(Topic) - {Topic.TEST}
    assert set(URGENT) <= set(Topic)


@pytest.mark.parametrize("event", sorted(TELLINGS))
def test_words_can_be_filled_and_are_left_out_without_their_facts(event: str) -> None:
    telling = TELLINGS[event]
    assert telling.ask.endswith(".")
    for template in (telling.subject, *telling.what):
        named = [name for _, name, _, _ in string.Formatter().parse(template) if name]
        facts = {name: INSTANT if name.endswith("_at") else "something" for name in named}
        everything = Words(facts, about="a", who="b", zone=ZoneInfo("UTC"))
        assert fill(template, everything)
        assert "{" not in fill(template, everything)
        if set(named) - {"about", "who"}:
            assert fill(template, Words({}, about="a", who="b", zone=ZoneInfo("UTC"))) == ""


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("Why: {reason}", "Why: It lies."),
        ("Decided to restored: {rollback_seconds}.", "Decided to restored: 42 s."),
        ("Lagging: {lagging}.", "Lagging: edge-1, edge-2."),
        ("It expires at {expires_at}.", "It expires at 2026-12-01 01:30 (Asia/Kolkata)."),
        ("by the role {role}.", "by the role Platform lead."),
        ("{about} by {who}", "smart-reasoner in production by Olga Call"),
        ("{x}", ""),
        ("{nobody_said}", ""),
    ],
)
def test_facts_are_said_in_words(template: str, text: str) -> None:
    assert fill(template, WORDS) == text


def test_what_people_wrote_is_no_template() -> None:
    words = Words({"reason": "{who} {0} {reason}"}, about="a", who="b", zone=ZoneInfo("UTC"))
    assert fill("Why: {reason}", words) == "Why: {who} {0} {reason}"
