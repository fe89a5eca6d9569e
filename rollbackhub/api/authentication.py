"""API tokens."""

from __future__ import annotations

from knox.auth import TokenAuthentication


class ApiTokenAuthentication(TokenAuthentication):
    """A person's token, sent as `Authorization: Token …`."""
