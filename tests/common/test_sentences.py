"""Texts of others inside our sentences."""

from __future__ import annotations

import pytest

from rollbackhub.common.sentences import counted, with_stop, without_stop


@pytest.mark.parametrize(
    ("text", "inside", "alone"),
    [
        ("nothing", "nothing", "nothing."),
        (" nothing at all. ", "nothing at all", "nothing at all."),
        ("and so on...", "and so on...", "and so on..."),
        ("cut…", "cut…", "cut…"),
        ("Is it there?", "Is it there?", "Is it there?"),
        ("", "", ""),
        ("v1.2", "v1.2", "v1.2."),
    ],
)
def test_text_gets_one_full_stop_alone_and_none_inside_a_sentence(text: str, inside: str, alone: str) -> None:
    assert (without_stop(text), with_stop(text)) == (inside, alone)


@pytest.mark.parametrize(("number", "words"), [(0, "0 steps"), (1, "1 step"), (2, "2 steps"), (1000, "1,000 steps")])
def test_number_decides_the_noun(number: int, words: str) -> None:
    assert counted(number, "step") == words


def test_plural_of_its_own_is_used() -> None:
    assert [counted(number, "alias", "aliases") for number in (1, 2)] == ["1 alias", "2 aliases"]
