"""Gives each committed event its place in the Merkle log."""

from __future__ import annotations

from typing import Any

from django.db import connection, transaction

from rollbackhub.audit.canonical import HASHED_FIELDS, event_leaf_hash
from rollbackhub.audit.merkle import append_leaf, root_of
from rollbackhub.audit.models import AuditEvent, AuditLeaf, AuditPending, AuditTreeHead

SEQUENCER_LOCK = 0x524248_4C4F47
"""The advisory lock that makes one sequencer of many (any number that nothing else in this database uses)."""
BATCH = 1000


class LogBroken(Exception):
    """The stored log does not fit together, so nothing may be appended to it; `manage.py verify_audit` says where."""


def sequence_pending(limit: int = BATCH) -> int:
    """Append up to `limit` waiting events to the log, with one new tree head for all of them; answers how many.

    Answers 0 while another sequencer is at work. Within a batch events stand in the order of their ids. An event that commits late
    comes into a later batch: it is found by its row in AuditPending, which becomes visible with it, never by comparing ids.
    Raises LogBroken when the last tree head does not fit the leaves.
    """
    with transaction.atomic():
        if not _lock():
            return 0
        # First the ids alone: joined to the events, the planner might choose to walk over all of them.
        waiting = list(AuditPending.objects.order_by("event_id").values_list("event_id", flat=True)[:limit])
        if not waiting:
            return 0
        placed = set(AuditLeaf.objects.filter(event_id__in=waiting).values_list("event_id", flat=True))
        events = [row for row in AuditEvent.objects.filter(pk__in=waiting).order_by("pk").values(*HASHED_FIELDS) if row["id"] not in placed]
        if events:
            _append(events)
        # A waiting event that no longer exists keeps its row: verify_audit reports it.
        AuditPending.objects.filter(event_id__in=[*placed, *(row["id"] for row in events)]).delete()
        return len(events)


def _lock() -> bool:
    """Until the end of the transaction. It is given back after the commit is visible, so the next holder sees this one's leaves."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [SEQUENCER_LOCK])
        return bool(cursor.fetchone()[0])


def _append(events: list[dict[str, Any]]) -> None:
    size, frontier = _last_head()
    leaves = []
    for row in events:
        leaf = event_leaf_hash(**row)
        leaves.append(AuditLeaf(position=size, event_id=row["id"], leaf_hash=leaf))
        frontier = append_leaf(frontier, size, leaf)
        size += 1
    AuditLeaf.objects.bulk_create(leaves)
    AuditTreeHead.objects.create(size=size, root_hash=root_of(frontier), frontier=[subtree.hex() for subtree in frontier])


def _last_head() -> tuple[int, list[bytes]]:
    head = AuditTreeHead.objects.order_by("-size").first()
    last = AuditLeaf.objects.order_by("-position").values_list("position", flat=True).first()
    size = 0 if head is None else head.size
    if size != (0 if last is None else last + 1):
        raise LogBroken(f"the last tree head is of {size} leaves, the last leaf is at position {last}")
    if head is None:
        return 0, []
    frontier = [bytes.fromhex(subtree) for subtree in head.frontier]
    if root_of(frontier) != bytes(head.root_hash):
        raise LogBroken(f"the frontier of the tree head of {size} does not give its root")
    return size, frontier
