"""The product's own OpenAPI description, used to check every answer that a test gets."""

from __future__ import annotations

import copy
import datetime as dt
import json
import re
from functools import cache
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from drf_spectacular.generators import SchemaGenerator
from jsonschema import Draft202012Validator, FormatChecker
from rest_framework.test import APIClient

_FORMATS = FormatChecker()


@_FORMATS.checks("date-time")
def _is_utc_instant(value: object) -> bool:
    """RFC 3339 in UTC, as the API promises."""
    return not isinstance(value, str) or bool(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", value) and dt.datetime.fromisoformat(value))


@_FORMATS.checks("uuid")
def _is_uuid(value: object) -> bool:
    return not isinstance(value, str) or str(UUID(value)) == value


@_FORMATS.checks("uri")
def _is_absolute(value: object) -> bool:
    return not isinstance(value, str) or bool(urlsplit(value).scheme and urlsplit(value).netloc)


@cache
def description() -> dict[str, Any]:
    """The OpenAPI description as it is served."""
    found: dict[str, Any] = json.loads(json.dumps(SchemaGenerator().get_schema(request=None, public=True)))
    return found


@cache
def _strict() -> dict[str, Any]:
    """The same, with members that are not described forbidden (but in problems, which may bring more)."""
    strict = copy.deepcopy(description())
    for name, schema in strict["components"]["schemas"].items():
        if schema.get("type") == "object" and name != "Problem":
            schema["additionalProperties"] = False
    return strict


@cache
def _paths() -> list[tuple[re.Pattern[str], str]]:
    # Fixed words before variable ones, as in urls.py.
    templates = sorted(description()["paths"], key=lambda template: template.count("{"))
    return [(re.compile(re.sub(r"\{\w+\}", "[^/]+", template) + "$"), template) for template in templates]


def template_of(path: str) -> str | None:
    """The described path that this path belongs to."""
    return next((template for pattern, template in _paths() if pattern.match(path)), None)


def check(method: str, path: str, response: Any) -> None:
    """Fail unless the answer is what the description says of this operation, status and media type included."""
    if not path.startswith("/api/v1/"):
        return
    template = template_of(path)
    operation = description()["paths"].get(template or "", {}).get("get" if method == "HEAD" else method.lower())
    media_type = response.headers.get("Content-Type", "").split(";")[0]
    if operation is None:
        assert response.status_code in (401, 403, 404, 405, 413, 429), (method, path, response.status_code)
        described: dict[str, Any] = {"content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}}
    else:
        described = operation["responses"].get(str(response.status_code)) or operation["responses"]["default"]
        assert str(response.status_code) in operation["responses"] or response.status_code >= 400, (method, path, response.status_code)
    content = described.get("content")
    if content is None or method == "HEAD":
        assert response.content == b""
        return
    assert media_type in content, (method, path, response.status_code, media_type, response.content[:300])
    schema = content[media_type]["schema"]
    body = response.json() if media_type.endswith("json") else response.content.decode()
    root = {**schema, "components": _strict()["components"]}
    errors = [f"{'/'.join(map(str, error.absolute_path))}: {error.message}" for error in Draft202012Validator(root, format_checker=_FORMATS).iter_errors(body)]
    assert not errors, (method, path, errors)
    if media_type == "application/problem+json":
        assert body["status"] == response.status_code
        assert body["type"].endswith(f":{body['code']}")


class CheckedClient(APIClient):
    """A client that checks every answer against the description."""

    def request(self, **kwargs: Any) -> Any:
        """As usual, then checked."""
        response = super().request(**kwargs)
        check(str(response.wsgi_request.method), response.wsgi_request.path, response)
        return response
