"""Verification names the first thing that does not fit, for everything that somebody with all rights may do."""

from __future__ import annotations

import json

import pytest
from django.core.management import call_command

from rollbackhub.audit.canonical import HASHED_FIELDS, event_leaf_hash
from rollbackhub.audit.domain import verify
from rollbackhub.audit.domain.sequence import sequence_pending
from rollbackhub.audit.domain.verify import verify_log
from rollbackhub.audit.models import AuditEvent, AuditLeaf, AuditTreeHead
from tests.audit.tampering import superuser, write_events
from tests.databases import FreshDatabase
from tests.factories.audit import AuditEventFactory

COUNT, BATCH = 12, 5


@pytest.fixture
def log(fresh_database: FreshDatabase) -> FreshDatabase:
    """Events 1 to 12 in batches of 5, 5 and 2, and two more that wait."""
    ids = write_events(COUNT)
    while sequence_pending(BATCH):
        pass
    assert ids == list(range(1, COUNT + 1))
    assert write_events(2) == [13, 14]
    return fresh_database


def tamper(database: FreshDatabase, *statements: str) -> None:
    """With all rights and no trigger."""
    with superuser(database) as attacker:
        for statement in statements:
            attacker.execute(statement)


def test_verify_empty_log_fits(db: None) -> None:
    report = verify_log()
    assert (report.ok, report.leaves, report.not_sequenced, report.root_hash) == (True, 0, 0, "")


def test_verify_untouched_log_fits_and_counts_who_waits(log: FreshDatabase) -> None:
    report = verify_log()
    assert (report.ok, report.leaves, report.tree_heads, report.not_sequenced) == (True, 12, 3, 2)
    assert report.root_hash == bytes(AuditTreeHead.objects.get(size=12).root_hash).hex()


def test_verify_in_small_chunks_fits(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "CHUNK", 2)
    AuditEventFactory.create_batch(9)
    sequence_pending(4)
    sequence_pending(4)
    report = verify_log()
    assert (report.ok, report.leaves, report.not_sequenced) == (True, 8, 1)


@pytest.mark.parametrize(
    "change",
    [
        "data = '{\"number\": 99}'",
        "event = 'test.else'",
        "at = at + interval '1 microsecond'",
        "actor_kind = 'person'",
        "actor_label = 'someone else'",
        "actor_user_id = 1",
        "actor_token_id = 'x'",
        "subject_type = 'drill'",
        "subject_id = '99'",
    ],
)
def test_verify_names_event_that_was_changed(log: FreshDatabase, change: str) -> None:
    tamper(log, f"UPDATE audit_auditevent SET {change} WHERE id IN (7, 9)")
    found = verify_log().misfit
    assert found is not None
    assert (found.kind, found.event_id, found.position) == ("event_changed", 7, 6)
    assert found.event == AuditEvent.objects.get(pk=7).event
    assert found.expected == bytes(AuditLeaf.objects.get(position=6).leaf_hash).hex()
    assert len(found.found) == 64
    assert found.found != found.expected


def test_verify_names_event_with_data_that_cannot_be_hashed(log: FreshDatabase) -> None:
    tamper(log, "ALTER TABLE audit_auditevent DROP CONSTRAINT audit_event_data_canonical", "UPDATE audit_auditevent SET data = '{\"n\": 1e30}' WHERE id = 3")
    found = verify_log().misfit
    assert found is not None
    assert (found.kind, found.event_id) == ("event_changed", 3)
    assert "would have refused" in found.sentence


def test_verify_names_changed_event_whose_leaf_was_changed_too_by_its_batch(log: FreshDatabase) -> None:
    tamper(log, "UPDATE audit_auditevent SET subject_id = '99' WHERE id = 7")
    row = AuditEvent.objects.values(*HASHED_FIELDS).get(pk=7)
    tamper(log, f"UPDATE audit_auditleaf SET leaf_hash = '\\x{event_leaf_hash(**row).hex()}' WHERE event_id = 7")
    found = verify_log().misfit
    assert found is not None
    # The head of 10 has the subtrees [0, 8) and [8, 10); [0, 5) is known to be right by the head of 5.
    assert (found.kind, found.position, found.event_id) == ("tree_head_differs", 5, 6)
    assert "position 5 to 7" in found.sentence


def test_verify_names_event_that_was_deleted(log: FreshDatabase) -> None:
    tamper(log, "DELETE FROM audit_auditevent WHERE id = 4")
    found = verify_log().misfit
    assert found is not None
    assert (found.kind, found.event_id, found.position) == ("event_missing", 4, 3)


def test_verify_names_event_whose_leaf_was_deleted(log: FreshDatabase) -> None:
    tamper(log, "DELETE FROM audit_auditleaf WHERE position = 3")
    found = verify_log().misfit
    assert found is not None
    assert (found.kind, found.event_id, found.position) == ("leaf_missing", 4, 3)
    assert "next leaf is at 4" in found.sentence


def test_verify_names_event_whose_leaf_at_the_end_was_deleted(log: FreshDatabase) -> None:
    tamper(log, "DELETE FROM audit_auditleaf WHERE position = 11")
    found = verify_log().misfit
    assert found is not None
    assert (found.kind, found.event_id, found.position) == ("leaf_missing", 12, 11)


def test_verify_names_events_deleted_with_their_leaves(log: FreshDatabase) -> None:
    tamper(log, "DELETE FROM audit_auditevent WHERE id > 10", "DELETE FROM audit_auditleaf WHERE position > 9")
    found = verify_log().misfit
    assert found is not None
    assert (found.kind, found.position, found.event_id) == ("leaf_missing", 10, None)


def test_verify_names_swapped_leaves_of_one_batch(log: FreshDatabase) -> None:
    tamper(log, *(f"UPDATE audit_auditleaf SET position = {new} WHERE position = {old}" for old, new in ((1, -1), (3, 1), (-1, 3))))
    found = verify_log().misfit
    assert found is not None
    assert (found.kind, found.event_id, found.position) == ("leaves_swapped", 3, 2)


def test_verify_names_swapped_leaves_of_two_batches(log: FreshDatabase) -> None:
    tamper(log, *(f"UPDATE audit_auditleaf SET position = {new} WHERE position = {old}" for old, new in ((4, -1), (11, 4), (-1, 11))))
    found = verify_log().misfit
    assert found is not None
    # The head of 5 has the subtrees [0, 4) and [4, 5), so it is exactly this leaf, which now is event 12's.
    assert (found.kind, found.position, found.event_id) == ("tree_head_differs", 4, 12)


def test_verify_names_event_under_the_leaf_of_another(log: FreshDatabase) -> None:
    tamper(log, *(f"UPDATE audit_auditleaf SET event_id = {new} WHERE event_id = {old}" for old, new in ((2, -1), (4, 2), (-1, 4))))
    found = verify_log().misfit
    assert found is not None
    assert (found.kind, found.event_id, found.position) == ("event_changed", 4, 1)


@pytest.mark.parametrize(("column", "value", "word"), [("root_hash", "'\\x" + "ab" * 32 + "'", "root"), ("frontier", "'[\"" + "ab" * 32 + "\"]'", "frontier")])
def test_verify_names_forged_tree_head(log: FreshDatabase, column: str, value: str, word: str) -> None:
    tamper(log, f"UPDATE audit_audittreehead SET {column} = {value} WHERE size = 10")
    found = verify_log().misfit
    assert found is not None
    assert (found.kind, found.position) == ("tree_head_forged", 9)
    assert f"its {word} does not belong" in found.sentence


def test_verify_names_tree_head_that_was_forged_whole(log: FreshDatabase) -> None:
    tamper(log, f"UPDATE audit_audittreehead SET root_hash = '\\x{'ab' * 32}', frontier = '[1, 2]' WHERE size = 10")
    found = verify_log().misfit
    assert found is not None
    assert found.kind == "tree_head_differs"
    assert found.expected == "ab" * 32


def test_verify_names_leaves_without_tree_head(log: FreshDatabase) -> None:
    tamper(log, "DELETE FROM audit_audittreehead WHERE size = 12")
    found = verify_log().misfit
    assert found is not None
    assert (found.kind, found.position, found.event_id) == ("tree_head_missing", 10, 11)


def test_verify_names_waiting_event_that_was_deleted(log: FreshDatabase) -> None:
    tamper(log, "DELETE FROM audit_auditevent WHERE id = 13")
    found = verify_log().misfit
    assert found is not None
    assert (found.kind, found.event_id) == ("event_missing", 13)


def test_verify_names_event_that_would_wait_for_ever(log: FreshDatabase) -> None:
    tamper(log, "DELETE FROM audit_auditpending WHERE event_id = 14")
    found = verify_log().misfit
    assert found is not None
    assert (found.kind, found.event_id, found.event) == ("leaf_missing", 14, "test.happened")


def test_verify_command_on_untouched_log_says_so(log: FreshDatabase, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("verify_audit")
    assert "verifies: 12 events, 3 tree heads" in (said := capsys.readouterr().out)
    assert "2 not yet sequenced" in said


def test_verify_command_with_json_prints_one_object(log: FreshDatabase, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("verify_audit", "--json")
    said = json.loads(capsys.readouterr().out)
    assert said["ok"] is True
    assert (said["leaves"], said["not_sequenced"], said["misfit"]) == (12, 2, None)


def test_verify_command_on_changed_log_exits_1_and_names_the_event(log: FreshDatabase, capsys: pytest.CaptureFixture[str]) -> None:
    tamper(log, "UPDATE audit_auditevent SET subject_id = '99' WHERE id = 7")
    with pytest.raises(SystemExit) as ended:
        call_command("verify_audit")
    assert ended.value.code == 1
    assert "Event 7 (test.happened) is not what was recorded" in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        call_command("verify_audit", "--json")
    assert ended.value.code == 1
    assert json.loads(capsys.readouterr().out)["misfit"]["event_id"] == 7
