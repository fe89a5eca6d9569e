"""The admin site: for administrators only, by the one sign-in, with a Content-Security-Policy of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from csp.constants import SELF, UNSAFE_EVAL, UNSAFE_INLINE
from csp.decorators import csp_replace
from django.conf import settings
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseRedirect
from django.shortcuts import resolve_url
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from unfold.sites import UnfoldAdminSite

from rollbackhub.accounts.rules import Capability, may

# django-unfold uses Alpine.js, which evaluates the expressions in its attributes, and writes its colours into the page. Still no inline
# script and no other host. Replaced, not added to: browsers ignore 'unsafe-inline' beside a hash.
ADMIN_POLICY = {"script-src": [SELF, UNSAFE_EVAL], "style-src": [SELF, UNSAFE_INLINE]}


class SettingsSite(UnfoldAdminSite):
    """RollbackHub's settings."""

    def has_permission(self, request: HttpRequest) -> bool:
        """Who has the role of an administrator; Django's is_staff alone is not enough."""
        return request.user.is_authenticated and request.user.is_staff and may(user=request.user, capability=Capability.ADMINISTER)

    def admin_view(self, view: Callable[..., Any], cacheable: bool = False) -> Callable[..., Any]:
        """Every page of the admin, with its looser policy."""
        return csp_replace(ADMIN_POLICY)(super().admin_view(view, cacheable))

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponseRedirect:
        """There is one sign-in (with its rate limits and its audit): go there. Raises PermissionDenied for who is signed in and no administrator."""
        target = request.GET.get(REDIRECT_FIELD_NAME) or reverse("admin:index", current_app=self.name)
        if not url_has_allowed_host_and_scheme(target, allowed_hosts={request.get_host()}, require_https=request.is_secure()):
            target = reverse("admin:index", current_app=self.name)
        if not request.user.is_authenticated:
            return redirect_to_login(target, resolve_url(settings.LOGIN_URL))
        if not self.has_permission(request):
            raise PermissionDenied("Settings are for administrators. An administrator can grant you the role.")
        return HttpResponseRedirect(target)

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponseRedirect:
        """One's own password is changed where everybody does, with the rate limit there."""
        return HttpResponseRedirect(reverse("account_change_password"))
