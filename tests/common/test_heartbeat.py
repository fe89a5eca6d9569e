"""Heartbeats in the database."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psycopg

from rollbackhub.common.heartbeat import Heartbeat, forget_processes, record_death
from rollbackhub.common.models import ProcessHeartbeat
from tests.databases import FreshDatabase
from tests.local.installation import wait_until

ROOT = Path(__file__).resolve().parents[2]


def test_heartbeat_beats_with_its_state_until_it_stops_well(fresh_database: FreshDatabase) -> None:
    count = iter(range(100))
    heartbeat = Heartbeat("worker", state=lambda: {"running": next(count)})
    heartbeat.start()
    first = wait_until(lambda: ProcessHeartbeat.objects.first(), seconds=5, what="the first beat")
    assert (first.name, first.pid, first.host, first.ended_at) == ("worker", os.getpid(), socket.gethostname(), None)
    wait_until(lambda: ProcessHeartbeat.objects.get().beat_at > first.beat_at, seconds=5, what="the second beat")
    heartbeat.stop()
    last = ProcessHeartbeat.objects.get()
    assert (last.ending, last.ended_well) == ("stopped", True)
    assert last.ended_at is not None
    assert last.state["running"] >= 1


def test_heartbeat_goes_on_after_its_connection_was_cut(fresh_database: FreshDatabase) -> None:
    heartbeat = Heartbeat("beat")
    heartbeat.start()
    first = wait_until(lambda: ProcessHeartbeat.objects.first(), seconds=5, what="the first beat")
    with psycopg.connect(fresh_database.owner_url, autocommit=True) as owner:
        owner.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%common_processheartbeat (instance%' AND pid <> pg_backend_pid()"
        )
    wait_until(lambda: ProcessHeartbeat.objects.get().beat_at > first.beat_at, seconds=8, what="a beat after that")
    heartbeat.stop()


def test_killed_process_leaves_its_row_and_its_death_can_be_recorded(fresh_database: FreshDatabase) -> None:
    code = "import django; django.setup(); from rollbackhub.common.heartbeat import start_heartbeat; start_heartbeat('lab'); import time; time.sleep(60)"
    environment = fresh_database.env | {"DJANGO_SETTINGS_MODULE": "rollbackhub.settings"}
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=environment) as process:
        wait_until(lambda: ProcessHeartbeat.objects.exists(), seconds=30, what="the first beat")
        process.send_signal(signal.SIGKILL)
    assert ProcessHeartbeat.objects.get().ended_at is None
    record_death(conninfo=fresh_database.url, name="lab", pid=process.pid, ending="was killed by SIGKILL")
    died = ProcessHeartbeat.objects.get()
    assert (died.ending, died.ended_well) == ("was killed by SIGKILL", False)
    assert died.ended_at is not None
    record_death(conninfo=fresh_database.url, name="lab", pid=process.pid, ending="something else")
    assert ProcessHeartbeat.objects.get().ending == "was killed by SIGKILL"
    forget_processes(conninfo=fresh_database.url, pids=[process.pid])
    assert not ProcessHeartbeat.objects.exists()
