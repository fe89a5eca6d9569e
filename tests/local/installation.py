"""A real `make up` (without make) in a folder and on ports of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tests.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
READY = re.compile(r"^RollbackHub is ready: http://localhost:\d+$", re.MULTILINE)
START_SECONDS = 120.0
NO_SERVERS = ("DATABASE_URL", "DATABASE_OWNER_URL", "BROKER_URL", "LEASE_SECONDS")


def wait_until(condition: Callable[[], Any], *, seconds: float, what: str) -> Any:
    """What the condition answers as soon as that is true; fails after so many seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds:.0f} s: {what}")


@dataclass
class Installation:
    """An installation of RollbackHub and its runner."""

    var: Path
    log: Path
    port: int = field(default_factory=free_port)
    variables: dict[str, str] = field(default_factory=dict)
    runner: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        """The environment of its commands: no server is named, unless `variables` names it."""
        base = {key: value for key, value in os.environ.items() if key not in NO_SERVERS}
        return base | {"ROLLBACKHUB_VAR": str(self.var), "PORT": str(self.port), "LAB": "0", "WORKER_CONCURRENCY": "1"} | self.variables

    def begin(self) -> subprocess.Popen[bytes]:
        """Start the runner."""
        with self.log.open("wb") as log:
            command = [sys.executable, "-m", "rollbackhub.local.up"]
            self.runner = subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=log, stderr=log, start_new_session=True)
        return self.runner

    def start(self) -> None:
        """Start the runner and wait until it says that all is well."""
        runner = self.begin()
        wait_until(lambda: READY.search(self.said()) or runner.poll() is not None, seconds=START_SECONDS, what=f"ready; it said: {self.said()[-2000:]}")
        assert runner.poll() is None, self.said()

    def run_beside(self) -> subprocess.CompletedProcess[str]:
        """Another runner with the same environment, to its end."""
        command = [sys.executable, "-m", "rollbackhub.local.up"]
        return subprocess.run(command, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=60, check=False)

    def manage(self, *arguments: str) -> str:
        """A management command as a person would run it beside the running product; answers what it printed."""
        command = [sys.executable, "manage.py", *arguments]
        return subprocess.run(command, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=60, check=True).stdout

    def said(self) -> str:
        """What the runner has printed."""
        return self.log.read_text(errors="replace")

    def health(self) -> tuple[int, dict[str, Any], float]:
        """The status code of /healthz (0: no answer), its content, and the seconds it took."""
        start = time.monotonic()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=10) as answer:
                return answer.status, json.load(answer), time.monotonic() - start
        except urllib.error.HTTPError as error:
            return error.code, json.load(error), time.monotonic() - start
        except OSError:
            return 0, {}, time.monotonic() - start

    def processes(self) -> list[psutil.Process]:
        """Every living process of this installation, the runner included."""
        return [process for process in psutil.process_iter() if _is_of(process, str(self.var))]

    def process(self, *words: str) -> psutil.Process:
        """The one process that leads its session and has these words in its command line."""
        found = [process for process in self.processes() if _is_leader(process) and all(word in process.cmdline() for word in words)]
        assert len(found) == 1, (words, found)
        return found[0]

    def stop(self) -> int:
        """Stop the runner in order; answers its exit code."""
        assert self.runner is not None
        self.runner.send_signal(signal.SIGTERM)
        return self.runner.wait(60)

    def clear(self) -> None:
        """End whatever is left of it, however the test went."""
        if self.runner is not None and self.runner.poll() is None:
            self.runner.kill()
            self.runner.wait(10)
        left = self.processes()
        end_all(left)


def end_all(processes: Iterable[psutil.Process]) -> None:
    """Kill these."""
    found = list(processes)
    for process in found:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(found, timeout=10)


def _is_of(process: psutil.Process, var: str) -> bool:
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return bool(process.environ().get("ROLLBACKHUB_VAR") == var) or any(var in part for part in process.cmdline())
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False


def _is_leader(process: psutil.Process) -> bool:
    try:
        return bool(os.getsid(process.pid) == process.pid)
    except ProcessLookupError:
        return False
