"""What the housekeeper does about alerts: posts become alerts, alerts become incidents and proposals. Nothing here needs the broker.

Two housekeepers may run: one takes posts at a time (advisory lock), and each alert is acted on under its row's lock.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from uuid import UUID

from django.db import DatabaseError, connection, transaction

from rollbackhub.alerts.domain.acting import act_on
from rollbackhub.alerts.domain.automation import judge_proposals
from rollbackhub.alerts.domain.courses import KEPT, course_of, write_course
from rollbackhub.alerts.domain.proposals import expire_proposals, settle_overtaken
from rollbackhub.alerts.domain.receiving import count
from rollbackhub.alerts.enums import AlertState, Counted
from rollbackhub.alerts.models import Alert, AlertHook, AlertPost
from rollbackhub.alerts.payloads import Entry
from rollbackhub.alerts.rules import Course, go_on
from rollbackhub.common import clock
from rollbackhub.common.housekeeping import register_job
from rollbackhub.common.turns import each_of

logger = logging.getLogger(__name__)

TAKE_LOCK = 0x0A1E_2700
"""The advisory lock that makes one taker of many (any number that nothing else in this database uses)."""
AT_ONCE = 500
"""Posts in one transaction."""
TURNS = 20
"""Transactions in one run of the job."""
ALERTS_AT_ONCE = 100
POSTS_KEPT = dt.timedelta(days=7)
"""So long the ids of posts are remembered: longer than the oldest that is taken (domain/receiving.py)."""
FORGOTTEN_AT_ONCE = 2000


def register() -> None:
    """Once, when the app is ready."""
    register_job("alerts.process", every_seconds=0.25, function=process, own_thread=True)
    register_job("alerts.proposals", every_seconds=2, function=keep_proposals)
    register_job("alerts.forget", every_seconds=600, function=forget_posts)


def process() -> int:
    """Take what was posted, act on what is new, confirm what runs by itself. Returns how many posts, alerts and proposals that were."""
    done = 0
    for _ in range(TURNS):
        taken = take_posts()
        done += taken
        if taken < AT_ONCE:
            break
    return done + act_on_alerts() + judge_proposals()


def keep_proposals() -> int:
    """End proposals whose time is over, and those whose alias somebody rolls back anyway."""
    return settle_overtaken() + expire_proposals()


def take_posts() -> int:
    """Turn the oldest posts into alerts. Returns how many posts; 0 when another process does it now."""
    try:
        return _take(AT_ONCE)
    except (DatabaseError, KeyError, TypeError, ValueError):
        logger.exception("a batch of alert posts could not be worked on; they are taken one by one")
        return _take_alone()


def act_on_alerts() -> int:
    """Act on each alert that began to fire or is over. Returns how many. Raises at the end, together, what went wrong."""
    due = list(Alert.objects.filter(to_do=True).order_by("first_seen_at", "pk").values_list("pk", flat=True)[:ALERTS_AT_ONCE])
    return each_of(due, act_on, doing="while acting on alert")


def forget_posts() -> int:
    """Forget posts that were worked on long ago. Safe to run twice at once. Returns how many."""
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM alerts_alertpost WHERE id IN (SELECT id FROM alerts_alertpost WHERE processed_at < %s ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED)",
            [clock.now() - POSTS_KEPT, FORGOTTEN_AT_ONCE],
        )
        return int(cursor.rowcount)


def _take(most: int) -> int:
    with transaction.atomic():
        if not _only_taker():
            return 0
        posts = list(AlertPost.objects.filter(processed_at=None).order_by("id")[:most])
        if posts:
            _take_in(posts)
        return len(posts)


def _take_alone() -> int:
    """One by one; what cannot be worked on is put aside with its problem, so that it keeps nothing else waiting."""
    with transaction.atomic():
        if not _only_taker():
            return 0
        posts = list(AlertPost.objects.filter(processed_at=None).order_by("id")[:AT_ONCE])
        for post in posts:
            try:
                with transaction.atomic():
                    _take_in([post])
            except (DatabaseError, KeyError, TypeError, ValueError) as error:
                logger.exception("alert post %s could not be worked on", post.pk)
                AlertPost.objects.filter(pk=post.pk).update(processed_at=clock.now(), problem=f"{type(error).__name__}: {error}"[:300].replace("\x00", ""))
        return len(posts)


def _only_taker() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [TAKE_LOCK])
        return bool(cursor.fetchone()[0])


def _take_in(posts: Sequence[AlertPost]) -> None:
    """In a fixed number of statements for any number of posts."""
    seen: dict[tuple[UUID, str], list[tuple[Entry, dt.datetime]]] = defaultdict(list)
    for post in posts:
        for kept in post.entries:
            entry = Entry.from_json(kept)
            seen[post.hook_id, entry.fingerprint].append((entry, post.received_at))
    _move_on(seen)
    newest: dict[UUID, dt.datetime] = {}
    counts: Counter[tuple[UUID, dt.date]] = Counter()
    for post in posts:
        newest[post.hook_id] = max(post.received_at, newest.get(post.hook_id, post.received_at))
        counts[post.hook_id, post.received_at.date()] += 1
    for hook_id, at in newest.items():
        AlertHook.objects.filter(pk=hook_id).update(last_seen_at=at)
    for (hook_id, day), number in counts.items():
        count(hook_id, Counted.TAKEN, number=number, day=day)
    # What it said stands on the alerts now. Its id stays, so that it is not taken a second time.
    AlertPost.objects.filter(pk__in=[post.pk for post in posts]).update(processed_at=clock.now(), entries=[])


def _move_on(seen: Mapping[tuple[UUID, str], Sequence[tuple[Entry, dt.datetime]]]) -> None:
    known: dict[tuple[UUID, str], Alert] = {
        (alert.hook_id, alert.fingerprint): alert
        for alert in Alert.objects.select_for_update(of=("self",)).filter(
            hook__in={hook_id for hook_id, _ in seen}, fingerprint__in={fingerprint for _, fingerprint in seen}
        )
    }
    made, changed = [], []
    for key, entries in seen.items():
        alert = known.get(key)
        course = course_of(alert) if alert is not None else None
        for entry, at in entries:
            course = go_on(course, status=entry.status, starts_at=entry.starts_at, ends_at=entry.ends_at, at=at)
        assert course is not None  # there is an entry for each key
        if alert is None:
            alert = Alert(hook_id=key[0], fingerprint=key[1], first_seen_at=entries[0][1], acted_on=None if course.to_do else course.starts_at)
            made.append(alert)
        else:
            changed.append(alert)
        _write_down(alert, course, entries)
    Alert.objects.bulk_create(made)
    Alert.objects.bulk_update(changed, [*KEPT, "name", "labels", "annotations", "last_seen_at", "noted_resolved_at"], batch_size=100)


def _write_down(alert: Alert, course: Course, entries: Sequence[tuple[Entry, dt.datetime]]) -> None:
    newest, at = entries[-1]
    write_course(alert, course)
    alert.last_seen_at = at
    # PagerDuty's “resolved” says less than its “triggered” did: what is known stays.
    alert.name, alert.labels, alert.annotations = newest.name, {**(alert.labels or {}), **newest.labels}, newest.annotations or alert.annotations or {}
    if course.state == AlertState.FIRING:
        alert.noted_resolved_at = None
