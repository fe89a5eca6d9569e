"""The viewer's time zone, and errors as pages."""

from __future__ import annotations

import zoneinfo
from collections.abc import Callable
from functools import lru_cache
from urllib.parse import unquote

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils import timezone

from rollbackhub.common.errors import InvalidInput, MethodNotAllowed, RollbackHubError
from rollbackhub.dashboard.errors import error_response

TIME_ZONE_COOKIE = "hub_tz"
NOT_PAGES = ("/api/", "/v3/", "/healthz", "/static/")
"""Paths that answer machines: they have error formats of their own and no viewer."""


class TimeZoneMiddleware:
    """Instants are shown in the zone of the person's profile; without one (UTC) in that of the browser."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Activate the zone for this request."""
        if request.path.startswith(NOT_PAGES):
            return self.get_response(request)
        profile = getattr(request.user, "timezone", "UTC") if request.user.is_authenticated else "UTC"
        name = profile if profile != "UTC" else unquote(request.COOKIES.get(TIME_ZONE_COOKIE, "UTC"))
        with timezone.override(_zone(name)):
            return self.get_response(request)


# The list of zones is read from disk, which takes 15 ms; bounded, because a cookie can hold anything.
@lru_cache(maxsize=1024)
def _zone(name: str) -> zoneinfo.ZoneInfo:
    """The zone; UTC for a name that is none (a cookie can hold anything)."""
    return zoneinfo.ZoneInfo(name if name in zoneinfo.available_timezones() else "UTC")


class ErrorPageMiddleware:
    """A RollbackHubError of a page becomes a page, or for htmx a notice, with its code and its sentence."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Nothing, unless a view raises, or the address asks for what no text in the database can hold."""
        if "%00" in request.META.get("QUERY_STRING", "") and not request.path.startswith(NOT_PAGES):
            return error_response(request, InvalidInput("The address holds a character that no text has (NUL). Take it out.", code="nul_in_address"))
        response = self.get_response(request)
        if response.status_code == 405 and request.method == "GET" and not request.path.startswith(NOT_PAGES):
            # A form that was refused, and its answer loaded again from the address line.
            page = error_response(request, MethodNotAllowed("This address takes forms only. Go back to the page where you filled one in."))
            page["Allow"] = response["Allow"]
            return page
        return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """The page for an error that a person may see; every other exception goes on."""
        if not isinstance(exception, RollbackHubError) or request.path.startswith(NOT_PAGES):
            return None
        return error_response(request, exception)
