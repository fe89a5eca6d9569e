"""Who came in, who went, and who tried: on the audit log, by the signals of django-allauth."""

from __future__ import annotations

from typing import Any

from allauth.account import signals
from django.db import transaction
from django.http import HttpRequest

from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.accounts.models import User
from rollbackhub.audit.actors import system_actor
from rollbackhub.audit.domain.record import record


def record_failed_sign_in(*, login: str, address: str) -> None:
    """Record a failed sign-in. Of an account that exists its id; of any other name nothing, for people type passwords into the wrong field."""
    user = User.objects.filter(username=login).first() or (User.objects.filter(email__iexact=login).first() if login else None)
    with transaction.atomic():
        record(
            event="accounts.sign_in_failed",
            actor=system_actor("sign-in"),
            subject_type="user",
            subject_id=user.pk if user else "unknown",
            data={"username": user.username if user else None, "address": address},
        )


def connect_sign_in_signals() -> None:
    """Once, when the app is ready."""
    signals.user_logged_in.connect(_signed_in, dispatch_uid="accounts.signed_in")
    signals.user_logged_out.connect(_signed_out, dispatch_uid="accounts.signed_out")
    signals.password_changed.connect(_password_changed, dispatch_uid="accounts.password_changed")
    signals.password_reset.connect(_password_changed, dispatch_uid="accounts.password_reset")
    signals.password_set.connect(_password_changed, dispatch_uid="accounts.password_set")


def _signed_in(*, request: HttpRequest, user: User, **_: Any) -> None:
    _record("accounts.signed_in", user, request)


def _signed_out(*, request: HttpRequest, user: User | None, **_: Any) -> None:
    if user is not None:
        _record("accounts.signed_out", user, request)


def _password_changed(*, request: HttpRequest, user: User, **_: Any) -> None:
    _record("accounts.password_changed", user, request)


def _record(event: str, user: User, request: HttpRequest) -> None:
    with transaction.atomic():
        record(
            event=event,
            actor=actor_of(user),
            subject_type="user",
            subject_id=user.pk,
            data={"username": user.username, "address": request.META.get("REMOTE_ADDR", "")},
        )
