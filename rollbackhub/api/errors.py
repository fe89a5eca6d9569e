"""One error handler for the whole API: every error is a problem document (RFC 9457).

Members: `type` (urn:rollbackhub:error:<code>), `title`, `status`, `detail` (a sentence that says what to do), `code`, `instance` (the path that was
asked), `fields` (sentences per field, empty when the error has no field), and what the error brings besides (`execution_id`, `url`, …).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.core.serializers.json import DjangoJSONEncoder
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpResponse
from psycopg_pool import PoolTimeout
from rest_framework import exceptions, status
from rest_framework.parsers import JSONParser
from rest_framework.views import set_rollback

from rollbackhub.common.errors import Forbidden, InvalidInput, NotFound, RollbackHubError, Unavailable

logger = logging.getLogger(__name__)

PROBLEM_JSON = "application/problem+json"
TYPE_PREFIX = "urn:rollbackhub:error:"
_OWN_MEMBERS = frozenset({"type", "title", "status", "detail", "code", "instance", "fields"})


class HttpError(RollbackHubError):
    """An error of HTTP itself: method, media type, length, rate."""

    def __init__(self, message: str, *, code: str, status: int, title: str, **extra: object) -> None:
        super().__init__(message, code=code)
        self.extra = extra
        self.status = status
        self.title = title


def problem_details(exception: Exception, context: Mapping[str, Any]) -> HttpResponse:
    """Django REST framework's hook: the answer to whatever a view raised."""
    set_rollback()
    error = as_error(exception)
    if isinstance(exception, exceptions.UnsupportedMediaType) and (view := context.get("view")) is not None:
        error.message = f"{exception.detail} {_what_is_taken([parser.media_type for parser in view.parser_classes])}"
    request = context.get("request")
    path = request.path if request is not None else ""
    if error.status >= 500 and not isinstance(error, Unavailable):
        method = request.method if request is not None else "?"
        logger.error("%s %s failed", method, path, exc_info=exception)
    headers: dict[str, str] = {}
    if getattr(exception, "auth_header", None):
        headers["WWW-Authenticate"] = exception.auth_header  # type: ignore[attr-defined]
    if isinstance(exception, exceptions.Throttled):
        headers["Retry-After"] = str(max(1, round(getattr(exception, "wait", None) or 1)))
    return problem_response(error, instance=path, headers=headers)


def problem_response(error: RollbackHubError, *, instance: str, headers: Mapping[str, str] | None = None) -> HttpResponse:
    """An error as a problem document."""
    content = {
        "type": f"{TYPE_PREFIX}{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": error.message,
        "code": error.code,
        "instance": instance,
        "fields": error.fields,
    }
    content |= {name: value for name, value in error.extra.items() if name not in _OWN_MEMBERS}
    return HttpResponse(json.dumps(content, cls=DjangoJSONEncoder), status=error.status, content_type=PROBLEM_JSON, headers=dict(headers or {}))


def as_error(exception: Exception) -> RollbackHubError:
    """Whatever was raised, as an error of our hierarchy. What is not meant for people's eyes becomes a plain 500."""
    match exception:
        case RollbackHubError():
            return exception
        case exceptions.ValidationError():
            fields = _flat(exception.detail)
            return InvalidInput(" ".join(_sentence(name, text) for name, texts in fields.items() for text in texts), fields=fields)
        case exceptions.APIException():
            return _from_rest_framework(exception)
        case Http404():
            return NotFound("There is nothing at this address, or you may not know of it.")
        case PermissionDenied():
            return Forbidden("You may not do this.")
        case RequestDataTooBig():
            return HttpError("The request is too large.", code="too_large", status=413, title="Too large")
        case SuspiciousOperation():
            return HttpError("The request cannot be read.", code="malformed", status=400, title="Malformed request")
        case OperationalError() | InterfaceError() | PoolTimeout():
            return Unavailable("The database does not answer. Try again in a few seconds.", code="database_unavailable")
        case _:
            return RollbackHubError("An error in RollbackHub itself; it is in the server's log. Nothing of this request was kept.", code="internal_error")


_TITLES: dict[type[exceptions.APIException], tuple[str, str, str | None]] = {
    exceptions.ParseError: ("malformed", "Malformed request", None),
    exceptions.NotAuthenticated: ("not_authenticated", "Not signed in", "Sign in, or send an API token: Authorization: Token <token>."),
    exceptions.AuthenticationFailed: ("authentication_failed", "Not signed in", None),
    exceptions.PermissionDenied: ("forbidden", "Not allowed", None),
    exceptions.NotFound: ("not_found", "Not found", None),
    exceptions.MethodNotAllowed: ("method_not_allowed", "Method not allowed", None),
    exceptions.NotAcceptable: ("not_acceptable", "Not acceptable", "This address cannot answer in any media type of your Accept header."),
    exceptions.UnsupportedMediaType: ("unsupported_media_type", "Unsupported media type", None),
    exceptions.Throttled: ("throttled", "Too many requests", None),
}


_WHAT_TO_DO: dict[type[exceptions.APIException], str] = {
    exceptions.MethodNotAllowed: "The header Allow names those that this address knows.",
    exceptions.UnsupportedMediaType: "Send JSON, with Content-Type: application/json.",
}


def _what_is_taken(media_types: Sequence[str]) -> str:
    """What to send to an address instead."""
    if JSONParser.media_type in media_types:
        return _WHAT_TO_DO[exceptions.UnsupportedMediaType]
    return f"This address takes a file as the body, with Content-Type: {' or '.join(dict.fromkeys(media_types))}."


def _from_rest_framework(exception: exceptions.APIException) -> RollbackHubError:
    for kind, (code, title, sentence) in _TITLES.items():
        if isinstance(exception, kind):
            own_code = exception.get_codes()
            if isinstance(exception, exceptions.MethodNotAllowed | exceptions.UnsupportedMediaType):
                sentence = f"{exception.detail} {_WHAT_TO_DO[kind]}"
            code = own_code if isinstance(exception, exceptions.AuthenticationFailed) and isinstance(own_code, str) else code
            return HttpError(sentence or str(exception.detail), code=code, status=exception.status_code, title=title)
    if exception.status_code >= status.HTTP_500_INTERNAL_SERVER_ERROR:
        return RollbackHubError("An error in RollbackHub itself; it is in the server's log.", code="internal_error")
    return HttpError(str(exception.detail), code="refused", status=exception.status_code, title="Refused")


def _flat(detail: object, prefix: str = "") -> dict[str, list[str]]:
    """DRF's nested errors with one dotted name each: candidates.0.weight."""
    if isinstance(detail, dict):
        parts = list(detail.items())
    elif isinstance(detail, list) and any(isinstance(item, dict | list) for item in detail):
        parts = list(enumerate(detail))
    else:
        return {prefix or "body": [str(item) for item in detail] if isinstance(detail, list) else [str(detail)]}
    found: dict[str, list[str]] = {}
    for key, value in parts:
        if not value:
            continue
        name = prefix if key == "non_field_errors" else f"{prefix}.{key}" if prefix else str(key)
        for flat, texts in _flat(value, name).items():
            found.setdefault(flat, []).extend(texts)
    return found


def _sentence(name: str, text: str) -> str:
    return text if name == "body" else f"{name}: {text}"
