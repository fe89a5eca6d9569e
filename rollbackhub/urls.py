"""Every address of RollbackHub."""

from __future__ import annotations

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path
from django.views.generic import RedirectView, TemplateView

from drills.views import calendar_feed
from rollbackhub.local.health.views import healthz

urlpatterns: list[URLPattern | URLResolver] = [
    path("healthz", healthz, name="healthz"),
    # Public by its secret: calendars cannot sign in.
    path("drills/calendar/<str:secret>.ics", calendar_feed, name="calendar-feed"),
    path("admin/", admin.site.urls),
    # Nothing here sends e-mail: what would need it says what to do instead.
    path("accounts/password/reset/", TemplateView.as_view(template_name="account/password_reset.html")),
    path("accounts/email/", RedirectView.as_view(pattern_name="dashboard:account")),
    path("accounts/", include("allauth.urls")),
    path("api/", include("rollbackhub.api.urls")),
    path("", include("rollbackhub.dashboard.urls")),
]

handler400 = "rollbackhub.dashboard.errors.bad_request"
handler403 = "rollbackhub.dashboard.errors.permission_denied"
handler404 = "rollbackhub.dashboard.errors.not_found"
handler500 = "rollbackhub.dashboard.errors.server_error"
