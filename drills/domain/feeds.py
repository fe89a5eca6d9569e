"""Calendar feeds: secret addresses at which calendars read a team's drills. Their only writer."""

from __future__ import annotations

import datetime as dt
import hashlib
import re
import secrets

from django.db import transaction
from django.db.models import Q, QuerySet

from drills.models import CalendarFeed
from rollbackhub.accounts.models import Team, User
from rollbackhub.accounts.rules import Capability, require
from rollbackhub.audit.actors import Actor
from rollbackhub.audit.domain.record import record
from rollbackhub.common import clock
from rollbackhub.common.errors import Conflict, InvalidInput, NotFound
from rollbackhub.common.shown_text import require_shown

USE_NOTED_EVERY = dt.timedelta(minutes=1)
_SECRET = re.compile(r"[A-Za-z0-9_-]{20,100}")


def make_feed(*, team: Team, name: str, actor: Actor, user: User) -> tuple[CalendarFeed, str]:
    """Make a secret address of a team's drills. The second answer is the secret: shown once, stored as a hash only.

    Raises Forbidden, InvalidInput.
    """
    require(user=user, capability=Capability.CONFIGURE)
    name = require_shown(name, field="name")
    if not name or len(name) > 100:
        sentence = "Say in 1 to 100 characters whose calendar it is, or where it is used."
        raise InvalidInput(sentence, fields={"name": [sentence]})
    secret = secrets.token_urlsafe(32)
    with transaction.atomic():
        feed = CalendarFeed.objects.create(team=team, name=name, secret_hash=hash_of(secret), created_by=user)
        _record("calendar_feed.made", feed, actor)
    return feed, secret


def revoke_feed(*, feed_id: int, actor: Actor, user: User) -> CalendarFeed:
    """End a secret address at once. Raises Forbidden, NotFound, Conflict `feed_revoked`."""
    require(user=user, capability=Capability.CONFIGURE)
    with transaction.atomic():
        feed = CalendarFeed.objects.select_for_update(of=("self",)).select_related("team", "created_by").filter(pk=feed_id).first()
        if feed is None:
            raise no_feed()
        if feed.revoked_at is not None:
            raise Conflict("This address was revoked already.", code="feed_revoked")
        feed.revoked_at = clock.now()
        feed.save(update_fields=["revoked_at"])
        _record("calendar_feed.revoked", feed, actor)
    return feed


def feed_of(secret: str) -> CalendarFeed:
    """The feed of this secret. Raises NotFound for one that is wrong or was revoked: the two are not told apart. One query."""
    feed = CalendarFeed.objects.select_related("team").filter(secret_hash=hash_of(secret), revoked_at=None).first() if _SECRET.fullmatch(secret) else None
    if feed is None:
        raise no_feed()
    return feed


def get_feed(feed_id: int) -> CalendarFeed:
    """A feed by its number. Raises NotFound. One query."""
    feed = CalendarFeed.objects.select_related("team", "created_by").filter(pk=feed_id).first()
    if feed is None:
        raise no_feed()
    return feed


def list_feeds(*, team: str = "") -> QuerySet[CalendarFeed]:
    """Feeds, revoked ones included, by team and name. `team` is its slug. One query."""
    found = CalendarFeed.objects.select_related("team", "created_by").order_by("team__name", "name", "pk")
    return found.filter(team__slug=team) if team else found


def note_use(feed: CalendarFeed) -> None:
    """Remember when it was last read, written at most once a minute."""
    present = clock.now()
    due = present - USE_NOTED_EVERY
    if feed.last_used_at is None or feed.last_used_at <= due:
        CalendarFeed.objects.filter(Q(last_used_at=None) | Q(last_used_at__lte=due), pk=feed.pk).update(last_used_at=present)


def note_content(feed: CalendarFeed, *, etag: str) -> dt.datetime:
    """Since when the feed answers what it answers now. A change is written once, when somebody first reads it."""
    if feed.etag != etag or feed.changed_at is None:
        feed.etag, feed.changed_at = etag, clock.now()
        CalendarFeed.objects.filter(pk=feed.pk).update(etag=etag, changed_at=feed.changed_at)
    return feed.changed_at


def hash_of(secret: str) -> str:
    """What is stored of it. It has 256 bits, so it needs no salt."""
    return hashlib.sha256(secret.encode()).hexdigest()


def no_feed() -> NotFound:
    """What is said of a feed that does not exist, or no more."""
    return NotFound("There is no such calendar, or its address was revoked.", code="calendar_feed_not_found")


def _record(event: str, feed: CalendarFeed, actor: Actor) -> None:
    record(event=event, actor=actor, subject_type="calendar_feed", subject_id=feed.pk, data={"team": feed.team.slug, "name": feed.name})
