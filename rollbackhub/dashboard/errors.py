"""Every error page from one template: what is wrong, what to do, the code, and where to go on."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.template.loader import render_to_string

from rollbackhub.common.errors import Forbidden, InvalidInput, NotFound, RollbackHubError
from rollbackhub.dashboard.requests import is_htmx


def error_response(request: HttpRequest, error: RollbackHubError) -> HttpResponse:
    """The error as a page, or as a notice that htmx puts above the content."""
    context = {"error": error, "url": _local(error.extra.get("url"))}
    if is_htmx(request):
        response = render(request, "errors/notice.html", context, status=error.status)
        response["HX-Retarget"], response["HX-Reswap"] = "#notices", "beforeend"
        return response
    return render(request, "errors/page.html", context, status=error.status)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """400."""
    return _answer(request, InvalidInput("The request could not be understood. Go back, reload the page and try again.", code="bad_request"), status=400)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """403."""
    return _answer(request, Forbidden("You may not do this. An administrator can grant you a role that may."))


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """404."""
    return _answer(request, NotFound("There is no page at this address. It may be mistyped, or the thing is gone."))


def server_error(request: HttpRequest) -> HttpResponse:
    """500. The page touches no database: that may be what is broken."""
    error = RollbackHubError("Something broke on our side; it is on the server's log. Try again; if it stays, tell an administrator the time and this address.")
    if request.path.startswith("/api/"):
        return _answer(request, error)
    return HttpResponse(render_to_string("errors/page.html", {"error": error, "alone": True}), status=500)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """403 of a form whose token does not fit."""
    return _answer(
        request,
        Forbidden(
            "This form was opened too long ago or in another session. Go back: what you wrote is still there. Copy it, reload the page, and send it again.",
            code="csrf_failed",
        ),
    )


def _answer(request: HttpRequest, error: RollbackHubError, *, status: int | None = None) -> HttpResponse:
    """A page for people; problem details (RFC 9457) for the API."""
    if request.path.startswith("/api/"):
        body = {"type": "about:blank", "title": error.title, "status": status or error.status, "detail": error.message, "code": error.code}
        return JsonResponse(body, status=status or error.status, content_type="application/problem+json")
    response = error_response(request, error)
    response.status_code = status or error.status
    return response


def _local(url: object) -> str:
    """An address of our own to go to; nothing else is linked."""
    return url if isinstance(url, str) and url.startswith("/") and not url.startswith("//") else ""
