"""Telling people: a notice on their pages, in the transaction that made it necessary; e-mail follows it (DESIGN.md §4.2)."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from django.conf import settings
from django.core.mail import send_mail
from django.db import transaction
from django.db.models import QuerySet

from rollbackhub.accounts.enums import Role
from rollbackhub.accounts.models import Notice, User
from rollbackhub.common import clock

logger = logging.getLogger(__name__)

MAILS_AT_ONCE = 50


def tell(*, people: Iterable[User], key: str, subject: str, text: str = "", url: str = "") -> int:
    """Leave each of these people a notice; who has one with this key is not told again. Returns how many were meant."""
    notices = [Notice(user=user, key=key[:120], subject=subject[:200], text=text, url=url[:300]) for user in people]
    Notice.objects.bulk_create(notices, ignore_conflicts=True)
    return len(notices)


def list_people_with(*roles: Role) -> QuerySet[User]:
    """The people (no service accounts) who have one of these roles, by name."""
    return User.objects.filter(is_active=True, responsible=None, role_assignments__role__in=roles).distinct().order_by("username")


def list_unread(user: User, *, limit: int = 20) -> list[Notice]:
    """What a person was told and has not put away, newest first. One query."""
    return list(Notice.objects.filter(user=user, read_at=None)[:limit])


def mark_read(*, user: User, notice_ids: Iterable[int] | None = None) -> int:
    """Put notices away (all of the person's, by default). Returns how many."""
    unread = Notice.objects.filter(user=user, read_at=None)
    if notice_ids is not None:
        unread = unread.filter(pk__in=list(notice_ids))
    return unread.update(read_at=clock.now())


def put_away(keys: Iterable[str]) -> int:
    """Put notices with these keys away for everybody: what they were about is settled. Returns how many."""
    return Notice.objects.filter(key__in=list(keys), read_at=None).update(read_at=clock.now())


def send_mails() -> int:
    """E-mail what has not been mailed yet, when the installation has a mail server. Returns how many went out.

    A notice is marked before it is sent: a mail twice is worse than one that the page shows anyway. A failure stays on the notice.
    """
    if not settings.EMAIL_HOST:
        return 0
    sent = 0
    # A mail server that hangs costs one time-out a turn: whoever keeps house has approval timers to look after, too.
    while sent < MAILS_AT_ONCE and (notice := _claim_unmailed()) is not None:
        body = "\n\n".join(part for part in (notice.text, f"{settings.PUBLIC_URL}{notice.url}" if notice.url else "") if part)
        try:
            send_mail(f"[RollbackHub] {notice.subject}", body, None, [notice.user.email])
            sent += 1
        except OSError as error:
            # smtplib's errors are OSErrors.
            logger.warning("the mail of notice %s could not be sent (%s)", notice.pk, error)
            Notice.objects.filter(pk=notice.pk).update(mail_error=str(error)[:300])
            break
    return sent


def _claim_unmailed() -> Notice | None:
    """The oldest notice that was not mailed, now marked as mailed. None: all are, or somebody else mails them."""
    with transaction.atomic():
        notice = (
            Notice.objects.select_for_update(skip_locked=True, of=("self",))
            .filter(mailed_at=None, user__is_active=True)
            .exclude(user__email="")
            .select_related("user")
            .order_by("id")
            .first()
        )
        if notice is not None:
            Notice.objects.filter(pk=notice.pk).update(mailed_at=clock.now())
        return notice
