"""People are told once, on their pages and by e-mail."""

from __future__ import annotations

import pytest
from django.core import mail
from pytest_django import Settings

from rollbackhub.accounts.domain.notices import list_people_with, list_unread, mark_read, send_mails, tell
from rollbackhub.accounts.enums import Role
from rollbackhub.accounts.models import Notice
from tests.factories.accounts import UserFactory
from tests.factories.fixtures import Cast


def test_tell_leaves_each_person_one_notice_per_key(cast: Cast) -> None:
    for _ in range(2):
        tell(people=[cast.lead, cast.admin], key="k", subject="Look at this", text="Why", url="/rollbacks/")
    assert [notice.subject for notice in list_unread(cast.lead)] == ["Look at this"]
    assert Notice.objects.count() == 2


def test_mark_read_puts_away_ones_own_only(cast: Cast) -> None:
    tell(people=[cast.lead, cast.admin], key="k", subject="Look at this")
    of_admin = Notice.objects.get(user=cast.admin)
    assert mark_read(user=cast.lead, notice_ids=[of_admin.pk]) == 0
    assert mark_read(user=cast.lead) == 1
    assert (len(list_unread(cast.lead)), len(list_unread(cast.admin))) == (0, 1)


def test_list_people_with_role_leaves_out_service_accounts_and_the_inactive(cast: Cast) -> None:
    UserFactory(username="robot", responsible=cast.lead, roles=[Role.PLATFORM_LEAD])
    UserFactory(username="gone", is_active=False, roles=[Role.PLATFORM_LEAD])
    assert [person.username for person in list_people_with(Role.PLATFORM_LEAD)] == ["lead"]


def test_send_mails_sends_each_notice_once_with_the_address_of_its_page(cast: Cast, settings: Settings) -> None:
    settings.EMAIL_HOST = "mail.example.org"
    tell(people=[cast.lead], key="k", subject="Look at this", text="Why", url="/rollbacks/")
    assert (send_mails(), send_mails()) == (1, 0)
    [sent] = mail.outbox
    assert (sent.to, sent.subject) == ([cast.lead.email], "[RollbackHub] Look at this")
    assert sent.body == f"Why\n\n{settings.PUBLIC_URL}/rollbacks/"


def test_send_mails_without_a_mail_server_sends_none(cast: Cast, settings: Settings) -> None:
    settings.EMAIL_HOST = ""
    tell(people=[cast.lead], key="k", subject="Look at this")
    assert send_mails() == 0
    assert Notice.objects.get().mailed_at is None


def test_mail_server_that_fails_is_written_on_the_notice(cast: Cast, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    tell(people=[cast.lead], key="k", subject="Look at this")
    assert send_mails() == 0
    assert "refused" in Notice.objects.get().mail_error


def test_mail_server_that_fails_is_asked_once_a_turn(cast: Cast, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.EMAIL_HOST = "mail.example.org"
    tell(people=[cast.lead, cast.admin, cast.leadership], key="k", subject="Look at this")
    asked: list[object] = []

    def hang(*args: object) -> None:
        asked.append(args)
        raise TimeoutError("timed out")

    monkeypatch.setattr("rollbackhub.accounts.domain.notices.send_mail", hang)
    assert (send_mails(), len(asked)) == (0, 1)
    assert Notice.objects.filter(mailed_at=None).count() == 2
    monkeypatch.undo()
    assert send_mails() == 2
