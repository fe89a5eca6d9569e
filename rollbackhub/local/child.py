"""One process under the runner: how it is started, how it ended, and when it is started again."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from dataclasses import dataclass, field
from typing import IO

from rollbackhub.local.output import LineBuffer
from rollbackhub.local.server_user import die_with

FIRST_BACKOFF_SECONDS = 1.0
LONGEST_BACKOFF_SECONDS = 30.0
STEADY_SECONDS = 60.0
"""A process that ran for so long is started again after the shortest wait."""


@dataclass(frozen=True)
class Program:
    """What to run. `stop_phase`: those with lower numbers are stopped first; `grace_seconds`: then how long it may take."""

    name: str
    command: tuple[str, ...]
    stop_phase: int = 1
    grace_seconds: float = 5.0


@dataclass
class Child:
    """A program under the runner."""

    program: Program
    environment: dict[str, str]
    process: subprocess.Popen[bytes] | None = None
    buffer: LineBuffer = field(default_factory=LineBuffer)
    started_at: float = 0.0
    start_again_at: float | None = None
    backoff: float = FIRST_BACKOFF_SECONDS

    @property
    def name(self) -> str:
        """The program's name."""
        return self.program.name

    @property
    def pid(self) -> int:
        """Process id of the running (or last) process; 0 before the first."""
        return self.process.pid if self.process is not None else 0

    @property
    def output(self) -> IO[bytes]:
        """The pipe that it writes to."""
        assert self.process is not None
        assert self.process.stdout is not None
        return self.process.stdout

    @property
    def runs(self) -> bool:
        """Whether its process has not ended."""
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """Start it in a session of its own, to end when the runner ends. Raises OSError."""
        self.start_again_at = None
        self.process = subprocess.Popen(
            self.program.command,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with(signal.SIGKILL),
        )
        os.set_blocking(self.output.fileno(), False)
        self.started_at = time.monotonic()

    def plan_restart(self) -> float:
        """After an unexpected end: decide when to start it again; answers in how many seconds."""
        if time.monotonic() - self.started_at > STEADY_SECONDS:
            self.backoff = FIRST_BACKOFF_SECONDS
        wait = self.backoff
        self.start_again_at = time.monotonic() + wait
        self.backoff = min(self.backoff * 2, LONGEST_BACKOFF_SECONDS)
        return wait

    def ask_to_end(self) -> None:
        """Send SIGTERM to the main process; it tells its own."""
        if self.process is not None and self.runs:
            self.process.terminate()

    def kill_all(self) -> None:
        """Kill its whole session's process group, whoever is left there."""
        if self.process is not None:
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                return


def ending_of(returncode: int) -> str:
    """How a process ended, in words that follow its name."""
    if returncode >= 0:
        return f"ended with exit code {returncode}"
    try:
        return f"was killed by {signal.Signals(-returncode).name}"
    except ValueError:
        return f"was killed by signal {-returncode}"
