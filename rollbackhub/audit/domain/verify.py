"""Recomputes the whole log from the events, in constant memory, and names the first thing that does not fit.

What it cannot see by itself: the end of the log cut off together with its tree heads and pending rows, or the whole log written anew.
That takes a tree head that was kept elsewhere (signed checkpoints).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import rfc8785
from django.db import connection, transaction

from rollbackhub.audit.canonical import HASHED_FIELDS, event_leaf_hash
from rollbackhub.audit.merkle import append_leaf, root_of, subtree_ranges

CHUNK = 2000
"""Rows that a server-side cursor brings at a time."""


@dataclass(frozen=True, slots=True)
class Misfit:
    """The first thing that does not fit. `event_id` is None when no single event can be named."""

    kind: str
    position: int | None
    event_id: int | None
    event: str | None
    sentence: str
    expected: str = ""
    found: str = ""


@dataclass(slots=True)
class LogReport:
    """What a verification found."""

    leaves: int = 0
    """Leaves that were recomputed, up to the first misfit."""
    tree_heads: int = 0
    root_hash: str = ""
    """Of the last tree head, recomputed; empty when something does not fit or there is none."""
    not_sequenced: int = 0
    """Events that have no place yet."""
    misfit: Misfit | None = None

    @property
    def ok(self) -> bool:
        """Whether everything fits."""
        return self.misfit is None


@dataclass(slots=True)
class _Walk:
    """The tree so far."""

    size: int = 0
    frontier: list[bytes] = field(default_factory=list)
    fitting_size: int = 0
    """Size of the last stored head that fitted."""
    previous_id: int = 0
    """Of the event before in the same batch."""


def verify_log() -> LogReport:
    """Recompute every leaf and every tree head; compares, changes nothing. Stops at the first misfit."""
    report = LogReport()
    with transaction.atomic():
        last_size, last_position, report.not_sequenced, lost = _overview()
        report.misfit = _walk_log(report, last_size) or _beyond_the_end(last_size, last_position) or lost
    return report


def _overview() -> tuple[int, int, int, Misfit | None]:
    """Size of the last tree head, position of the last leaf (-1: none), number of waiting events, and an event that lost its place.

    One statement sees one state of the log, however busy the sequencer is.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH astray AS (
                SELECT coalesce(event.id, pending.event_id) AS id, event.event, event.id IS NULL AS deleted
                FROM audit_auditevent event
                FULL JOIN audit_auditpending pending ON pending.event_id = event.id
                LEFT JOIN audit_auditleaf leaf ON leaf.event_id = event.id
                WHERE event.id IS NULL OR (pending.event_id IS NULL AND leaf.event_id IS NULL)
            )
            SELECT coalesce((SELECT max(size) FROM audit_audittreehead), 0),
                   coalesce((SELECT max(position) FROM audit_auditleaf), -1),
                   (SELECT count(*) FROM audit_auditpending),
                   first.id, first.event, first.deleted
            FROM (VALUES (1)) one LEFT JOIN (SELECT * FROM astray ORDER BY id LIMIT 1) first ON true
            """
        )
        last_size, last_position, waiting, event_id, event, deleted = cursor.fetchone()
    if event_id is None:
        return last_size, last_position, waiting, None
    if deleted:
        lost = Misfit("event_missing", None, event_id, None, f"Event {event_id} was recorded and deleted before it had its place in the log.")
    else:
        lost = Misfit(
            "leaf_missing", None, event_id, event, f"Event {event_id} ({event}) has no place in the log and does not wait for one: its leaf was deleted."
        )
    return last_size, last_position, waiting, lost


def _walk_log(report: LogReport, last_size: int) -> Misfit | None:
    walk = _Walk()
    heads = _stream("SELECT size, root_hash, frontier FROM audit_audittreehead WHERE size <= %s ORDER BY size", [last_size])
    head = next(heads, None)
    for position, event_id, stored_hash, *event in _stream(_LEAVES, [last_size]):
        misfit = _check_leaf(walk, position, event_id, bytes(stored_hash), event)
        if misfit is not None:
            return misfit
        walk.frontier = append_leaf(walk.frontier, walk.size, bytes(stored_hash))
        walk.size += 1
        walk.previous_id = event_id
        report.leaves = walk.size
        if head is not None and head[0] == walk.size:
            misfit = _check_head(walk, head)
            if misfit is not None:
                return misfit
            report.tree_heads += 1
            walk.fitting_size, walk.previous_id = walk.size, 0
            head = next(heads, None)
    if head is not None:
        return _gap(walk.size, None)
    report.root_hash = root_of(walk.frontier).hex() if walk.size else ""
    return None


_LEAVES = f"""
    SELECT leaf.position, leaf.event_id, leaf.leaf_hash, {", ".join(f"event.{name}" for name in HASHED_FIELDS)}
    FROM audit_auditleaf leaf LEFT JOIN audit_auditevent event ON event.id = leaf.event_id
    WHERE leaf.position < %s ORDER BY leaf.position
"""


def _check_leaf(walk: _Walk, position: int, event_id: int, stored_hash: bytes, event: list[Any]) -> Misfit | None:
    if position != walk.size:
        return _gap(walk.size, position)
    fields = dict(zip(HASHED_FIELDS, event, strict=True))
    name = fields["event"]
    if fields["id"] is None:
        return Misfit("event_missing", position, event_id, None, f"Event {event_id}, which stands at position {position}, has been deleted.")
    fields["data"] = json.loads(fields["data"])
    try:
        computed = event_leaf_hash(**fields)
    except rfc8785.CanonicalizationError as error:
        return Misfit("event_changed", position, event_id, name, f"Event {event_id} ({name}) holds data that record() would have refused: {error}.")
    if computed != stored_hash:
        sentence = f"Event {event_id} ({name}) is not what was recorded: its hash differs from its leaf at position {position}."
        return Misfit("event_changed", position, event_id, name, sentence, expected=stored_hash.hex(), found=computed.hex())
    if event_id < walk.previous_id:
        sentence = (
            f"Event {event_id} ({name}) stands at position {position}, after event {walk.previous_id} of the same batch:"
            " leaves were swapped, or the tree head between them was deleted."
        )
        return Misfit("leaves_swapped", position, event_id, name, sentence)
    return None


def _check_head(walk: _Walk, head: tuple[Any, ...]) -> Misfit | None:
    size, stored_root = head[0], bytes(head[1])
    computed, stored = [subtree.hex() for subtree in walk.frontier], json.loads(head[2])
    root = root_of(walk.frontier)
    if root == stored_root and computed == stored:
        return None
    expected, found = stored_root.hex(), root.hex()
    if root == stored_root or computed == stored:
        what = "frontier" if root == stored_root else "root"
        sentence = f"The tree head of {size} leaves was changed: its {what} does not belong to the rest of it and to the leaves."
        return Misfit("tree_head_forged", size - 1, None, None, sentence, expected=expected, found=found)
    start, end = _differing_range(walk, computed, stored)
    event_id, event = _event_at(start)
    sentence = (
        f"The tree head of {size} leaves does not fit: a leaf from position {start} to {end - 1} was replaced or swapped"
        f" (the first of them is event {event_id}, {event}), or the tree head itself was forged."
    )
    return Misfit("tree_head_differs", start, event_id, event, sentence, expected=expected, found=found)


def _differing_range(walk: _Walk, computed: list[str], stored: object) -> tuple[int, int]:
    """The positions among which the difference lies: what the last fitting head covers is known to be right."""
    start, end = walk.fitting_size, walk.size
    if isinstance(stored, list) and len(stored) == len(computed):
        for (low, high), ours, theirs in zip(subtree_ranges(walk.size), computed, stored, strict=True):
            if ours != theirs:
                return max(start, low), max(high, start + 1)
    return start, end


def _gap(position: int, next_position: int | None) -> Misfit:
    """A leaf is missing. The event that stood there is the first one that has neither a leaf nor waits for one."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT event.id, event.event FROM audit_auditevent event WHERE NOT EXISTS (SELECT 1 FROM audit_auditleaf leaf WHERE leaf.event_id = event.id)"
            " AND NOT EXISTS (SELECT 1 FROM audit_auditpending pending WHERE pending.event_id = event.id) ORDER BY event.id LIMIT 1"
        )
        event_id, event = cursor.fetchone() or (None, None)
    whose = "" if event_id is None else f" Event {event_id} ({event}) has lost its leaf."
    then = "the log ends there, but a tree head says that it is longer" if next_position is None else f"the next leaf is at {next_position}"
    return Misfit("leaf_missing", position, event_id, event, f"There is no leaf at position {position}; {then}.{whose}")


def _beyond_the_end(last_size: int, last_position: int) -> Misfit | None:
    if last_position < last_size:
        return None
    event_id, event = _event_at(last_size)
    sentence = (
        f"The leaves from position {last_size} to {last_position} (the first is event {event_id}, {event}) stand under no tree head:"
        " one was deleted or they were added by hand."
    )
    return Misfit("tree_head_missing", last_size, event_id, event, sentence)


def _event_at(position: int) -> tuple[int | None, str | None]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT leaf.event_id, event.event FROM audit_auditleaf leaf LEFT JOIN audit_auditevent event ON event.id = leaf.event_id WHERE leaf.position = %s",
            [position],
        )
        return cursor.fetchone() or (None, None)


def _stream(query: str, params: list[Any]) -> Iterator[tuple[Any, ...]]:
    """Rows by a server-side cursor, so that memory stays constant."""
    with connection.chunked_cursor() as cursor:
        cursor.execute(query, params)
        while rows := cursor.fetchmany(CHUNK):
            yield from rows
