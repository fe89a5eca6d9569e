"""The lab's child processes: started so that they die with the lab, watched, and started again when they end."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from rollbackhub.common import clock

logger = logging.getLogger(__name__)

STOP_SECONDS = 3.0
"""How long a child may take to end after SIGTERM."""
RESTART_DELAYS = (0.1, 0.5, 1.0, 2.0, 5.0)
"""Seconds before each restart in a row of a child that keeps ending."""
STEADY_SECONDS = 10.0
"""A child that ran this long has not kept ending."""
MOST_LOG_BYTES = 5_000_000
_START_CHILD = Path(__file__).with_name("start_child.py")
_PROJECT = Path(__file__).resolve().parents[2]


@dataclass
class Child:
    """One child process. `command` is asked at every start, so that a changed configuration takes effect with a restart."""

    name: str
    command: Callable[[], list[str]]
    folder: Path
    process: subprocess.Popen[bytes] | None = None
    restarts: int = 0
    _ended_in_a_row: int = field(default=0, repr=False)
    _started_at: float = field(default=0, repr=False)
    _start_again_at: float = field(default=0, repr=False)

    @property
    def log(self) -> Path:
        """Where its output goes."""
        return self.folder / f"{self.name}.log"

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        return self.process.pid if self.process is not None and self.process.poll() is None else None

    def start(self) -> None:
        """Start it, in a process group of its own (a Ctrl-C in the terminal is for the lab, which stops its children in order)."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.keep_log_small()
        command = [sys.executable, "-I", "-S", str(_START_CHILD), str(os.getpid()), *self.command()]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, cwd=_PROJECT, process_group=0)
        self._started_at = clock.monotonic()

    def watch(self) -> None:
        """Start it again if it has ended; not faster and faster when it keeps ending."""
        if self.process is None or self.process.poll() is None:
            return
        now = clock.monotonic()
        if self._start_again_at == 0:
            self._ended_in_a_row = 0 if now - self._started_at >= STEADY_SECONDS else self._ended_in_a_row + 1
            delay = RESTART_DELAYS[min(self._ended_in_a_row, len(RESTART_DELAYS) - 1)]
            self._start_again_at = now + delay
            logger.warning("%s ended (%s), it starts again in %.1f s; its output: %s", self.name, _how(self.process.returncode), delay, self.log)
        elif now >= self._start_again_at:
            self._start_again_at = 0
            self.restarts += 1
            self.start()

    def restart(self) -> None:
        """Stop it and start it again, with its present command."""
        self.stop()
        self._ended_in_a_row, self._start_again_at = 0, 0
        self.start()

    def stop(self) -> None:
        """End it: SIGTERM, then SIGKILL after STOP_SECONDS."""
        self.ask_to_end()
        self.wait_until_ended()

    def ask_to_end(self) -> None:
        """Send SIGTERM, without waiting."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)

    def wait_until_ended(self) -> None:
        """Wait for its end; SIGKILL after STOP_SECONDS. What it started itself ends with it."""
        if self.process is None:
            return
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(STOP_SECONDS)
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def keep_log_small(self) -> None:
        """Empty a log that has grown large. It is open for appending, so the child goes on at its new end."""
        if self.log.exists() and self.log.stat().st_size > MOST_LOG_BYTES:
            os.truncate(self.log, 0)


def _how(code: int) -> str:
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
