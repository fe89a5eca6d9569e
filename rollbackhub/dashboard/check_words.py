"""Checks in words, and as the YAML that says the same."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass

from pydantic.fields import FieldInfo
from ruamel.yaml import YAML

from rollbackhub.verification.specs import KINDS, Check, CheckSpec, in_sentences, title_of
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


@dataclass(frozen=True, slots=True)
class SettingWords:
    """One setting: what it says, and what counts when it is left out (None: it is needed; empty: nothing)."""

    name: str
    about: str
    default: str | None


@dataclass(frozen=True, slots=True)
class KindWords:
    """One kind of check, with the settings that only it has, or that it has otherwise."""

    name: str
    about: str
    settings: list[SettingWords]


_METRICS = {"metric_baseline": "negative_feedback, errors or latency.", "metric_threshold": "negative_feedback or errors."}


def _setting(kind: str, name: str, field: FieldInfo) -> SettingWords:
    about = field.description or {"metric": _METRICS.get(kind, ""), "url": "The address that is asked, http or https, of an allowed host"}.get(name, "")
    if field.is_required():
        return SettingWords(name, about, None)
    return SettingWords(name, about, "" if field.default in (None, "") else f"{field.default}")


def _kind(name: str, kind: type[CheckSpec]) -> KindWords:
    base = CheckSpec.model_fields
    own = {field: info for field, info in kind.model_fields.items() if field != "kind" and (field not in base or info.default != base[field].default)}
    about = (kind.__doc__ or "").split("\n", maxsplit=1)[0]
    return KindWords(name, about, [_setting(name, field, info) for field, info in own.items()])


KIND_WORDS = [_kind(name, kind) for name, kind in KINDS.items()]
"""What an author may write, from the very models that read it."""

OF_EVERY_KIND = [_setting("", name, info) for name, info in CheckSpec.model_fields.items()]
