"""Who may call what. Each endpoint names its permission; one that forgets is closed."""

from __future__ import annotations

from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView


class NothingByDefault(BasePermission):
    """Refuses everybody."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Never."""
        return False
