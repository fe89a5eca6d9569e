"""What a person was told, put away by them."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

from rollbackhub.accounts.domain.notices import mark_read
from rollbackhub.accounts.rules import Capability
from rollbackhub.dashboard.access import person, requires


@require_POST
@requires(Capability.VIEW)
def put_away(request: HttpRequest) -> HttpResponse:
    """Put one notice away (`notice`), or all of one's own; then back to the page that it was done on."""
    chosen = request.POST.get("notice", "")
    if not chosen:
        mark_read(user=person(request))
    elif chosen.isascii() and chosen.isdigit() and int(chosen) < 2**63:
        mark_read(user=person(request), notice_ids=[int(chosen)])
    return redirect(_page_before(request))


def _page_before(request: HttpRequest) -> str:
    """The page of ours that sent the form; the overview when the browser does not say."""
    before = request.headers.get("Referer", "")
    ours = url_has_allowed_host_and_scheme(before, allowed_hosts={request.get_host()}, require_https=request.is_secure())
    return before if ours else "/"
