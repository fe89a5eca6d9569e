"""Form fields that are written as YAML."""

from __future__ import annotations

import io
import json
from typing import Any

from django import forms
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError


class NoYaml(ValueError):
    """A text that cannot be read as YAML; its cause says why."""


def load_yaml(text: str) -> Any:
    """What a text says. Raises NoYaml."""
    try:
        content = YAML(typ="safe", pure=True).load(io.StringIO(text))
        # What refers to itself, or has mappings as names, is YAML, and nothing that could be kept.
        json.dumps(content, default=str)
    except (YAMLError, RecursionError, ValueError, TypeError) as error:
        raise NoYaml from error
    return content


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
