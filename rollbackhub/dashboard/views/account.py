"""A person's own account."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from rollbackhub.accounts.domain.profile import change_timezone
from rollbackhub.accounts.enums import Role
from rollbackhub.dashboard.access import actor, person, signed_in
from rollbackhub.dashboard.forms import AccountForm


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def account(request: HttpRequest) -> HttpResponse:
    """Name, roles, time zone, password. Open to people without a role too: it says that they have none."""
    user = person(request)
    form = AccountForm(request.POST or None, initial={"timezone": user.timezone})
    if request.method == "POST" and form.is_valid():
        change_timezone(user=user, timezone=form.cleaned_data["timezone"], actor=actor(request))
        messages.success(request, "Saved.")
        return redirect("dashboard:account")
    roles = [role.label for role in Role if role in user.roles]
    return render(request, "dashboard/account.html", {"form": form, "roles": roles})
