"""Throw-away servers, and that nothing stays behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import pytest

from tests.local.installation import ROOT, wait_until

COMMAND = [sys.executable, "-m", "rollbackhub.local.with_servers"]


def _environment() -> dict[str, str]:
    return {
        key: value for key, value in os.environ.items() if key not in ("DATABASE_URL", "DATABASE_OWNER_URL", "BROKER_URL", "ROLLBACKHUB_VAR", "LEASE_SECONDS")
    }


def _folder_of(environment_lines: str) -> Path:
    broker = next(line for line in environment_lines.splitlines() if line.startswith("BROKER_URL="))
    return Path(broker.removeprefix("BROKER_URL=redis+socket://").split("?")[0]).parent.parent


def _processes_in(folder: Path) -> list[psutil.Process]:
    return [process for process in psutil.process_iter() if any(str(folder) in part for part in _cmdline(process))]


def _cmdline(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return []


def test_command_gets_servers_and_its_exit_code_is_passed_on() -> None:
    script = textwrap.dedent("""
        import os, psycopg, sys
        from kombu import Connection
        question = "SELECT current_user, current_setting('is_superuser')"
        users = [psycopg.connect(os.environ[name]).execute(question).fetchone() for name in ("DATABASE_URL", "DATABASE_OWNER_URL")]
        assert users == [("rollbackhub_app", "off"), ("rollbackhub_owner", "off")], users
        with Connection(os.environ["BROKER_URL"]) as broker:
            broker.default_channel
        print("\\n".join(f"{key}={value}" for key, value in os.environ.items()))
        sys.exit(7)
    """)
    done = subprocess.run([*COMMAND, sys.executable, "-c", script], cwd=ROOT, env=_environment(), capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 7, done.stderr
    assert "LEASE_SECONDS=3\n" in done.stdout
    folder = _folder_of(done.stdout)
    assert not folder.exists()
    assert _processes_in(folder) == []


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_signal_reaches_the_command_and_all_ends(signum: signal.Signals, tmp_path: Path) -> None:
    out = tmp_path / "out"
    script = f"env > {out}.part; mv {out}.part {out}; setsid sleep 300 & exec sleep 301"
    with subprocess.Popen([*COMMAND, "sh", "-c", script], cwd=ROOT, env=_environment(), stdin=subprocess.DEVNULL, start_new_session=True) as process:
        wait_until(out.exists, seconds=60, what="the command runs")
        below = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signum)
        assert process.wait(30) == 128 + signum
    _, alive = psutil.wait_procs(below, timeout=2)
    assert alive == []
    assert not _folder_of(out.read_text()).exists()


def test_killed_command_stops_the_servers() -> None:
    done = subprocess.run([*COMMAND, "sh", "-c", "env; kill -9 $$"], cwd=ROOT, env=_environment(), capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 128 + signal.SIGKILL
    assert not _folder_of(done.stdout).exists()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends servers with their parent; elsewhere the next start clears the folder")
def test_killed_itself_takes_command_and_servers_with_it(tmp_path: Path) -> None:
    out = tmp_path / "out"
    script = f"env > {out}.part; mv {out}.part {out}; sleep 300"
    with subprocess.Popen([*COMMAND, "sh", "-c", script], cwd=ROOT, env=_environment()) as process:
        wait_until(out.exists, seconds=60, what="the command runs")
        folder = _folder_of(out.read_text())
        assert _processes_in(folder)
        process.kill()
    wait_until(lambda: not _processes_in(folder), seconds=10, what="the servers have ended")
    subprocess.run([*COMMAND, "true"], cwd=ROOT, env=_environment(), check=True, timeout=90)
    assert not folder.exists()


def test_missing_command_is_named() -> None:
    done = subprocess.run([*COMMAND, "/no/such/command"], cwd=ROOT, env=_environment(), capture_output=True, text=True, timeout=90, check=False)
    assert (done.returncode, done.stderr) == (127, "with_servers: /no/such/command: No such file or directory\n")
