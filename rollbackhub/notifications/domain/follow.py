"""Messages follow the audit log. Nothing in the product calls this, so nothing that fails here can touch a rollback.

The log's positions have no gaps (audit/models.py), so one number says how far it was read. It moves in the transaction that writes the messages: an
event is told once, by however many processes.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import transaction

from rollbackhub.accounts.models import Team
from rollbackhub.audit.models import AuditEvent, AuditLeaf
from rollbackhub.common import clock
from rollbackhub.notifications.catalogue import TELLINGS, Telling, Words, fill, instant_in_words
from rollbackhub.notifications.domain.facts import Facts, facts_of
from rollbackhub.notifications.enums import Digest, Topic
from rollbackhub.notifications.models import Follower, Message, MessageDelivery, QuietHours, Rule
from rollbackhub.notifications.rules import Quiet, departure

logger = logging.getLogger(__name__)

AT_ONCE = 500
"""Events in one transaction."""
TURNS = 20
LONGEST_SUBJECT = 200
LONGEST_LINE = 1000


def follow_log() -> int:
    """Write messages for what is new in the audit log. Returns how many events were looked at. Safe in several processes: one at a time has the cursor."""
    seen = 0
    for _ in range(TURNS):
        looked = _follow_some()
        seen += looked
        if looked < AT_ONCE:
            break
    return seen


def _follow_some() -> int:
    failed: list[Exception] = []
    with transaction.atomic():
        follower = Follower.objects.select_for_update(skip_locked=True).first()
        if follower is None:
            _begin_at_the_end()
            return 0
        leaves = list(
            AuditLeaf.objects.filter(position__gte=follower.position, position__lt=follower.position + AT_ONCE).select_related("event").order_by("position")
        )
        if not leaves:
            return 0
        told = [leaf for leaf in leaves if leaf.event.event in TELLINGS]
        if told:
            failed = _tell(told)
        follower.position, follower.moved_at = leaves[-1].position + 1, clock.now()
        follower.save(update_fields=["position", "moved_at"])
    if failed:
        # The log goes on: one event that cannot be told keeps no other from it.
        raise ExceptionGroup("some events could not be told", failed)
    return len(leaves)


def _begin_at_the_end() -> None:
    """An installation that turns this on is not told its past. Nothing when another process has the cursor."""
    if Follower.objects.exists():
        return
    last = AuditLeaf.objects.order_by("-position").values_list("position", flat=True).first()
    Follower.objects.bulk_create([Follower(position=0 if last is None else last + 1)], ignore_conflicts=True)


def _tell(leaves: Sequence[AuditLeaf]) -> list[Exception]:
    """Messages and their deliveries for what the teams want to know. Returns what went wrong, event by event."""
    facts = facts_of([leaf.event for leaf in leaves])
    rules = _rules({team.pk for found in facts.values() for team in found.teams}, {TELLINGS[leaf.event.event].topic for leaf in leaves})
    quiet = {row.team_id: Quiet(row.starts, row.ends, row.weekends) for row in QuietHours.objects.filter(team__in={team for team, _ in rules})} if rules else {}
    messages, deliveries, failed = list[Message](), list[MessageDelivery](), list[Exception]()
    for leaf in leaves:
        known, telling = facts.get(leaf.event_id), TELLINGS[leaf.event.event]
        for team in known.teams if known else ():
            rule = rules.get((team.pk, telling.topic))
            channels = [channel for channel in rule.channels.all() if channel.is_active] if rule else []
            if rule is None or known is None or not channels:
                continue
            try:
                message = compose(telling, leaf.event, known, team=team, position=leaf.position)
            except Exception as error:
                error.add_note(f"while telling audit event {leaf.event_id} ({leaf.event.event})")
                failed.append(error)
                continue
            leaves_at = departure(
                clock.now(),
                digest=Digest(rule.digest),
                daily_at=rule.daily_at,
                quiet=None if rule.passes_quiet else quiet.get(team.pk),
                zone=ZoneInfo(team.timezone),
            )
            messages.append(message)
            deliveries += [
                MessageDelivery(message=message, channel=channel, is_bundled=leaves_at.is_bundled, due_at=leaves_at.at, first_due_at=leaves_at.at)
                for channel in channels
            ]
    Message.objects.bulk_create(messages)
    MessageDelivery.objects.bulk_create(deliveries)
    return failed


def _rules(teams: Iterable[int], topics: Iterable[Topic]) -> dict[tuple[int, str], Rule]:
    found = Rule.objects.filter(team__in=list(teams), topic__in=list(topics)).prefetch_related("channels")
    return {(rule.team_id, rule.topic): rule for rule in found}


def compose(telling: Telling, event: AuditEvent, facts: Facts, *, team: Team, position: int) -> Message:
    """The message to a team about an event, unsaved: what happened, what is asked of the reader, where, and by what number to know it again."""
    zone, message_id = ZoneInfo(team.timezone), uuid4()
    words = Words({**facts.more, **event.data}, about=facts.about, who=event.actor_label, zone=zone)
    mark = "[Lab] " if facts.is_lab else ""
    said = [_short(line) for line in (fill(template, words) for template in telling.what) if line]
    return Message(
        id=message_id,
        team=team,
        topic=telling.topic,
        weight=telling.weight,
        subject=_short(mark + one_line(fill(telling.subject, words) or telling.topic.label), LONGEST_SUBJECT),
        body=as_body(said, ask=telling.ask, url=facts.url, message_id=message_id, when=instant_in_words(event.at, zone)),
        url=facts.url,
        incident_id=facts.incident_id,
        position=position,
        happened_at=event.at,
    )


def as_body(said: Sequence[str], *, ask: str, url: str, message_id: UUID, when: str) -> str:
    """The text that people read."""
    lines = [*said, f"What is asked of you: {ask}"]
    if url:
        lines.append(f"{settings.PUBLIC_URL}{url}")
    return "\n\n".join(lines) + f"\n\nRollbackHub, {when}, message {message_id}. The same number twice is the same message."


def one_line(text: str) -> str:
    """What people wrote, as it may stand in a subject."""
    return " ".join(text.split())


def _short(text: str, longest: int = LONGEST_LINE) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
