"""How the OpenAPI description is made true: problem documents for every error, the capability that each operation needs, the headers that it knows."""

from __future__ import annotations

from functools import cache
from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter, inline_serializer
from rest_framework import serializers

from rollbackhub.api.errors import PROBLEM_JSON
from rollbackhub.api.idempotency import HEADER, REPLAYED
from rollbackhub.api.permissions import permissions_of

CAPABILITY = "x-rollbackhub-capability"
SIGNED_IN = "signed_in"

IDEMPOTENCY_KEY = OpenApiParameter(
    HEADER,
    str,
    OpenApiParameter.HEADER,
    required=False,
    pattern=r'^"?[A-Za-z0-9._:@/+=-]{1,100}"?$',
    description="The same request with the same key acts once; the answer of the first is given again for a week.",
)

IF_NONE_MATCH = OpenApiParameter("If-None-Match", str, OpenApiParameter.HEADER, required=False, description="The ETag of the answer that you have")

PAGING = [
    OpenApiParameter("cursor", str, description="From `next` or `previous`"),
    OpenApiParameter("page_size", {"type": "integer", "minimum": 1, "maximum": 200, "default": 50}),
]

PROBLEM: dict[str, Any] = {
    "type": "object",
    "description": "A problem document (RFC 9457). Some codes bring further members, e.g. already_running: execution_id, url, api_url.",
    "properties": {
        "type": {"type": "string", "pattern": "^urn:rollbackhub:error:[a-z_]+$"},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string", "description": "A sentence that says what is wrong and what to do"},
        "code": {"type": "string", "pattern": "^[a-z_]+$"},
        "instance": {"type": "string", "description": "The path that was asked"},
        "fields": {"type": "object", "additionalProperties": {"type": "array", "items": {"type": "string"}}, "description": "Sentences per field"},
    },
    "required": ["type", "title", "status", "detail", "code", "instance", "fields"],
}


class CapabilitySchema(AutoSchema):
    """drf-spectacular's schema, with what our endpoints have in common."""

    def get_extensions(self) -> dict[str, Any]:
        """The capability that accounts.rules is asked for."""
        names = [getattr(permission, "capability", None) for permission in permissions_of(type(self.view), self.method)]
        return {**super().get_extensions(), CAPABILITY: str(names[0]) if names and names[0] else SIGNED_IN}

    def get_filter_backends(self) -> list[Any]:
        """None: our views name their query parameters as a serializer."""
        return []

    def get_override_parameters(self) -> list[Any]:
        """The query parameters of a GET, and the Idempotency-Key of a POST."""
        found = list(super().get_override_parameters())
        filters = getattr(self.view, "filters", None)
        if self.method == "GET" and filters is not None:
            found.append(filters)
        if self.method == "GET" and getattr(self.view, "pagination_class", None) is not None:
            found += PAGING
        if self.method == "GET" and getattr(self.view, "conditional", False):
            found.append(IF_NONE_MATCH)
        if self.method == "POST" and getattr(self.view, "acts", True):
            found.append(IDEMPOTENCY_KEY)
        return found


class ApiTokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """`Authorization: Token …`"""

    target_class = "rollbackhub.api.authentication.ApiTokenAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        """As OpenAPI names it."""
        return {"type": "http", "scheme": "bearer", "description": "An API token: `Authorization: Token <token>` (or `Bearer <token>`)."}


def add_problems(result: dict[str, Any], generator: Any, request: Any, public: Any) -> dict[str, Any]:
    """Postprocessing hook: every operation may answer with a problem document."""
    result.setdefault("components", {}).setdefault("schemas", {})["Problem"] = PROBLEM
    for operations in result["paths"].values():
        for operation in operations.values():
            operation["responses"]["default"] = {
                "description": "Any error",
                "content": {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}},
            }
            if any(parameter["name"] == IF_NONE_MATCH.name for parameter in operation.get("parameters", [])):
                operation["responses"]["304"] = {"description": "Nothing has changed since the ETag of your If-None-Match"}
            if any(parameter["name"] == HEADER for parameter in operation.get("parameters", [])):
                for status, answer in operation["responses"].items():
                    if status != "default":
                        answer.setdefault("headers", {})[REPLAYED] = {"schema": {"type": "string", "enum": ["true"]}, "description": "A kept answer"}
    return result


@cache
def page_of(serializer: type[serializers.BaseSerializer[Any]], *, name: str) -> Any:
    """The schema of a cursor page."""
    return inline_serializer(
        f"{name}Page",
        {
            "next": serializers.URLField(allow_null=True, help_text="The following page; null on the last"),
            "previous": serializers.URLField(allow_null=True),
            "results": serializer(many=True),
        },
    )
