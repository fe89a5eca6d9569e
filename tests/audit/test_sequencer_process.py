"""`manage.py sequencer` as a process: it keeps up, shows that it lives, outlives the database, and ends when told."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from rollbackhub.audit.domain.verify import verify_log
from rollbackhub.audit.models import AuditPending
from rollbackhub.common.models import ProcessHeartbeat
from tests.audit.tampering import superuser, write_events
from tests.databases import ROOT, FreshDatabase, point_django_at, url_of

pytestmark = pytest.mark.slow


def start(database: FreshDatabase, log: Path) -> subprocess.Popen[bytes]:
    """The sequencer, beside this test."""
    with log.open("ab") as file:
        return subprocess.Popen([sys.executable, "manage.py", "sequencer"], cwd=ROOT, env=database.env, stdout=file, stderr=file)


def until(condition: Callable[[], object], *, seconds: float) -> None:
    """Wait for it; fail when it takes longer."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.05)


@pytest.fixture
def log_file(tmp_path: Path) -> Path:
    """What the process says."""
    return tmp_path / "sequencer.log"


@pytest.fixture
def sequencer(fresh_database: FreshDatabase, log_file: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A running sequencer that has done its first batch."""
    write_events(1)
    process = start(fresh_database, log_file)
    try:
        until(lambda: not AuditPending.objects.exists(), seconds=15)
        yield process
    finally:
        process.kill()
        process.wait()


def test_sequencer_gives_each_event_its_place_within_10_s_and_beats(sequencer: subprocess.Popen[bytes]) -> None:
    write_events(30)
    began = time.monotonic()
    until(lambda: not AuditPending.objects.exists(), seconds=10)
    assert time.monotonic() - began < 3
    assert verify_log().leaves == 31
    until(lambda: ProcessHeartbeat.objects.get(name="sequencer").state.get("sequenced") == 31, seconds=5)
    found = ProcessHeartbeat.objects.get(name="sequencer")
    assert (found.pid, found.state["trouble"], found.ended_at) == (sequencer.pid, "", None)


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_sequencer_told_to_stop_ends_well_at_once(sequencer: subprocess.Popen[bytes], signum: signal.Signals) -> None:
    sequencer.send_signal(signum)
    assert sequencer.wait(timeout=5) == 0
    found = ProcessHeartbeat.objects.get(name="sequencer")
    assert found.ended_well
    assert found.ended_at is not None


def test_sequencer_outlives_lost_database_connections(sequencer: subprocess.Popen[bytes], fresh_database: FreshDatabase, log_file: Path) -> None:
    name = fresh_database.name
    with psycopg.connect(url_of("DATABASE_SUPERUSER_URL", database="postgres"), autocommit=True) as admin:
        # As a restart does: nobody gets in for a while, and everybody is cut.
        admin.execute(f"ALTER DATABASE {name} CONNECTION LIMIT 0")
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        until(lambda: "the database does not answer" in log_file.read_text(), seconds=15)
        admin.execute(f"ALTER DATABASE {name} CONNECTION LIMIT -1")
    # This process was cut as well.
    point_django_at(name)
    write_events(5)
    until(lambda: not AuditPending.objects.exists(), seconds=10)
    assert sequencer.poll() is None
    assert "sequencing again" in log_file.read_text()
    assert verify_log().ok


def test_sequencer_on_a_log_that_does_not_fit_says_so_and_goes_on_after_the_mend(
    sequencer: subprocess.Popen[bytes], fresh_database: FreshDatabase, log_file: Path
) -> None:
    with superuser(fresh_database) as attacker:
        attacker.execute("CREATE TABLE kept AS TABLE audit_audittreehead")
        attacker.execute("DELETE FROM audit_audittreehead")
        write_events(1)
        until(lambda: "nothing can be sequenced" in log_file.read_text(), seconds=10)
        until(lambda: "verify_audit" in ProcessHeartbeat.objects.get(name="sequencer").state["trouble"], seconds=5)
        attacker.execute("INSERT INTO audit_audittreehead TABLE kept")
    until(lambda: not AuditPending.objects.exists(), seconds=10)
    assert verify_log().ok


def test_sequencer_killed_in_the_middle_leaves_a_log_that_fits(fresh_database: FreshDatabase, log_file: Path) -> None:
    write_events(400)
    for _ in range(3):
        process = start(fresh_database, log_file)
        until(lambda: verify_log().leaves, seconds=15)
        process.kill()
        process.wait()
        write_events(100)
        assert verify_log().ok
    process = start(fresh_database, log_file)
    until(lambda: not AuditPending.objects.exists(), seconds=15)
    process.terminate()
    assert process.wait(timeout=5) == 0
    report = verify_log()
    assert (report.ok, report.leaves) == (True, 700)


def test_two_sequencers_share_the_work_without_trouble(sequencer: subprocess.Popen[bytes], fresh_database: FreshDatabase, log_file: Path) -> None:
    second = start(fresh_database, log_file)
    try:
        for _ in range(10):
            write_events(20)
        until(lambda: not AuditPending.objects.exists(), seconds=10)
        until(lambda: ProcessHeartbeat.objects.filter(name="sequencer").count() == 2, seconds=10)
    finally:
        second.terminate()
        assert second.wait(timeout=10) == 0
    report = verify_log()
    assert (report.ok, report.leaves) == (True, 201)
    assert "ERROR" not in log_file.read_text()
