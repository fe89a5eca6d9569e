"""The one rule of what people's text may hold."""

from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError

from rollbackhub.common.errors import InvalidInput
from rollbackhub.common.shown_text import ONE_LINE, UNSHOWABLE, as_shown, problem_of, problems_within, require_shown, shown_line, shown_lines, spoken

NEVER = ["\x00", "\x01", "\x1b", "\x7f", "\u202e", "\u2066", "\u200b", "\ufeff", "\ud800", "\ue000"]
BREAKS = ["\n", "\r", "\u2028", "\u2029", "\x85"]


@pytest.mark.parametrize("character", NEVER, ids=ascii)
@pytest.mark.parametrize("lines", [False, True])
def test_what_cannot_be_shown_is_refused_in_one_line_and_in_several(character: str, lines: bool) -> None:
    assert problem_of(f"a{character}b", lines=lines) == UNSHOWABLE
    assert problem_of(f"a\n{character}b", lines=lines) == UNSHOWABLE


@pytest.mark.parametrize("character", BREAKS, ids=ascii)
def test_one_line_has_no_breaks(character: str) -> None:
    assert problem_of(f"a{character}b") == ONE_LINE
    assert problem_of(f"a{character}b", lines=True) == ("" if character == "\n" else UNSHOWABLE)


@pytest.mark.parametrize("text", ["", "Ärger über 50 %", "نماذج الدعم", "क्‍ष", "👩‍👩‍👧 back"])
def test_people_write_in_their_own_scripts(text: str) -> None:
    assert problem_of(text) == ""


def test_reasons_lose_marks_of_direction_and_space_and_nothing_else() -> None:
    assert spoken(" it \u202efails\u200f,\r\nso\twe go back ") == "it fails,\nso\twe go back"
    with pytest.raises(InvalidInput) as refused:
        spoken("it\x00fails", field="detected_by")
    assert (refused.value.code, refused.value.fields) == ("unshowable_text", {"detected_by": [UNSHOWABLE]})
    assert refused.value.message == f"The detected by cannot be kept. {UNSHOWABLE}"


def test_names_are_refused_and_not_changed() -> None:
    assert require_shown(" Search ", field="name") == "Search"
    with pytest.raises(InvalidInput):
        require_shown("Se\u202earch", field="name")


def test_what_a_machine_said_is_made_showable_and_then_passes() -> None:
    said = "\x1b[31mdown\u202e\r\nsince \x00noon\n"
    assert as_shown(said) == "[31mdown since  noon" == require_shown(as_shown(said), field="name")
    assert as_shown(said, lines=True) == "[31mdown\nsince  noon" == spoken(as_shown(said, lines=True))


def test_form_fields_say_the_same() -> None:
    shown_line("Search")
    shown_lines("one\r\ntwo")
    for check in (shown_line, shown_lines):
        with pytest.raises(ValidationError, match="cannot be shown"):
            check("Se\u202earch")


def test_places_within_json() -> None:
    found = list(problems_within({"a": ["fine", {"b": "x\x01"}], "c\x00": 1, "d": 4, "lines": "one\ntwo"}, "target"))
    assert [place for place, _ in found] == ["target.a.1.b", "target"]
