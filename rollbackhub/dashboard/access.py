"""Who may open a page. Every view names its capability; a test walks all addresses and refuses a view that names none."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any
from urllib.parse import urlencode

from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import resolve_url
from django_htmx.http import HttpResponseClientRedirect

from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.accounts.models import User
from rollbackhub.accounts.rules import Capability, require
from rollbackhub.audit.actors import Actor
from rollbackhub.dashboard.requests import is_htmx

View = Callable[..., HttpResponseBase]


def requires(capability: Capability) -> Callable[[View], View]:
    """The view is for people with this capability. Others see why not (403); nobody signed in goes to the sign-in page."""

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if not request.user.is_authenticated:
                return to_sign_in(request)
            require(user=request.user, capability=capability)
            return view(request, *args, **kwargs)

        guarded.capability = capability  # type: ignore[attr-defined]
        return guarded

    return decorate


def signed_in(view: View) -> View:
    """The view is for everybody who is signed in, with or without a role: their own account."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not request.user.is_authenticated:
            return to_sign_in(request)
        return view(request, *args, **kwargs)

    guarded.capability = None  # type: ignore[attr-defined]
    return guarded


def to_sign_in(request: HttpRequest) -> HttpResponse:
    """To the sign-in page and back. A part of a page that htmx asks for takes the whole page there."""
    if is_htmx(request):
        back = request.headers.get("HX-Current-URL", "/")
        path = "/" + back.split("/", 3)[3] if back.count("/") >= 3 else "/"
        return HttpResponseClientRedirect(f"{resolve_url('account_login')}?{urlencode({'next': path})}")
    return redirect_to_login(request.get_full_path())


def person(request: HttpRequest) -> User:
    """The signed-in person; views behind `requires` have one."""
    if not isinstance(request.user, User):
        raise TypeError("a view without `requires` asked for its person")
    return request.user


def actor(request: HttpRequest) -> Actor:
    """The signed-in person as the author of an act."""
    return actor_of(person(request))
