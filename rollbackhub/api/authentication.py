"""API tokens."""

from __future__ import annotations

import logging
from hmac import compare_digest
from typing import Any

from knox.auth import TokenAuthentication
from knox.crypto import hash_token
from knox.settings import CONSTANTS
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from rollbackhub.accounts.domain.transitions import note_token_use
from rollbackhub.accounts.models import ApiToken, User
from rollbackhub.common.clock import now

logger = logging.getLogger(__name__)

SCHEMES = (b"token", b"bearer")
_MAX_LENGTH = 256


class ApiTokenAuthentication(TokenAuthentication):
    """A person's token, sent as `Authorization: Token …` (or `Bearer …`).

    Unlike knox's own, it deletes nothing: an expired token is refused and stays visible to its person until they remove it.
    """

    def authenticate(self, request: Request) -> tuple[User, ApiToken] | None:
        """The person and the token; None when the request brings none. Raises AuthenticationFailed."""
        header = request.META.get("HTTP_AUTHORIZATION", "")
        parts = header.encode("latin-1", errors="replace").split() if isinstance(header, str) else header.split()
        if not parts or parts[0].lower() not in SCHEMES:
            return None
        if len(parts) != 2 or len(parts[1]) > _MAX_LENGTH or not parts[1].isalnum():
            raise AuthenticationFailed("The Authorization header is not `Token` and one token.", code="invalid_token")
        return self.authenticate_credentials(parts[1])

    def authenticate_credentials(self, token: bytes) -> tuple[User, ApiToken]:
        """The owner of this token. One query, and a write once a minute."""
        text = token.decode("ascii")
        digest = hash_token(text)
        for found in ApiToken.objects.select_related("user").filter(token_key=text[: CONSTANTS.TOKEN_KEY_LENGTH]):
            if not compare_digest(digest, found.digest):
                continue
            if found.expiry is not None and found.expiry <= now():
                raise AuthenticationFailed("This token has expired. Make a new one.", code="token_expired")
            if not found.user.is_active:
                raise AuthenticationFailed("The person of this token is not active.", code="person_not_active")
            note_token_use(token=found)
            return found.user, found
        raise AuthenticationFailed("There is no such token, or it was revoked.", code="invalid_token")

    def authenticate_header(self, request: Any) -> str:
        """What a 401 asks for."""
        return 'Token realm="RollbackHub"'
