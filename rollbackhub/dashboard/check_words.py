"""Checks in words, and as the YAML that says the same."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass

from ruamel.yaml import YAML

from rollbackhub.verification.specs import Check, in_sentences, title_of
from rollbackhub.verification.written import warnings_of


@dataclass(frozen=True, slots=True)
class CheckRow:
    """One check for people."""

    key: str
    title: str
    sentences: list[str]
    warnings: list[str]
    """What it would let pass that is wider than is usual."""


def check_rows(checks: Iterable[Check]) -> list[CheckRow]:
    """Each with what it demands."""
    return [CheckRow(check.key, title_of(check), in_sentences(check), warnings_of(check)) for check in checks]


def checks_yaml(checks: Iterable[Check]) -> str:
    """As they are written in the editor: the kind and the key first, what is not set left out."""
    stream = io.StringIO()
    writer = YAML()
    writer.indent(mapping=2, sequence=2, offset=0)
    writer.width = 4096
    writer.dump([_ordered(check) for check in checks], stream)
    return stream.getvalue()


def _ordered(check: Check) -> dict[str, object]:
    values = {name: value for name, value in check.model_dump(mode="json").items() if value is not None and value != ""}
    return {"kind": values.pop("kind"), "key": values.pop("key"), **values}
