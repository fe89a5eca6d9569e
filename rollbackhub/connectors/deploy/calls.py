"""Signed requests to a receiver, and its refusals in words.

Signing: Standard Webhooks 1.0 (https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md): HMAC-SHA256 over
`id.timestamp.body`, sent as `webhook-id`, `webhook-timestamp` and `webhook-signature: v1,<base64>`.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from typing import Any

from rollbackhub.common import clock
from rollbackhub.common.errors import TransientError, Unavailable
from rollbackhub.common.http import Response, guarded_get, guarded_request
from rollbackhub.common.secret_names import without_secrets
from rollbackhub.connectors.base import REFUSALS, PermissionMissing
from rollbackhub.connectors.deploy.settings import DeploySettings
from rollbackhub.connectors.mechanism import Problem, ProblemCode, ProblemFound
from rollbackhub.connectors.secret_refs import SecretMissing, read_secret

MAX_BYTES = 1_000_000
MOST_SAID = 300
"""Characters of the receiver's own words that are repeated."""
BUSY = "busy"
"""Code of the error for a receiver that has too much to do: it did not take the request."""

_LATER = (408, 425, 429)
_NO_SUCH_VERSION = "unknown_version"
_TOKEN = re.compile(r"[\x21-\x7e]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ud800-\udfff]+")


def sign(*, secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """The `webhook-signature` of a message. Raises SecretMissing when a `whsec_` secret is no base64."""
    mac = hmac.new(_key(secret), f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256)
    return "v1," + base64.b64encode(mac.digest()).decode()


def _key(secret: str) -> bytes:
    if not secret.startswith("whsec_"):
        return secret.encode()
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except ValueError:
        key = b""
    if not key:
        # Raised here, not from the error: that may hold a part of the secret.
        raise SecretMissing("The signing secret begins with whsec_, and what follows is no base64. Put the whole secret there.")
    return key


class Caller:
    """Sends to one receiver. No secret is in what it raises or returns, also when the receiver repeats one."""

    def __init__(self, settings: DeploySettings, *, timeout_seconds: float) -> None:
        self._settings = settings
        self._timeout_seconds = timeout_seconds

    def require_secrets(self) -> None:
        """Raise SecretMissing unless all secrets are there and can be used."""
        _key(read_secret(self._settings.signing_ref))
        self._bearer()

    def post(self, url: str, content: Mapping[str, Any], *, key: str) -> dict[str, Any]:
        """Send a signed message; its answer's JSON object, `{}` when it has none.

        Raises TransientError (with code `busy` when it surely was not taken), Unavailable, PermissionMissing, SecretMissing, OutboundRefused, and
        ProblemFound for any other 4xx: the receiver refuses, and nothing was begun.
        """
        body = json.dumps(content, separators=(",", ":"), sort_keys=True).encode()
        timestamp = int(clock.now().timestamp())
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Idempotency-Key": key,
            "webhook-id": key,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": sign(secret=read_secret(self._settings.signing_ref), message_id=key, timestamp=timestamp, body=body),
            **self._bearer(),
        }
        answer = guarded_request("POST", url, timeout_seconds=self._timeout_seconds, max_bytes=MAX_BYTES, headers=headers, content=body)
        self._require_admitted(answer)
        if answer.status >= 400:
            raise ProblemFound(self._refusal(answer, content))
        return _object(answer) or {}

    def get(self, url: str, *, missing: Problem) -> dict[str, Any]:
        """Read an answer's JSON object, its texts as they are. Raises like `post`; `missing` is the problem of a 404, ProblemFound."""
        answer = guarded_get(url, timeout_seconds=self._timeout_seconds, max_bytes=MAX_BYTES, headers={"Accept": "application/json", **self._bearer()})
        self._require_admitted(answer)
        if answer.status == 404:
            raise ProblemFound(missing)
        content = _object(answer) if answer.status < 400 else None
        if content is None:
            said = f"answered HTTP {answer.status}{self.said_by(answer)}" if answer.status >= 400 else "did not answer with a JSON object"
            raise Unavailable(f"{answer.url} {said}. Check that the address is the right one.", code="unexpected_answer")
        return content

    def said_by(self, answer: Response) -> str:
        """The receiver's own words after a colon, short, on one line; empty when it said nothing readable."""
        content = _object(answer)
        text = ""
        if content is not None:
            text = next((str(content[name]) for name in ("message", "detail", "error", "title") if content.get(name)), "")
        elif answer.headers.get("content-type", "").startswith("text/plain"):
            text = answer.text
        said = self.clean(text)
        return f": {said}" if said else ""

    def clean(self, text: str, *, most: int = MOST_SAID) -> str:
        """A text of the receiver as it may be shown and kept: on one line, short, without our secrets."""
        for reference in (self._settings.signing_ref, self._settings.token_ref):
            for secret in _forms_of(reference):
                text = text.replace(secret, "[not shown]")
        text = str(without_secrets(_CONTROL.sub(" ", text))).strip()
        return text if len(text) <= most else text[: most - 1] + "…"

    def _bearer(self) -> dict[str, str]:
        if not self._settings.token_ref:
            return {}
        token = read_secret(self._settings.token_ref)
        if not _TOKEN.fullmatch(token):
            # A header with it would be refused further down, in an error that repeats it.
            raise SecretMissing(f"What {self._settings.token_ref} leads to cannot be a bearer token: it has spaces, line breaks or letters beyond ASCII.")
        return {"Authorization": f"Bearer {token}"}

    def _require_admitted(self, answer: Response) -> None:
        if answer.status in REFUSALS:
            raise PermissionMissing(
                f"{answer.url} answered HTTP {answer.status}{self.said_by(answer)}. Give the receiver the secret and token that the connection refers to,"
                " and see that both clocks are right."
            )
        if answer.status in _LATER:
            raise TransientError(f"{answer.url} answered HTTP {answer.status}: it has too much to do.", code=BUSY)

    def _refusal(self, answer: Response, content: Mapping[str, Any]) -> Problem:
        subject = f"service {content['service']}" if "service" in content else f"job {content.get('job', '')}"
        found = f"HTTP {answer.status} from {answer.url}{self.said_by(answer)}"
        body = _object(answer) or {}
        if answer.status == 410 or (answer.status == 422 and body.get("code") == _NO_SUCH_VERSION):
            version = content.get("version", {}).get("label", "the version")
            return Problem(ProblemCode.TARGET_RETIRED, subject, f"a receiver that has {version}", found, "Bring the version back there, or choose another.")
        if answer.status in (404, 405):
            remedy = "Correct the name, or the address in the connection."
            return Problem(ProblemCode.FLAG_MOVED, subject, "a receiver that knows it", f"nothing is deployed there by this name ({found})", remedy)
        remedy = "See what it does now; then try again." if answer.status == 409 else "Mend what the receiver says."
        return Problem(ProblemCode.CONFIG_MISMATCH, subject, "a receiver that takes the request", found, remedy)


def _forms_of(reference: str | None) -> list[str]:
    """A secret as somebody may repeat it, the longest form first."""
    try:
        secret = read_secret(reference) if reference else ""
    except SecretMissing:
        # Then it was not sent either, and cannot be repeated.
        return []
    return [form for form in (secret, secret.removeprefix("whsec_")) if form]


def _object(answer: Response) -> dict[str, Any] | None:
    """The answer as a JSON object; None when it is none."""
    try:
        content = json.loads(answer.body)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None
