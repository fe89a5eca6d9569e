"""What a request asks for."""

from __future__ import annotations

from django.http import HttpRequest


def is_htmx(request: HttpRequest) -> bool:
    """Whether htmx asks for a part of a page."""
    return request.headers.get("HX-Request") == "true"


def typed(request: HttpRequest, name: str = "reason") -> str:
    """What was typed into a field, without NUL, which no database takes; empty when nothing was sent. Whether it is enough the domain says."""
    return request.POST.get(name, "").replace("\x00", "")
