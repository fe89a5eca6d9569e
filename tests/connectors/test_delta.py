"""Delta tables on disk: what is restored, what others commit meanwhile, and what is refused."""

from __future__ import annotations

import ctypes
import json
import multiprocessing
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from deltalake import Field
from deltalake.schema import PrimitiveType

from rollbackhub.common.errors import InvalidInput, TransientError, Unavailable
from rollbackhub.common.http_network import OutboundRefused
from rollbackhub.connectors.base import PermissionMissing
from rollbackhub.connectors.delta import DeltaConnector
from rollbackhub.connectors.delta.session import Session, opened
from rollbackhub.connectors.mechanism import ProblemCode, ProblemFound, VersionRef
from rollbackhub.connectors.secret_refs import SecretMissing
from tests.connectors.delta_tables import Table, shares

SECONDS = 20.0
S3 = {"root": "s3://bucket/sets", "options_ref": "env:HUB_TEST_S3"}
TEST_SECRET = "test-only-s3-9d2f7c"


@pytest.fixture
def table(tmp_path: Path) -> Table:
    """Versions 0: [1, 2] and 1: [1, 2, 3] (good), 2: [9] (bad)."""
    table = Table(tmp_path / "lake")
    table.write(1, 2)
    table.write(3)
    table.write(9, mode="overwrite")
    return table


def hub(table: Table, *, seconds: float = SECONDS, **settings: Any) -> DeltaConnector:
    return DeltaConnector(DeltaConnector.parse_settings({"root": str(table.root), **settings}), timeout_seconds=seconds)


def at(table: Table, **values: Any) -> Any:
    return DeltaConnector.parse_target({"table": table.name, **values})


def apply(table: Table, *, before: int = 2, wanted: int = 1, key: str = "e1:s1", target: Any = None, connector: DeltaConnector | None = None) -> Any:
    act = connector or hub(table)
    return act.apply(target=target or at(table), before=shares(table.ref(before)), wanted=shares(table.ref(wanted)), key=key, reason="Ada: wrong labels")


def preflight(table: Table, *, before: int = 2, wanted: int = 1, **values: Any) -> list[ProblemCode]:
    found = hub(table).preflight(target=at(table, **values), before=shares(table.ref(before)), wanted=shares(table.ref(wanted)))
    return [problem.code for problem in found]


def observe(table: Table, wanted: int) -> Any:
    return hub(table).observe(target=at(table), wanted=shares(table.ref(wanted)))


def test_apply_restores_rows_in_a_new_version_that_says_who_and_why(table: Table) -> None:
    done = apply(table)
    assert (done.changed, done.revision) == (True, "3")
    assert table.rows() == [1, 2, 3]
    newest = table.open().history(1)[0]
    assert (newest["operation"], newest["rollbackhub.key"], newest["rollbackhub.reason"]) == ("RESTORE", "e1:s1", "Ada: wrong labels")
    assert table.open(2).version() == 2, "what was rolled back stays in the history"


def test_apply_twice_makes_one_version(table: Table) -> None:
    apply(table)
    again = apply(table)
    assert (again.changed, again.revision, table.keys()) == (False, "3", ["e1:s1"])


def test_apply_with_a_key_that_had_its_effect_does_not_undo_what_came_after(table: Table) -> None:
    apply(table)
    table.write(4)
    with pytest.raises(ProblemFound, match=r"changed afterwards: version 4 \(WRITE at ") as caught:
        apply(table)
    assert caught.value.problem.code == ProblemCode.CONFIG_MISMATCH
    assert table.rows() == [1, 2, 3, 4]
    with pytest.raises(ProblemFound):
        apply(table, target=at(table, appends="discard"))
    assert table.rows() == [1, 2, 3, 4], "discard is for what came before the action, not after it"


def test_there_and_back_and_there_again(table: Table) -> None:
    """After a restore the version that is rolled back may be an old number, whose content the table has again."""
    apply(table, before=2, wanted=1, key="a")
    apply(table, before=1, wanted=2, key="b")
    assert table.rows() == [9]
    assert preflight(table) == []
    assert apply(table, before=2, wanted=1, key="c").changed
    assert (table.rows(), table.keys()) == ([1, 2, 3], ["c", "b", "a"])


def test_schema_is_restored_with_the_rows(table: Table) -> None:
    wide = table.widen(10)
    assert table.columns() == ["id", "part", "more"]
    assert apply(table, before=wide, wanted=1).changed
    assert (table.columns(), table.rows()) == (["id", "part"], [1, 2, 3])
    assert observe(table, 1).reached
    assert not observe(table, wide).reached


def test_column_that_was_added_without_rows_is_a_change(table: Table) -> None:
    table.open().alter.add_columns(Field("late", PrimitiveType("string")))
    assert not observe(table, 2).reached
    assert preflight(table) == [ProblemCode.CONFIG_MISMATCH]


def test_partitioned_table_with_names_that_need_escaping(tmp_path: Path) -> None:
    table = Table(tmp_path / "lake")
    table.write(1, 2, partition_by=["part"])
    table.write(3, mode="overwrite")
    assert preflight(table, before=1, wanted=0) == []
    assert apply(table, before=1, wanted=0).changed
    assert table.rows() == [1, 2]
    assert observe(table, 0).reached
    assert preflight(table, before=0, wanted=1) == []


def test_plan_and_preflight_and_observe_change_nothing(table: Table) -> None:
    def everything() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in table.root.rglob("*")}

    stood = everything()
    assert preflight(table) == []
    changes = hub(table).plan(target=at(table), wanted=shares(table.ref(1)))
    assert [change.after for change in changes] == ["version 3 with the content of 1 (set-1)", "undone; its version stays in the history"]
    assert changes[1].before.startswith("WRITE at ")
    assert not observe(table, 1).reached
    assert everything() == stood
    assert hub(table).plan(target=at(table), wanted=shares(table.ref(2))) == []


def test_observe_sees_a_change_behind_our_back(table: Table) -> None:
    apply(table)
    assert observe(table, 1).reached
    table.write(4)
    seen = observe(table, 1)
    assert not seen.reached
    assert "version 4 (WRITE at " in seen.found
    assert seen.values == {"table": "sets/train", "version": 4, "wanted": 1, "commits_since": 1}


def test_rewritten_files_with_the_same_rows_are_no_change(tmp_path: Path) -> None:
    table = Table(tmp_path / "lake")
    table.write(9)
    for one in range(4):
        table.write(one, mode="overwrite" if one == 0 else "append")
    table.open().optimize.compact()
    table.vacuum()
    assert observe(table, 4).reached
    assert ProblemCode.CONFIG_MISMATCH not in preflight(table, before=4, wanted=0)


def test_commits_since_are_refused_and_named_or_undone_when_the_target_says_so(table: Table) -> None:
    table.write(10)
    table.write(11)
    with pytest.raises(ProblemFound, match=r"2 commits since that changed it: version 4 \(WRITE at .*version 3 \(WRITE at") as caught:
        apply(table)
    assert caught.value.problem.code == ProblemCode.CONFIG_MISMATCH
    assert preflight(table) == [ProblemCode.CONFIG_MISMATCH]
    assert table.rows() == [9, 10, 11]
    assert preflight(table, appends="discard") == []
    planned = hub(table).plan(target=at(table, appends="discard"), wanted=shares(table.ref(1)))
    assert [change.subject for change in planned[1:]] == [f"commit {number} of sets/train" for number in (2, 3, 4)]
    assert apply(table, target=at(table, appends="discard")).changed
    assert table.rows() == [1, 2, 3]


def test_files_that_vacuum_removed_are_target_retired_before_anything_is_done(table: Table) -> None:
    assert table.vacuum() == 2
    tip = table.open().version()
    (problem,) = hub(table).preflight(target=at(table), before=shares(table.ref(2)), wanted=shares(table.ref(1)))
    assert problem.code == ProblemCode.TARGET_RETIRED
    assert "2 of its 2 files are not there any more" in problem.found
    for act in (lambda: apply(table), lambda: hub(table).plan(target=at(table), wanted=shares(table.ref(1)))):
        with pytest.raises(ProblemFound, match="VACUUM") as caught:
            act()
        assert caught.value.problem.code == ProblemCode.TARGET_RETIRED
    assert table.open().version() == tip


def test_version_that_the_log_does_not_hold_any_more_or_not_yet_is_target_retired(table: Table) -> None:
    assert preflight(table, wanted=7) == [ProblemCode.TARGET_RETIRED]
    table.open().create_checkpoint()
    for version in range(2):
        table.log(version).unlink()
    assert preflight(table) == [ProblemCode.TARGET_RETIRED]
    for act in (lambda: apply(table), lambda: observe(table, 1)):
        with pytest.raises(ProblemFound, match="does not hold it any more"):
            act()
    assert observe(table, 2).reached


def test_log_with_a_hole_is_compared_by_its_ends(table: Table) -> None:
    apply(table, key="a")
    table.write(4)
    table.open().create_checkpoint()
    table.open(1).create_checkpoint()
    table.log(2).unlink()
    assert not observe(table, 1).reached
    assert "the log does not hold every commit" in observe(table, 1).found


def test_table_that_is_not_there_is_flag_moved_and_a_root_that_is_not_there_unreachable(table: Table) -> None:
    other = Table(table.root, "sets/other")
    assert preflight(other) == [ProblemCode.FLAG_MOVED]
    with pytest.raises(ProblemFound, match="a Delta table under the connection's root"):
        apply(other)
    os.rename(table.root, table.root.with_name("unmounted"))
    assert preflight(table) == [ProblemCode.UNREACHABLE]
    for act in (lambda: apply(table), lambda: observe(table, 1), lambda: hub(table).plan(target=at(table), wanted=shares(table.ref(1)))):
        with pytest.raises(TransientError, match="is not there"):
            act()


def test_link_that_leads_out_of_the_root_is_refused(table: Table, tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "sets").symlink_to(table.root / "sets")
    with pytest.raises(ProblemFound, match="leads out of the root"):
        apply(Table(inner))
    assert table.rows() == [9]


@pytest.mark.parametrize("uri", ["", "delta:1", "delta:sets/other@1", "delta:sets/train@-1", "delta:sets/train@01", "delta:sets/train@1 ", "git:abc"])
def test_other_addresses_are_refused_with_the_right_form(table: Table, uri: str) -> None:
    with pytest.raises(ProblemFound, match="delta:sets/train@NUMBER") as caught:
        hub(table).observe(target=at(table), wanted=shares(VersionRef("x", uri=uri)))
    assert caught.value.problem.code == ProblemCode.CONFIG_MISMATCH


def test_table_with_deletion_vectors_is_refused(table: Table) -> None:
    features = {"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": ["deletionVectors"], "writerFeatures": ["deletionVectors"]}
    table.commit_by_hand({"commitInfo": {"timestamp": 1, "operation": "UPGRADE"}}, {"protocol": features})
    assert preflight(table) == [ProblemCode.CONFIG_MISMATCH]
    with pytest.raises(ProblemFound, match="without deletion vectors"):
        apply(table)
    assert table.open().version() == 3


FEATURE = {"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": ["timestampNtz"], "writerFeatures": ["timestampNtz"]}


def test_table_that_got_a_feature_since_is_restored_and_keeps_it(table: Table) -> None:
    table.commit_by_hand({"commitInfo": {"timestamp": 1, "operation": "UPGRADE"}}, {"protocol": FEATURE})
    assert preflight(table) == []
    assert apply(table).changed
    assert (table.rows(), table.open().protocol().reader_features) == ([1, 2, 3], ["timestampNtz"])
    assert table.write(4) == 5


def test_version_with_a_feature_that_the_table_has_not_any_more_is_refused(table: Table) -> None:
    """The library panics there."""
    table.commit_by_hand({"commitInfo": {"timestamp": 1, "operation": "UPGRADE"}}, {"protocol": FEATURE})
    upgraded = table.write(1, mode="overwrite")
    table.commit_by_hand({"commitInfo": {"timestamp": 2, "operation": "DROP FEATURE"}}, {"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}})
    tip = table.write(7, mode="overwrite")
    assert preflight(table, before=tip, wanted=upgraded) == [ProblemCode.TARGET_RETIRED]
    with pytest.raises(ProblemFound, match="timestampNtz, which the table has not now"):
        apply(table, before=tip, wanted=upgraded)
    assert (table.open().version(), table.rows()) == (tip, [7])


def test_panic_of_the_library_is_an_error_with_its_words(table: Table) -> None:
    table.commit_by_hand({"commitInfo": {"timestamp": 1, "operation": "UPGRADE"}}, {"protocol": FEATURE})
    table.commit_by_hand({"commitInfo": {"timestamp": 2, "operation": "DROP FEATURE"}}, {"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}})
    with opened(hub(table).settings, table=table.name, timeout_seconds=SECONDS) as session, pytest.raises(Unavailable, match="features must be present"):
        session.ask("restore", tip=4, version=3, metadata={})


def test_log_that_cannot_be_read_is_an_error_and_not_a_finding_of_health(table: Table) -> None:
    table.log(2).write_text("{ no json")
    assert preflight(table) == [ProblemCode.UNREACHABLE]
    for act in (lambda: apply(table), lambda: observe(table, 1)):
        with pytest.raises(Unavailable):
            act()


def meanwhile(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Something happens between our look and our restore."""
    ask = Session.ask

    def others_first(self: Session, do: str, **question: Any) -> dict[str, Any]:
        if do == "restore":
            act()
        return ask(self, do, **question)

    monkeypatch.setattr(Session, "ask", others_first)


def test_commit_by_somebody_else_meanwhile_is_seen_and_refused(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    meanwhile(monkeypatch, lambda: table.write(12))
    with pytest.raises(ProblemFound, match=r"version 3 \(WRITE"):
        apply(table)
    assert (table.rows(), table.keys()) == ([9, 12], [])


def test_commit_that_changed_no_rows_meanwhile_is_gone_around(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    late = iter(range(2))

    def twice() -> None:
        if next(late, None) is not None:
            table.open().alter.set_table_properties({"delta.logRetentionDuration": "interval 9 days"})

    meanwhile(monkeypatch, twice)
    done = apply(table)
    assert (done.changed, done.revision, table.rows()) == (True, "5", [1, 2, 3])


def test_commits_that_never_end_are_transient_and_nothing_is_changed(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    meanwhile(monkeypatch, lambda: table.open().alter.set_table_properties({"delta.logRetentionDuration": "interval 9 days"}))
    with pytest.raises(TransientError, match="each of 2 tries"):
        apply(table, connector=hub(table, tries=2))
    assert (table.rows(), table.keys()) == ([9], [])


def test_writers_race_and_no_commit_is_lost(table: Table) -> None:
    """Appends go on while we restore; every commit that was acknowledged is in the history, and the restore is there once."""
    stop = threading.Event()
    written: list[int] = []

    def append() -> None:
        while not stop.is_set():
            table.write(100 + len(written))
            written.append(1)
            time.sleep(0.05)

    writer = threading.Thread(target=append)
    writer.start()
    try:
        done = apply(table, connector=hub(table, tries=20), target=at(table, appends="discard"))
    finally:
        stop.set()
        writer.join()
    history = [one["operation"] for one in table.open().history()]
    assert done.changed
    assert (history.count("RESTORE"), history.count("WRITE")) == (1, 3 + len(written))
    assert set(table.rows()) >= {1, 2, 3}
    assert 9 not in table.rows()


def _die_after_restore(table: Table) -> None:
    ask = Session.ask

    def dying(self: Session, do: str, **question: Any) -> dict[str, Any]:
        answer = ask(self, do, **question)
        if do == "restore":
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    Session.ask = dying  # type: ignore[method-assign] # in a child process of its own
    apply(table)


def test_killed_after_the_effect_and_applied_again_has_one_effect(table: Table) -> None:
    child = multiprocessing.get_context("fork").Process(target=_die_after_restore, args=(table,))
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL
    assert table.open().version() == 3
    again = apply(table)
    assert (again.changed, table.open().version(), table.keys()) == (False, 3, ["e1:s1"])


def _without_override(table: Table, results: Any) -> None:
    """root without the right to ignore permissions (CAP_DAC_OVERRIDE): its folders refuse it as they refuse others."""
    ctypes.CDLL(None).prctl(24, 1, 0, 0, 0)
    connector = hub(table)
    found = connector.preflight(target=at(table), before=shares(table.ref(2)), wanted=shares(table.ref(1)))
    said = [f"{problem.code}: {problem.found}" for problem in found]
    said.append(_refusal(table))
    ask = Session.ask
    # As of object storage: nothing is known before the commit itself.
    Session.ask = lambda self, do, **question: {**ask(self, do, **question), "refused": ""}  # type: ignore[method-assign]
    results.put([*said, _refusal(table)])


def _refusal(table: Table) -> str:
    try:
        apply(table)
    except PermissionMissing as error:
        return error.message
    return "was not refused"


def test_folder_that_may_not_be_written_is_permission_missing(table: Table) -> None:
    log = table.folder / "_delta_log"
    log.chmod(0o500)
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    child = context.Process(target=_without_override, args=(table, results))
    child.start()
    problem, known, tried = results.get(timeout=60)
    child.join(10)
    log.chmod(0o700)
    assert problem.startswith("permission_missing: ")
    assert "may not be written" in problem
    assert "refuses a commit" in known
    assert "refuses restore" in tried
    assert table.open().version() == 2


@pytest.fixture
def silent() -> Iterator[int]:
    """A port where somebody listens and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)
        yield listener.getsockname()[1]


def s3(port: int, *, seconds: float, **settings: Any) -> DeltaConnector:
    options = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_ALLOW_HTTP": "true", "AWS_REGION": "eu-central-1"}
    return DeltaConnector(DeltaConnector.parse_settings({**S3, "options": options, **settings}), timeout_seconds=seconds)


def s3_acts(connector: DeltaConnector) -> list[Callable[[], Any]]:
    table = Table(Path("/nowhere"))
    old, new = shares(table.ref(1)), shares(table.ref(2))
    return [
        lambda: connector.apply(target=at(table), before=new, wanted=old, key="k", reason="r"),
        lambda: connector.observe(target=at(table), wanted=old),
        lambda: connector.plan(target=at(table), wanted=old),
    ]


@pytest.fixture
def login(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_TEST_S3", json.dumps({"AWS_ACCESS_KEY_ID": "test-only-id", "AWS_SECRET_ACCESS_KEY": TEST_SECRET}))


def test_storage_that_never_answers_ends_at_the_time_limit_and_no_process_is_left(silent: int, login: None) -> None:
    connector = s3(silent, seconds=1.5)
    for act in s3_acts(connector):
        started = time.monotonic()
        with pytest.raises(TransientError) as caught:
            act()
        assert time.monotonic() - started < 8
        assert TEST_SECRET not in caught.value.message
    assert [problem.code for problem in _preflight_s3(connector)] == [ProblemCode.UNREACHABLE]
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    assert not [child for child in children if b"delta/worker.py" in Path(f"/proc/{child}/cmdline").read_bytes()]


def _preflight_s3(connector: DeltaConnector) -> list[Any]:
    table = Table(Path("/nowhere"))
    return connector.preflight(target=at(table), before=shares(table.ref(2)), wanted=shares(table.ref(1)))


def test_storage_that_is_down_is_worth_a_retry(login: None) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        connector = s3(taken.getsockname()[1], seconds=5)
        for act in s3_acts(connector):
            with pytest.raises(TransientError, match="cannot be reached") as caught:
                act()
            assert TEST_SECRET not in caught.value.message
        assert [problem.code for problem in _preflight_s3(connector)] == [ProblemCode.UNREACHABLE]


def test_worker_that_is_stopped_ends_at_the_time_limit(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that does not answer: the process hangs in the restore."""
    ask, workers = Session.ask, []

    def stopped(self: Session, do: str, **question: Any) -> dict[str, Any]:
        if do == "restore":
            workers.append(self._process)
            os.kill(self._process.pid, signal.SIGSTOP)
        return ask(self, do, **question)

    monkeypatch.setattr(Session, "ask", stopped)
    with pytest.raises(TransientError, match="trying again is safe") as caught:
        apply(table, connector=hub(table, seconds=1))
    assert caught.value.code == "timeout"
    assert [worker.returncode for worker in workers] == [-signal.SIGKILL], "nothing of it goes on later"
    monkeypatch.setattr(Session, "ask", ask)
    assert apply(table).changed
    assert table.keys() == ["e1:s1"]


def test_storage_that_may_not_be_called_is_not_called(silent: int, login: None, settings: Any) -> None:
    settings.CONFIG = settings.CONFIG.model_copy(update={"outbound_allowed_hosts": ["s3.example.org"]})
    for act in s3_acts(s3(silent, seconds=2)):
        with pytest.raises(OutboundRefused):
            act()
    assert [problem.code for problem in _preflight_s3(s3(silent, seconds=2))] == [ProblemCode.PERMISSION_MISSING]


@pytest.mark.parametrize("held", ["", "hunter2secret", '{"AWS_SECRET_ACCESS_KEY": 1}', '{"OTHER": "hunter2secret"}', "[]"])
def test_secret_options_that_are_missing_or_of_another_shape_are_said_and_not_repeated(silent: int, held: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_TEST_S3", held)
    for act in [*s3_acts(s3(silent, seconds=5)), lambda: _preflight_s3(s3(silent, seconds=5))]:
        with pytest.raises(SecretMissing, match="HUB_TEST_S3") as caught:
            act()
        assert "hunter2secret" not in caught.value.message


@pytest.mark.parametrize(
    ("what", "values"),
    [
        ("settings", {"root": "relative"}),
        ("settings", {"root": "/a/../b"}),
        ("settings", {"root": "/"}),
        ("settings", {"root": "gs://bucket"}),
        ("settings", {"root": "s3://bucket"}),
        ("settings", {"root": "s3://bucket", "options_ref": "env:X"}),
        ("settings", {"root": "s3://bucket", "options_ref": "env:X", "options": {"AWS_ENDPOINT_URL": "http://u@h"}}),
        ("settings", {"root": "/lake", "options_ref": "env:X"}),
        ("settings", {"root": "/lake", "options": {"AWS_METADATA_ENDPOINT": "http://169.254.169.254"}}),
        ("settings", {"root": "/lake", "more": 1}),
        ("target", {"table": "../x"}),
        ("target", {"table": "a/../../x"}),
        ("target", {"table": "/etc"}),
        ("target", {"table": "a%2e%2e/x"}),
        ("target", {"table": "-x"}),
        ("target", {"table": ""}),
        ("target", {"table": "s3://other/x"}),
        ("target", {"table": "x", "appends": "keep"}),
    ],
)
def test_wrong_settings_and_targets_are_refused(what: str, values: dict[str, Any]) -> None:
    parse = DeltaConnector.parse_settings if what == "settings" else DeltaConnector.parse_target
    with pytest.raises(InvalidInput):
        parse(values)


@pytest.mark.parametrize(
    "values",
    [
        {"root": "s3://b", "options_ref": "hunter2secret"},
        {"root": "s3://b", "options": {"AWS_SECRET_ACCESS_KEY": "hunter2secret"}},
        {"root": "s3://b", "options": {"AWS_ENDPOINT_URL": "https://me:hunter2secret@h"}},
        {"root": "s3://b", "password": "hunter2secret"},
    ],
)
def test_secret_in_a_setting_is_refused_and_not_repeated(values: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as caught:
        DeltaConnector.parse_settings(values)
    assert "hunter2secret" not in f"{caught.value.message} {caught.value.fields}"


def test_names_that_a_consumer_may_answer_with(table: Table) -> None:
    assert hub(table).served_names(target=at(table), version=table.ref(1)) == ["set-1", "delta:sets/train@1", "1"]
