"""Secrets of connections: never in a setting, only a reference to where the process finds them.

`env:NAME` names an environment variable, `file:/path` a file; both are read anew at each use, so that a secret may be exchanged while the hub runs.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator

from rollbackhub.common.errors import RollbackHubError
from rollbackhub.common.secret_names import has_password_in_url, looks_secret

_REFERENCE = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]{0,127}|file:/[^\0\n]{1,400}")
MAX_SECRET_BYTES = 64 * 1024

# Shapes that providers give to their secrets; a long text of mixed characters under a harmless name is not judged.
_SHAPES = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY|\bwhsec_[A-Za-z0-9+/=]{16,}|\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_[A-Za-z0-9_]{20,}|\bglpat-[A-Za-z0-9_-]{16,}"
    r"|\bsk-[A-Za-z0-9_-]{16,}|\bAKIA[0-9A-Z]{16}\b|\bxox[abeprs]-[A-Za-z0-9-]{10,}|\bhf_[A-Za-z0-9]{20,}|\bdapi[0-9a-f]{32}|\bAIza[A-Za-z0-9_-]{30,}"
    r"|\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.|\b(?:Bearer|Basic)\s+[A-Za-z0-9+/=._~-]{8,}"
)


class SecretMissing(RollbackHubError):
    """A secret that a connection refers to is not there. A retry changes nothing."""

    code, status, title = "secret_missing", 503, "A secret is missing"


def _is_reference(value: str) -> str:
    if not _REFERENCE.fullmatch(value):
        # The value is not repeated: it may be the secret itself.
        raise ValueError("must refer to a secret, as env:NAME or file:/path; the secret itself is never stored")
    return value


_NAME_BEFORE_VALUE = re.compile(r"([A-Za-z_][A-Za-z0-9_-]*)[\"']?\s*[:=]")
_BEGINS_AS_MAPPING = re.compile(r"[\s{]*[\"']?[A-Za-z_][A-Za-z0-9_-]*[\"']?\s*:(\s|$)")

SecretRef = Annotated[str, AfterValidator(_is_reference)]
"""A setting that refers to a secret."""


def read_secret(reference: str) -> str:
    """The secret that a reference leads to, without the line's end. Raises SecretMissing."""
    kind, _, place = reference.partition(":")
    if kind == "env":
        value = os.environ.get(place, "")
        if not value:
            raise SecretMissing(f"The environment variable {place} is not set for RollbackHub. Set it for the web and worker processes.")
        return value
    try:
        with Path(place).open("rb") as file:
            content = file.read(MAX_SECRET_BYTES + 1)
    except OSError as error:
        raise SecretMissing(f"The secret's file {place} cannot be read ({error.strerror}). Put it there, readable for RollbackHub.") from error
    if len(content) > MAX_SECRET_BYTES:
        raise SecretMissing(f"The secret's file {place} is larger than {MAX_SECRET_BYTES} bytes, so it is no secret.")
    value = content.decode("utf-8", errors="replace").strip()
    if not value:
        raise SecretMissing(f"The secret's file {place} is empty.")
    return value


def find_secrets(values: Any) -> list[str]:
    """Where a JSON value holds what looks like a secret, by the member's name or by the text's shape, as dotted paths.

    Members that refer to secrets are therefore named `…_ref`: `token_ref`, `signing_ref`, `login_ref`.
    """
    return list(dict.fromkeys(_find(values, "")))


def _find(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            place = f"{path}.{key}" if path else str(key)
            if _is_secret(str(key)):
                yield f"{path}.(a name)" if path else "(a name)"
            elif looks_secret(str(key)):
                yield place
            else:
                yield from _find(inner, place)
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _find(inner, f"{path}.{index}")
    elif isinstance(value, str) and _is_secret(value):
        yield path


def _is_secret(text: str) -> bool:
    return _SHAPES.search(text) is not None or has_password_in_url(text)


def shown_again(text: str, *, load: Callable[[str], Any], dump: Callable[[Any], str], refused: Iterable[str] = ()) -> str:
    """A mapping that a person wrote, as it may stand in a form that was refused: whatever was refused may be a secret in the wrong place, and is left empty.

    `load` reads the text and raises ValueError when it cannot; `dump` writes it again. `refused`: dotted places of values that were refused.
    """
    if not text.strip():
        return text
    try:
        content = load(text)
    except ValueError:
        names = _NAME_BEFORE_VALUE.findall(text)
        suspect = _is_secret(text) or any(looks_secret(name) or name.endswith("_ref") for name in names)
        return "" if suspect or not _BEGINS_AS_MAPPING.match(text) else text
    if not isinstance(content, dict):
        return ""
    kept = _without(content, frozenset(refused), "")
    # A comment may hold one, too.
    return text if kept == content and not _is_secret(text) else dump(kept)


def _without(value: Any, refused: frozenset[str], path: str) -> Any:
    if path in refused and path:
        return ""
    if isinstance(value, dict):
        kept = {}
        for key, inner in value.items():
            name, place = str(key), f"{path}.{key}" if path else str(key)
            if _is_secret(name):
                continue
            wrong = name.endswith("_ref") and inner is not None and not (isinstance(inner, str) and _REFERENCE.fullmatch(inner))
            kept[key] = "" if wrong or looks_secret(name) else _without(inner, refused, place)
        return kept
    if isinstance(value, list | tuple):
        return [_without(inner, refused, f"{path}.{index}" if path else str(index)) for index, inner in enumerate(value)]
    return "" if isinstance(value, str) and _is_secret(value) else value
