"""Secrets of connections: never in a setting, only a reference to where the process finds them.

`env:NAME` names an environment variable, `file:/path` a file; both are read anew at each use, so that a secret may be exchanged while the hub runs.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
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
            if looks_secret(str(key)):
                yield place
            else:
                yield from _find(inner, place)
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _find(inner, f"{path}.{index}")
    elif isinstance(value, str) and (_SHAPES.search(value) or has_password_in_url(value)):
        yield path or "settings"
