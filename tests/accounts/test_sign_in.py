"""Signing in: recorded, limited, without the broker, and closed to who has no account."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.urls import reverse

from rollbackhub.audit.models import AuditEvent
from tests.factories.accounts import PASSWORD
from tests.factories.fixtures import Cast


def sign_in(client: Client, login: str, password: str = PASSWORD, **headers: Any) -> Any:
    """Send the sign-in form."""
    return client.post(reverse("account_login"), {"login": login, "password": password}, **headers)


def events() -> list[tuple[str, str, str]]:
    """Event, actor, subject."""
    return list(AuditEvent.objects.order_by("pk").values_list("event", "actor_label", "subject_id"))


@pytest.mark.parametrize("login", ["lead", "lead@example.org", "LEAD@example.org"])
def test_sign_in_by_name_or_email_is_recorded(cast: Cast, client: Client, login: str) -> None:
    assert sign_in(client, login).status_code == 302
    assert client.session["_auth_user_id"] == str(cast.lead.pk)
    assert events() == [("accounts.signed_in", "Lee Lead", str(cast.lead.pk))]


def test_sign_out_is_recorded(cast: Cast, client: Client) -> None:
    sign_in(client, "lead")
    client.post(reverse("account_logout"))
    assert [event for event, _, _ in events()] == ["accounts.signed_in", "accounts.signed_out"]


@pytest.mark.parametrize("login", ["lead", "lead@example.org"])
def test_sign_in_with_wrong_password_is_recorded_with_the_account(cast: Cast, client: Client, login: str) -> None:
    assert sign_in(client, login, "wrong").status_code == 200
    assert "_auth_user_id" not in client.session
    assert events() == [("accounts.sign_in_failed", "sign-in", str(cast.lead.pk))]
    assert AuditEvent.objects.get().data == {"username": "lead", "address": "127.0.0.1"}


def test_sign_in_with_unknown_name_records_nothing_that_was_typed(cast: Cast, client: Client) -> None:
    sign_in(client, "my-own-secret-passphrase", "wrong")
    found = AuditEvent.objects.get()
    assert (found.event, found.subject_id, found.data) == ("accounts.sign_in_failed", "unknown", {"username": None, "address": "127.0.0.1"})


def test_sign_in_of_inactive_person_is_refused(cast: Cast, client: Client) -> None:
    cast.lead.is_active = False
    cast.lead.save()
    sign_in(client, "lead")
    assert "_auth_user_id" not in client.session


def test_sign_in_is_limited_per_account_for_all_processes(cast: Cast, client: Client) -> None:
    for _ in range(5):
        sign_in(client, "lead", "wrong")
    # Another address and another process (nothing is kept in memory): the account is closed for a while, even with the right password.
    answer = sign_in(Client(REMOTE_ADDR="192.0.2.7"), "lead")
    assert "Too many failed login attempts" in answer.content.decode()
    assert sign_in(Client(REMOTE_ADDR="192.0.2.7"), "admin").status_code == 302
    assert [event for event, _, _ in events()].count("accounts.sign_in_failed") == 5
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM rollbackhub_cache")
        assert cursor.fetchone()[0] > 0


def test_sign_in_is_limited_per_address(cast: Cast, client: Client) -> None:
    for number in range(10):
        sign_in(client, f"guess{number}", "wrong")
    assert "Too many failed login attempts" in sign_in(client, "lead").content.decode()
    assert sign_in(Client(REMOTE_ADDR="192.0.2.7"), "lead").status_code == 302


def test_sign_in_needs_no_broker(cast: Cast, client: Client, settings: Any) -> None:
    settings.CELERY_BROKER_URL = "redis+socket:///nowhere.sock"
    assert settings.CACHES["default"]["BACKEND"] == "django.core.cache.backends.db.DatabaseCache"
    cache.set("probe", 1)
    assert cache.get("probe") == 1
    assert sign_in(client, "lead").status_code == 302


def test_sign_up_is_closed(db: None, client: Client) -> None:
    client.post(reverse("account_signup"), {"username": "new", "email": "new@example.org", "password1": PASSWORD, "password2": PASSWORD})
    assert "_auth_user_id" not in client.session
    assert AuditEvent.objects.count() == 0


def test_password_change_is_recorded_without_the_password(cast: Cast, client: Client) -> None:
    sign_in(client, "lead")
    new = "another-horse-entirely"
    client.post(reverse("account_change_password"), {"oldpassword": PASSWORD, "password1": new, "password2": new})
    cast.lead.refresh_from_db()
    assert cast.lead.check_password(new)
    assert "accounts.password_changed" in [event for event, _, _ in events()]
    assert new not in str(list(AuditEvent.objects.values()))
