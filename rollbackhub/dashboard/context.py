"""What every page gets: what runs now, and who may go where."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from rollbackhub.accounts.rules import Capability, may
from rollbackhub.common import clock
from rollbackhub.dashboard.bar import Bar, bar_for


def every_page(request: HttpRequest) -> dict[str, Any]:
    """`bar` (lazy: templates that do not show it cost no query), `can` by capability, `now`."""
    # A request that is refused before its person is known (a wrong host) still gets a page.
    if not hasattr(request, "user") or not request.user.is_authenticated:
        return {"can": {}, "now": clock.now(), "bar": Bar()}
    can = SimpleLazyObject(partial(_capabilities, request))
    return {"can": can, "now": clock.now(), "bar": SimpleLazyObject(partial(bar_for, request.user))}


def _capabilities(request: HttpRequest) -> dict[str, bool]:
    return {capability.value: may(user=request.user, capability=capability) for capability in Capability}
