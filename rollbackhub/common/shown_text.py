"""What people write to be shown to other people: the one rule of which characters it may have.

Characters that cannot be seen change what is read (marks that turn the direction of text), break what keeps it (NUL in PostgreSQL), or fake further
lines in logs and messages. Names and titles are one line; reasons, notes and descriptions may have several.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from typing import Annotated

from django.core.exceptions import ValidationError
from pydantic import AfterValidator

from rollbackhub.common.errors import InvalidInput

UNSHOWABLE = "It holds a character that cannot be shown. Take it out."
ONE_LINE = "It must be one line."

_DIRECTIONS = dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x061C])
_JOINERS = "\u200c\u200d"
"""Of scripts and emoji: format characters that people write."""


def problem_of(text: str, *, lines: bool = False) -> str:
    """Why this text cannot be shown as it is, as a sentence; empty when it can. `lines`: it may have several."""
    found = ""
    for character in text:
        kind = unicodedata.category(character)
        if character in "\n\t" and lines:
            continue
        if character in "\n\r\x85" or kind in ("Zl", "Zp"):
            found = found or ONE_LINE
        elif kind in ("Cc", "Cf", "Cs", "Co") and character not in _JOINERS:
            return UNSHOWABLE
    if found and lines:
        return UNSHOWABLE
    return found


def require_shown(text: str, *, field: str, lines: bool = False) -> str:
    """The text without space around it. Raises InvalidInput `unshowable_text`."""
    text = text.replace("\r\n", "\n").strip()
    problem = problem_of(text, lines=lines)
    if problem:
        said = f"The {field.replace('_', ' ')} cannot be kept. {problem}"
        raise InvalidInput(said, code="unshowable_text", fields={field: [problem]})
    return text


def spoken(text: str, *, field: str = "reason") -> str:
    """A reason or a note: several lines, without space around it. Raises InvalidInput `unshowable_text`.

    Marks of direction are left out in silence: they come along when text is pasted, and nobody shall be refused for them at night.
    """
    return require_shown(text.translate(_DIRECTIONS), field=field, lines=True)


def as_shown(text: str, *, lines: bool = False) -> str:
    """What a machine said, as `require_shown` takes it: a space for each character that cannot be shown. Nobody is there to be refused."""
    text = text.replace("\r\n", "\n").translate(_DIRECTIONS)
    return "".join(" " if problem_of(character, lines=lines) else character for character in text).strip()


def problems_within(value: object, place: str = "") -> Iterator[tuple[str, str]]:
    """Place (`target.model`) and sentence of each text in JSON that cannot be shown, names of members included."""
    if isinstance(value, str):
        problem = problem_of(value, lines=True)
        if problem:
            yield place, problem
    elif isinstance(value, Mapping):
        for name, entry in value.items():
            if problem_of(str(name)):
                yield place, "It has a name with a character that cannot be shown. Take it out."
            else:
                yield from problems_within(entry, f"{place}.{name}" if place else str(name))
    elif isinstance(value, list | tuple):
        for number, entry in enumerate(value):
            yield from problems_within(entry, f"{place}.{number}" if place else str(number))


def _line(text: str) -> str:
    problem = problem_of(text)
    if problem:
        raise ValueError(problem)
    return text


def shown_line(text: str) -> None:
    """A validator of form fields: one line that can be shown. Raises Django's ValidationError."""
    problem = problem_of(text)
    if problem:
        raise ValidationError(problem, code="unshowable")


def shown_lines(text: str) -> None:
    """As `shown_line`, of fields with several lines."""
    problem = problem_of(text.replace("\r\n", "\n"), lines=True)
    if problem:
        raise ValidationError(problem, code="unshowable")


Line = Annotated[str, AfterValidator(_line)]
"""One line, of typed models."""
