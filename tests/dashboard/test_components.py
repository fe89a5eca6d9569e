"""The components, and rules that hold for all templates."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path

import pytest
from django.conf import settings
from django.template import Context, Template

from rollbackhub.common.clock import now
from rollbackhub.dashboard.icons import ICONS, SPRITE
from rollbackhub.dashboard.looks import EXECUTIONS, LIFECYCLES, READINESS, STEPS, VERDICTS
from rollbackhub.dashboard.templatetags.hub import DiffLine, against_target, diff_lines, relative

ROOT = Path(settings.BASE_DIR)
TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))
SAVED = {ROOT / "templates/reviews/document.html", ROOT / "templates/postmortems/document.html"}
"""Files to keep, with their looks inside and a policy of their own; never a page of the hub."""


def render(source: str, **context: object) -> str:
    """A template of these tags."""
    return Template("{% load hub %}" + source).render(Context(context))


def test_diff_lines_change_in_the_middle_has_signs_and_three_lines_around() -> None:
    before = "\n".join("abcdefghij")
    assert diff_lines(before, before.replace("e", "E")) == [
        DiffLine("…", ""),
        *(DiffLine(" ", line) for line in "bcd"),
        DiffLine("-", "e"),
        DiffLine("+", "E"),
        *(DiffLine(" ", line) for line in "fgh"),
    ]
    assert diff_lines(before, before) == []


@pytest.mark.parametrize(
    ("seconds", "target", "over", "used", "tick"),
    [
        (300.0, 600.0, False, "40.00", "80.00"),
        (0.4, 600.0, False, "0.80", "80.00"),
        (600.0, 600.0, False, "80.00", "80.00"),
        (6000.0, 600.0, True, "90.91", "9.09"),
        (5.0, None, False, "100.00", ""),
        (None, 600.0, False, "0", "80.00"),
        (0.0, None, False, "0.80", ""),
    ],
)
def test_against_target_bar_stays_within_its_track(seconds: float | None, target: float | None, over: bool, used: str, tick: str) -> None:
    found = against_target(seconds, target)
    assert (found["over"], found["used"], found["tick"]) == (over, used, tick)


def test_against_target_says_in_words_what_the_bar_shows() -> None:
    assert "1 min</strong> of 10 min" in render("{% against_target 60 600 %}")
    assert "11 min 40 s</strong> of 10 min: over the target" in render("{% against_target 700 600 %}")
    assert "Not measured, target 10 min" in render("{% against_target None 600 %}")
    assert "is-unsure" in render("{% against_target 60 600 'error' %}")


@pytest.mark.parametrize(
    ("ago", "words"),
    [
        (2, "just now"),
        (42, "42 s ago"),
        (200, "3 min ago"),
        (7300, "2 h ago"),
        (90_000, "1 day ago"),
        (500_000, "5 days ago"),
        (60 * 86_400, "2 Mar 2026"),
        (-30, "just now"),
    ],
)
def test_relative_reads_like_speech(ago: int, words: str) -> None:
    present = dt.datetime(2026, 5, 1, 12, tzinfo=dt.UTC)
    assert relative(present - dt.timedelta(seconds=ago), present) == words


def test_instant_has_the_exact_time_for_hover_and_screen_readers() -> None:
    text = render("{% instant value %}", value=now() - dt.timedelta(minutes=3))
    assert "3 min ago" in text
    assert text.count("UTC") == 2
    assert "visually-hidden" in text


def test_weights_bar_says_every_weight_also_in_words() -> None:
    weights = [{"id": "a", "version_pin": "v1", "weight": 25}, {"id": "b", "version_pin": "<v2>", "weight": 75}]
    text = render("{% weights_bar weights %}", weights=weights)
    assert "25 %" in text
    assert "&lt;v2&gt;" in text
    assert 'x="25" y="-2" width="75"' in text
    assert "No candidates yet" in render("{% weights_bar weights %}", weights=[])


def test_icon_unknown_name_is_an_error_not_a_gap() -> None:
    with pytest.raises(KeyError, match="no icon 'nonsense'"):
        render("{% icon 'nonsense' %}")


def test_sprite_has_every_icon_and_templates_name_no_other() -> None:
    assert set(re.findall(r'<symbol id="([\w-]+)"', SPRITE.read_text())) == set(ICONS)
    named = {name for path in TEMPLATES for name in re.findall(r'(?:{% icon |icon=)"([\w-]+)"', path.read_text())}
    looks = {look.icon for table in (READINESS, EXECUTIONS, LIFECYCLES, STEPS, VERDICTS) for look in table.values()}
    assert named | looks <= set(ICONS)


def test_looks_every_state_has_a_word_an_icon_and_a_tone_of_the_stylesheet() -> None:
    css = (ROOT / "rollbackhub/dashboard/assets/app.css").read_text()
    for table in (READINESS, EXECUTIONS, LIFECYCLES, STEPS, VERDICTS):
        words = [look.word for look in table.values()]
        assert len({(look.word, look.icon) for look in table.values()}) == len(words) or table is STEPS
        assert all(f".tone-{look.tone} " in css for look in table.values())


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: str(path.relative_to(ROOT / "templates")))
def test_template_has_no_inline_script_or_style_and_no_outside_address(path: Path) -> None:
    text = path.read_text()
    assert not re.search(r"<script(?![^>]*\bsrc=)", text)
    assert not re.search(r"\sstyle=\"(?!btn)", text.replace('style="btn', ""))
    assert path in SAVED or "<style" not in text
    assert not re.search(r"\son\w+=", text)
    assert not re.search(r"(?:src|href)=\"(?:https?:)?//", text)
