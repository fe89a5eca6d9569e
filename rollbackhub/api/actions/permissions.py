"""Who may change and close actions: their owner, or who may drill. The domain looks at the action; a token needs the scope for drills."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rest_framework.request import Request

from rollbackhub.accounts.enums import Scope
from rollbackhub.api.permissions import MayView, token_of
from rollbackhub.common.errors import Forbidden

if TYPE_CHECKING:
    from rest_framework.views import APIView


class MayAct(MayView):
    """Any role: an action may be anybody's."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        """As MayView; raises Forbidden for a token that may only read."""
        token = token_of(request)
        if not super().has_permission(request, view):
            return False
        if token is not None and Scope.DRILL not in token.scopes:
            raise Forbidden(f"To change actions this token needs the scope {Scope.DRILL.value}; it has {', '.join(token.scopes) or 'none'}.")
        return True
