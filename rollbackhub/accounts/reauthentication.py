"""When the person in this session last entered their password: approvals ask for it."""

from __future__ import annotations

import datetime as dt

from allauth.account.authentication import get_authentication_records
from django.http import HttpRequest


def password_entered_at(request: HttpRequest) -> dt.datetime | None:
    """The last time the password was entered in this session, at sign-in or since; None when it was not (a token, another way in)."""
    if not request.user.is_authenticated:
        return None
    times = [record["at"] for record in get_authentication_records(request, request.user) if record.get("method") == "password"]
    return dt.datetime.fromtimestamp(max(times), tz=dt.UTC) if times else None
