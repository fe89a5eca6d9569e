"""Each committed event gets exactly one place, whatever order things commit in."""

from __future__ import annotations

import threading
from collections.abc import Callable

import psycopg
import pytest
from django.db import connection, transaction

from rollbackhub.audit.canonical import HASHED_FIELDS, event_leaf_hash
from rollbackhub.audit.domain.sequence import SEQUENCER_LOCK, LogBroken, sequence_pending
from rollbackhub.audit.domain.verify import verify_log
from rollbackhub.audit.merkle import append_leaf, root_of
from rollbackhub.audit.models import AuditEvent, AuditLeaf, AuditPending, AuditTreeHead
from tests.audit.tampering import superuser, write_events
from tests.databases import FreshDatabase
from tests.factories.audit import AuditEventFactory

INSERT = (
    "INSERT INTO audit_auditevent (event, actor_kind, actor_label, actor_token_id, subject_type, subject_id, data)"
    " VALUES ('test.late', 'system', 'test', '', 'test', '1', '{}') RETURNING id"
)


def test_sequence_nothing_writes_nothing(db: None) -> None:
    assert sequence_pending() == 0
    assert not AuditTreeHead.objects.exists()


def test_sequence_gives_places_in_the_order_of_ids_and_one_head(db: None) -> None:
    events = AuditEventFactory.create_batch(5)
    assert sequence_pending() == 5
    assert list(AuditLeaf.objects.values_list("position", "event_id")) == list(enumerate(event.pk for event in events))
    frontier: list[bytes] = []
    for size, row in enumerate(AuditEvent.objects.order_by("pk").values(*HASHED_FIELDS)):
        frontier = append_leaf(frontier, size, event_leaf_hash(**row))
    head = AuditTreeHead.objects.get()
    assert (head.size, bytes(head.root_hash), head.frontier) == (5, root_of(frontier), [subtree.hex() for subtree in frontier])
    assert not AuditPending.objects.exists()


def test_sequence_with_limit_takes_batches(db: None) -> None:
    AuditEventFactory.create_batch(7)
    assert [sequence_pending(3) for _ in range(4)] == [3, 3, 1, 0]
    assert list(AuditTreeHead.objects.values_list("size", flat=True)) == [3, 6, 7]
    assert verify_log().ok


def test_sequence_in_batches_and_at_once_give_the_same_root(db: None) -> None:
    AuditEventFactory.create_batch(7)
    with transaction.atomic():
        sequence_pending()
        at_once = bytes(AuditTreeHead.objects.get(size=7).root_hash)
        transaction.set_rollback(True)
    while sequence_pending(2):
        pass
    assert bytes(AuditTreeHead.objects.get(size=7).root_hash) == at_once


def test_sequence_of_event_that_commits_late_comes_later_and_is_not_lost(fresh_database: FreshDatabase) -> None:
    with psycopg.connect(fresh_database.url) as slow:
        row = slow.execute(INSERT).fetchone()
        assert row is not None
        quick = write_events(2)
        assert row[0] < quick[0]
        assert sequence_pending() == 2
        assert sequence_pending() == 0
        slow.commit()
        assert sequence_pending() == 1
    assert list(AuditLeaf.objects.values_list("event_id", flat=True)) == [*quick, row[0]]
    assert verify_log().ok


def test_sequence_of_event_that_was_rolled_back_leaves_no_gap(fresh_database: FreshDatabase) -> None:
    with psycopg.connect(fresh_database.url) as slow:
        slow.execute(INSERT)
        slow.rollback()
    write_events(2)
    assert sequence_pending() == 2
    assert list(AuditLeaf.objects.values_list("position", flat=True)) == [0, 1]


def test_sequence_beside_another_sequencer_does_nothing(fresh_database: FreshDatabase) -> None:
    write_events(2)
    with psycopg.connect(fresh_database.url) as other:
        other.execute("SELECT pg_advisory_xact_lock(%s)", [SEQUENCER_LOCK])
        assert sequence_pending() == 0
        assert not AuditLeaf.objects.exists()
        other.commit()
        assert sequence_pending() == 2


@pytest.mark.slow
def test_sequence_by_four_at_once_with_writers_loses_and_doubles_nothing(fresh_database: FreshDatabase) -> None:
    writing = threading.Event()
    problems: list[Exception] = []

    def work(do: Callable[[], object]) -> None:
        try:
            do()
        except Exception as error:  # a thread's error would be lost otherwise
            problems.append(error)
        finally:
            connection.close()

    def sequence() -> None:
        while not writing.is_set() or AuditPending.objects.exists():
            sequence_pending(7)

    writers = [threading.Thread(target=work, args=(lambda: write_events(40),)) for _ in range(4)]
    sequencers = [threading.Thread(target=work, args=(sequence,)) for _ in range(4)]
    for thread in (*writers, *sequencers):
        thread.start()
    for thread in writers:
        thread.join()
    writing.set()
    for thread in sequencers:
        thread.join()
    assert problems == []
    report = verify_log()
    assert (report.ok, report.leaves, report.not_sequenced) == (True, 160, 0)


def test_sequence_of_event_that_has_a_place_already_only_forgets_that_it_waits(fresh_database: FreshDatabase) -> None:
    (event,) = write_events(1)
    sequence_pending()
    with superuser(fresh_database) as attacker:
        attacker.execute("INSERT INTO audit_auditpending VALUES (%s)", [event])
    write_events(1)
    assert sequence_pending() == 1
    assert AuditLeaf.objects.count() == 2
    assert not AuditPending.objects.exists()


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM audit_audittreehead",
        "DELETE FROM audit_auditleaf WHERE position = 2",
        "UPDATE audit_audittreehead SET root_hash = '\\x00'",
        "UPDATE audit_audittreehead SET frontier = '[\"00\"]'",
    ],
)
def test_sequence_on_a_log_that_does_not_fit_is_refused(fresh_database: FreshDatabase, statement: str) -> None:
    write_events(3)
    sequence_pending()
    with superuser(fresh_database) as attacker:
        attacker.execute(statement)
    write_events(1)
    with pytest.raises(LogBroken):
        sequence_pending()
    assert AuditPending.objects.count() == 1
