"""How people come in: accounts are made by an administrator, never by signing up."""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from django.http import HttpRequest

from rollbackhub.accounts.domain.sign_in import record_failed_sign_in


class ClosedSignupAdapter(DefaultAccountAdapter):
    """Nobody signs up by themselves; who fails to sign in is on the audit log."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Always closed."""
        return False

    def authentication_failed(self, request: HttpRequest, **credentials: Any) -> None:
        """allauth asks here after a wrong name or password (not when its rate limit refused even to look)."""
        record_failed_sign_in(login=str(credentials.get("username") or credentials.get("email") or ""), address=self.get_client_ip(request))
