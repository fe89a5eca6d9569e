"""Form fields that are written as YAML."""

from __future__ import annotations

import io
import json
from typing import Any

from django import forms
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

MOST_NESTED = 40
MOST_VALUES = 20_000


class NoYaml(ValueError):
    """A text that cannot be read as YAML; its cause says why."""


class _TooMuch(ValueError):
    """What no person means: `problem` says so."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem


def load_yaml(text: str) -> Any:
    """What a text says. Raises NoYaml. Its time is bounded by the text's length: brackets within brackets, and names for what repeats itself, are."""
    try:
        if _nested(text) > MOST_NESTED:
            raise _TooMuch(f"It has brackets within brackets, more than {MOST_NESTED} deep.")
        content = YAML(typ="safe", pure=True).load(io.StringIO(text))
        if _values_in(content, {}) > MOST_VALUES:
            raise _TooMuch(f"It says more than {MOST_VALUES:,} values, by names for what repeats itself.")
        # What has mappings as names is YAML, and nothing that could be kept.
        json.dumps(content, default=str)
    except (YAMLError, RecursionError, ValueError, TypeError) as error:
        raise NoYaml from error
    return content


def _nested(text: str) -> int:
    """How deep brackets stand within brackets, those in quoted text included: the parser's time grows with the square of it."""
    deepest = depth = 0
    for letter in text:
        if letter in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif letter in "]}":
            depth = max(depth - 1, 0)
    return deepest


def _values_in(content: Any, known: dict[int, int | None]) -> int:
    """How many values it is once every alias stands for what it names. Raises ValueError for what holds itself."""
    if not isinstance(content, dict | list):
        return 1
    if id(content) in known:
        count = known[id(content)]
        if count is None:
            raise _TooMuch("It holds itself.")
        return count
    known[id(content)] = None
    count = 1 + sum(_values_in(entry, known) for entry in (content.values() if isinstance(content, dict) else content))
    known[id(content)] = count
    return count


class YamlField(forms.CharField):
    """YAML as what it says; `empty` when nothing is written. What it must be, `kind` and `wanted` say."""

    kind: type = dict
    wanted = "Write a mapping: name: value, a line each."

    def to_python(self, value: Any) -> Any:
        """Raises ValidationError with the line of what is wrong."""
        text = super().to_python(value) or ""
        if not text.strip():
            return self.kind()
        try:
            content = load_yaml(text)
        except NoYaml as error:
            mark = getattr(error.__cause__, "problem_mark", None)
            if isinstance(error.__cause__, _TooMuch):
                raise forms.ValidationError(error.__cause__.problem) from error
            where = f"Line {mark.line + 1}: " if mark else ""
            raise forms.ValidationError(f"{where}this is no YAML. {getattr(error.__cause__, 'problem', '') or ''}".strip()) from error
        if not isinstance(content, self.kind):
            raise forms.ValidationError(self.wanted)
        return content


class YamlMapping(YamlField):
    """A YAML mapping as a dict; empty: {}."""


class YamlList(YamlField):
    """A YAML list; empty: []."""

    kind = list
    wanted = "Write a list: each entry begins with a dash."
