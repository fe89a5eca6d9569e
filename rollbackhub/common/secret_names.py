"""Which names mean a secret. A guard against mistakes, not against malice."""

from __future__ import annotations

import re
from itertools import pairwise
from urllib.parse import parse_qsl, urlsplit

_WORDS = frozenset(
    {"password", "passwd", "passphrase", "pwd", "secret", "secrets", "authorization", "bearer", "credential", "credentials"}
    | {"cookie", "cookies", "apikey", "sessionid", "otp", "totp"}
)
_LAST_WORD = frozenset({"token", "jwt"})
"""`access_token` is a secret; `token_id`, `max_tokens` and `token_name` are not."""
_KEY_OF = frozenset({"api", "private", "secret", "access", "signing", "encryption", "ssh"})
_HEADERS = frozenset({"api-key", "x-api-key", "proxy-authorization", "set-cookie", "x-auth-token"})
_SIGNATURES = frozenset({"sig", "signature", "x-amz-signature", "x-goog-signature", "x-amz-security-token"})
"""Query parameters of signed addresses: who has the address has the thing."""
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SPLIT = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[^A-Za-z0-9]+")
_PASSWORD_IN_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)[^/\s:@]*:[^/\s@]+@")


def looks_secret(name: str) -> bool:
    """Whether a field or key of this name probably holds a secret (`password`, `api_key`, `accessToken`, `Authorization` …).

    Only identifiers and names of headers are judged: an alias `password-reset-bot` used as a key is a name that somebody chose.
    """
    if name.lower() in _HEADERS:
        return True
    if not _IDENTIFIER.fullmatch(name):
        return False
    words = [word.lower() for word in _SPLIT.split(name) if word]
    if not words:
        return False
    if words[-1] in _LAST_WORD or not _WORDS.isdisjoint(words):
        return True
    return any(first in _KEY_OF and second in {"key", "keys"} for first, second in pairwise(words)) and words[-1] not in {"id", "name"}


def has_password_in_url(text: str) -> bool:
    """Whether a text holds a URL with a user's password in it."""
    return _PASSWORD_IN_URL.search(text) is not None


def holds_secret(text: str) -> bool:
    """Whether a text holds an address with a password or a key in it: `https://user:password@…`, `…?api_key=…`, a signed address."""
    if has_password_in_url(text):
        return True
    for word in text.split():
        if "://" not in word or "?" not in word:
            continue
        try:
            query = urlsplit(word).query
        except ValueError:
            query = word.split("?", 1)[1]
        if any(name.lower() in _SIGNATURES or looks_secret(name) for name, value in parse_qsl(query) if value):
            return True
    return False


def without_secrets(value: object) -> object:
    """A copy of a JSON value with everything that looks like a secret replaced by `[not recorded]`.

    Members whose name means a secret are left out and counted, so that the copy may be recorded.
    """
    if isinstance(value, dict):
        kept = {str(key): without_secrets(inner) for key, inner in value.items() if not looks_secret(str(key))}
        hidden = len(value) - len(kept)
        return {**kept, "[not recorded]": hidden} if hidden else kept
    if isinstance(value, list | tuple):
        return [without_secrets(inner) for inner in value]
    if isinstance(value, str):
        return _PASSWORD_IN_URL.sub(r"\g<scheme>[not recorded]@", value)
    return value
