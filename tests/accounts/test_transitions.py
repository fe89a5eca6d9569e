"""Rights change only here, and each change is on the audit log."""

from __future__ import annotations

import datetime as dt
import threading
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.db import IntegrityError, connection, transaction
from knox.crypto import hash_token

from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.accounts.domain.transitions import (
    change_email,
    create_person,
    grant_role,
    issue_token,
    note_token_use,
    revoke_role,
    revoke_token,
    set_active,
)
from rollbackhub.accounts.enums import Role
from rollbackhub.accounts.models import ApiToken, User
from rollbackhub.audit.actors import system_actor
from rollbackhub.audit.models import AuditEvent
from rollbackhub.common.clock import now
from rollbackhub.common.errors import Conflict, InvalidInput
from tests.databases import FreshDatabase
from tests.factories.accounts import PASSWORD, ApiTokenFactory, UserFactory
from tests.factories.fixtures import Cast

ACTOR = system_actor("test")


def events() -> list[tuple[str, str, dict[str, Any]]]:
    """What is on the audit log: event, subject, data."""
    return list(AuditEvent.objects.order_by("pk").values_list("event", "subject_id", "data"))


def test_create_person_can_sign_in_with_roles_and_is_recorded_without_password(db: None) -> None:
    person = create_person(username="ana", password=PASSWORD, email="Ana@EXAMPLE.org", roles=[Role.ON_CALL, Role.ADMIN], actor=ACTOR)
    found = User.objects.get(username="ana")
    assert found.check_password(PASSWORD)
    assert (found.email, found.roles, found.is_staff) == ("Ana@example.org", frozenset({"on_call", "admin"}), True)
    subject = str(person.pk)
    assert events() == [
        ("accounts.person_created", subject, {"username": "ana"}),
        ("accounts.role_granted", subject, {"username": "ana", "role": "on_call"}),
        ("accounts.role_granted", subject, {"username": "ana", "role": "admin"}),
    ]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"username": "oncall"}, "username"),
        ({"username": "no spaces"}, "username"),
        ({"username": ""}, "username"),
        ({"email": "LEAD@example.org"}, "__all__"),
        ({"email": "nothing"}, "email"),
        ({"timezone": "Mars/Olympus"}, "timezone"),
        ({"password": "short"}, "password"),
        ({"password": "password12345"}, "password"),
        ({"password": "123456789012345"}, "password"),
    ],
)
def test_create_person_that_cannot_be_is_refused_per_field(cast: Cast, changes: dict[str, str], field: str) -> None:
    values: dict[str, Any] = {"username": "new", "password": PASSWORD, "email": "new@example.org", "actor": ACTOR}
    with pytest.raises(InvalidInput) as refusal:
        create_person(**(values | changes))
    assert field in refusal.value.fields
    assert User.objects.count() == 6
    assert events() == []


def test_email_is_unique_whatever_its_case_and_may_be_empty_twice(db: None) -> None:
    UserFactory(email="a@example.org")
    with pytest.raises(IntegrityError, match="user_email_once"), transaction.atomic():
        UserFactory(email="A@Example.org")
    UserFactory(email="")
    UserFactory(email="")


def test_grant_role_is_recorded_once_and_counts_at_once(cast: Cast) -> None:
    assert not cast.stranger.has_role(Role.AUDITOR)
    assert grant_role(user=cast.stranger, role="auditor", actor=actor_of(cast.admin))
    assert not grant_role(user=cast.stranger, role=Role.AUDITOR, actor=ACTOR)
    assert cast.stranger.has_role(Role.AUDITOR)
    found = AuditEvent.objects.get()
    assert (found.event, found.actor_label, found.actor_user_id) == ("accounts.role_granted", "Adam Key", cast.admin.pk)


def test_grant_and_revoke_admin_moves_the_flags_of_djangos_admin(cast: Cast) -> None:
    grant_role(user=cast.lead, role=Role.ADMIN, actor=ACTOR)
    cast.lead.refresh_from_db()
    assert (cast.lead.is_staff, cast.lead.is_superuser) == (True, True)
    assert revoke_role(user=cast.lead, role=Role.ADMIN, actor=ACTOR)
    cast.lead.refresh_from_db()
    assert (cast.lead.is_staff, cast.lead.is_superuser, cast.lead.has_role(Role.ADMIN)) == (False, False, False)


def test_revoke_role_that_nobody_has_is_no_event(cast: Cast) -> None:
    assert not revoke_role(user=cast.stranger, role=Role.AUDITOR, actor=ACTOR)
    assert not revoke_role(user=cast.stranger, role=Role.ADMIN, actor=ACTOR)
    assert events() == []


def test_role_that_does_not_exist_is_refused(cast: Cast) -> None:
    for change in (grant_role, revoke_role):
        with pytest.raises(InvalidInput, match="There is no role emperor"):
            change(user=cast.lead, role="emperor", actor=ACTOR)


def test_last_administrator_can_neither_lose_the_role_nor_be_deactivated(cast: Cast) -> None:
    UserFactory(roles=[Role.ADMIN], is_active=False)
    with pytest.raises(Conflict) as refusal:
        revoke_role(user=cast.admin, role=Role.ADMIN, actor=ACTOR)
    assert refusal.value.code == "last_admin"
    with pytest.raises(Conflict):
        set_active(user=cast.admin, active=False, actor=ACTOR)
    cast.admin.refresh_from_db()
    assert cast.admin.is_active
    assert cast.admin.has_role(Role.ADMIN)
    assert events() == []


def test_administrator_beside_another_can_go(cast: Cast) -> None:
    UserFactory(roles=[Role.ADMIN])
    assert set_active(user=cast.admin, active=False, actor=ACTOR)
    assert revoke_role(user=cast.admin, role=Role.ADMIN, actor=ACTOR)


@pytest.mark.slow
def test_two_last_administrators_cannot_leave_at_once(fresh_database: FreshDatabase) -> None:
    people = [UserFactory(roles=[Role.ADMIN]) for _ in range(2)]
    start = threading.Barrier(2)
    outcomes: list[str] = []

    def leave(person: User) -> None:
        start.wait()
        try:
            revoke_role(user=person, role=Role.ADMIN, actor=ACTOR)
            outcomes.append("left")
        except Conflict as error:
            outcomes.append(error.code)
        finally:
            connection.close()

    threads = [threading.Thread(target=leave, args=(person,)) for person in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["last_admin", "left"]


def test_set_active_is_recorded_when_it_is_a_change(cast: Cast) -> None:
    assert not set_active(user=cast.lead, active=True, actor=ACTOR)
    assert set_active(user=cast.lead, active=False, actor=ACTOR)
    assert set_active(user=cast.lead, active=True, actor=ACTOR)
    assert [event for event, _, _ in events()] == ["accounts.person_deactivated", "accounts.person_reactivated"]


def test_change_email_forgets_the_old_address(cast: Cast) -> None:
    EmailAddress.objects.create(user=cast.lead, email="lead@example.org", verified=True, primary=True)
    assert change_email(user=cast.lead, email="lee@example.org", actor=ACTOR)
    assert not change_email(user=cast.lead, email="lee@example.org", actor=ACTOR)
    cast.lead.refresh_from_db()
    assert cast.lead.email == "lee@example.org"
    assert not EmailAddress.objects.exists()
    assert events() == [("accounts.email_changed", str(cast.lead.pk), {"username": "lead"})]


@pytest.mark.parametrize("email", ["ADMIN@example.org", "nothing"])
def test_change_email_that_cannot_be_is_refused(cast: Cast, email: str) -> None:
    with pytest.raises(InvalidInput):
        change_email(user=cast.lead, email=email, actor=ACTOR)
    assert User.objects.get(pk=cast.lead.pk).email == "lead@example.org"


def test_issue_token_keeps_only_its_hash_and_records_no_secret(cast: Cast) -> None:
    token, plain = issue_token(user=cast.lead, name=" ci ", scopes=["drill", "read"], days=30, actor=ACTOR)
    found = ApiToken.objects.get()
    assert (found.digest, found.name, found.scopes) == (hash_token(plain), "ci", ["read", "drill"])
    assert found.expiry is not None
    assert dt.timedelta(days=29, hours=23) < found.expiry - now() <= dt.timedelta(days=30)
    assert plain not in str(ApiToken.objects.values().get())
    ((event, subject, data),) = events()
    assert (event, subject) == ("accounts.token_issued", str(cast.lead.pk))
    assert data == {"username": "lead", "token_name": "ci", "token_id": token.token_key, "scopes": ["read", "drill"], "days": 30}
    assert plain not in str(data)


def test_issue_token_that_cannot_be_is_refused(cast: Cast) -> None:
    with pytest.raises(InvalidInput):
        issue_token(user=cast.lead, name="ci", scopes=["everything"], days=30, actor=ACTOR)
    set_active(user=cast.stranger, active=False, actor=ACTOR)
    with pytest.raises(Conflict) as refusal:
        issue_token(user=cast.stranger, name="ci", scopes=["read"], days=30, actor=ACTOR)
    assert refusal.value.code == "person_not_active"
    assert not ApiToken.objects.exists()


def test_revoke_token_ends_it_and_is_recorded_once(cast: Cast) -> None:
    token = ApiTokenFactory(user=cast.lead)
    revoke_token(token=token, actor=ACTOR)
    revoke_token(token=token, actor=ACTOR)
    assert not ApiToken.objects.exists()
    assert [event for event, _, _ in events()] == ["accounts.token_revoked"]


def test_note_token_use_writes_at_most_once_a_minute(cast: Cast, django_assert_num_queries: Any) -> None:
    token = ApiTokenFactory(user=cast.lead)
    note_token_use(token=token)
    first = ApiToken.objects.get().last_used_at
    assert first is not None
    assert now() - first < dt.timedelta(seconds=10)
    with django_assert_num_queries(0):
        note_token_use(token=token)
    another_process = ApiToken.objects.get()
    another_process.last_used_at = None
    note_token_use(token=another_process)
    assert ApiToken.objects.get().last_used_at == first
    long_ago = now() - dt.timedelta(seconds=61)
    ApiToken.objects.update(last_used_at=long_ago)
    note_token_use(token=ApiToken.objects.get())
    later = ApiToken.objects.get().last_used_at
    assert later is not None
    assert later > long_ago + dt.timedelta(seconds=60)


def test_actor_of_long_names_can_be_recorded(cast: Cast) -> None:
    cast.lead.first_name = cast.lead.last_name = "x" * 150
    token = ApiTokenFactory(user=cast.lead, name="y" * 100)
    label = actor_of(cast.lead, token).label
    assert len(label) == 200
    assert label.endswith("…")
    assert revoke_role(user=cast.lead, role=Role.PLATFORM_LEAD, actor=actor_of(cast.lead, token))
