"""YAML that people write: read with its lines, and never so that it costs the server more than its length."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import ValidationError
from ruamel.yaml import YAML

from rollbackhub.dashboard.yaml_fields import MOST_NESTED, NoYaml, YamlList, load_yaml

LAUGHS = "\n".join(["a0: &a0 [x, x]", *(f"a{number}: &a{number} [*a{number - 1}, *a{number - 1}]" for number in range(1, 60))])


@pytest.fixture
def unparsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The parser must not be asked."""

    def asked(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("it was parsed")

    monkeypatch.setattr(YAML, "load", asked)


@pytest.mark.usefixtures("unparsed")
@pytest.mark.parametrize("text", ["[" * 3000, "{" * 3000, "[{" * 1500, "[" * 900 + "]" * 900, "a: " + "[" * (MOST_NESTED + 1) + "]" * (MOST_NESTED + 1)])
def test_brackets_within_brackets_are_refused_before_they_are_parsed(text: str) -> None:
    with pytest.raises(ValidationError, match=f"brackets within brackets, more than {MOST_NESTED} deep"):
        YamlList().to_python(text)


def test_what_repeats_itself_is_counted_and_not_written_out() -> None:
    with pytest.raises(ValidationError, match="more than 20,000 values"):
        YamlList().to_python(LAUGHS)


def test_what_holds_itself_is_refused() -> None:
    with pytest.raises(ValidationError, match="It holds itself"):
        YamlList().to_python("- &a [*a]")


@pytest.mark.parametrize("text", ["- " * 6000, "? " * 6000, "!" * 5000, "a: b: c"])
def test_other_text_that_is_no_yaml_is_refused(text: str) -> None:
    with pytest.raises(NoYaml):
        load_yaml(text)


def test_usual_text_is_read_names_for_what_repeats_itself_included() -> None:
    deep = "[" * MOST_NESTED + "]" * MOST_NESTED
    assert load_yaml(f"a: &x [1, 2]\nb: *x\nc: {deep}\nd: 'brackets ((([[['\n")["b"] == [1, 2]
    assert len(YamlList().to_python("- {kind: traffic_share, key: t}\n" * 600)) == 600
