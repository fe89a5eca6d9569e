"""The process runner: starts programs, prints what they say, starts again what ends unasked, and stops all in order.

One thread only: the kernel ties a child's life to the thread that started it, and a fork is only safe in a process without threads.
"""

from __future__ import annotations

import os
import selectors
import signal
import time
from collections.abc import Callable
from types import FrameType

import psutil

from rollbackhub.common.linux import adopt_orphans, reap_adopted
from rollbackhub.local.child import Child, ending_of
from rollbackhub.local.embedded import Postgres, Valkey
from rollbackhub.local.leftovers import ProcessRecord
from rollbackhub.local.output import Printer
from rollbackhub.local.server_user import CannotStart

TICK_SECONDS = 0.2
KILL_WAIT_SECONDS = 5.0
READ_BYTES = 65_536
EXIT_CANNOT_START = os.EX_CONFIG
"""A program that ends with this code has said in its last line what to change; starting it again would not help."""

Server = Postgres | Valkey


def stop_signals() -> list[signal.Signals]:
    """The signals that mean: stop. The end of the terminal does not, when `nohup` said so."""
    heeds_hangup = signal.getsignal(signal.SIGHUP) != signal.SIG_IGN
    return [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if heeds_hangup else [])]


class Runner:
    """Watches over the servers and the programs until it is told to stop."""

    def __init__(
        self, *, children: list[Child], servers: list[Server], printer: Printer, record: ProcessRecord, on_death: Callable[[Child, str], None]
    ) -> None:
        self._children = children
        self._servers = servers
        self._printer = printer
        self._record = record
        self._on_death = on_death
        self._selector = selectors.DefaultSelector()
        self._stop_signals = 0
        self._failed = False
        self._ending = False
        self._wake_read, self._wake_write = os.pipe()

    @property
    def stopping(self) -> bool:
        """Whether somebody asked to stop, or a program cannot be started at all."""
        return self._stop_signals > 0 or self._failed

    def listen_to_signals(self) -> None:
        """From now on SIGINT, SIGTERM and SIGHUP stop in order; a second one stops at once."""
        adopt_orphans()
        os.set_blocking(self._wake_write, False)
        os.set_blocking(self._wake_read, False)
        self._selector.register(self._wake_read, selectors.EVENT_READ, None)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for signum in stop_signals():
            signal.signal(signum, self._asked_to_stop)

    def _asked_to_stop(self, signum: int, frame: FrameType | None) -> None:
        self._stop_signals += 1

    def start_all(self) -> None:
        """Start every program."""
        for child in self._children:
            self._start(child)

    def turn(self, seconds: float = TICK_SECONDS) -> None:
        """Pass on output, notice ends, start again what is due; returns after so many seconds or as soon as something happened."""
        for key, _ in self._selector.select(seconds):
            if key.data is None:
                os.read(self._wake_read, READ_BYTES)
            else:
                self._read(key.data)
        self._reap()
        if not self.stopping and not self._ending:
            self._tend_servers()
            self._tend_children()

    def stop_all(self) -> bool:
        """Stop the programs by their phases, then the servers; answers whether nothing had to be killed."""
        self._ending = True
        clean = True
        for phase in sorted({child.program.stop_phase for child in self._children}):
            clean &= self._stop_phase([child for child in self._children if child.program.stop_phase == phase])
        self._kill_stragglers()
        for server in reversed(self._servers):
            server.stop()
        self._record.forget_all()
        return clean

    @property
    def failed(self) -> bool:
        """Whether a program said that it cannot be started."""
        return self._failed

    def _start(self, child: Child) -> None:
        child.start()
        self._record.add(child.pid)
        self._selector.register(child.output, selectors.EVENT_READ, child)

    def _read(self, child: Child) -> None:
        try:
            data = os.read(child.output.fileno(), READ_BYTES)
        except BlockingIOError:
            return
        lines = child.buffer.feed(data) if data else child.buffer.flush()
        for line in lines:
            self._printer.line(child.name, line)
        if not data:
            self._close(child)

    def _close(self, child: Child) -> None:
        if not child.output.closed:
            self._selector.unregister(child.output)
            child.output.close()

    def _drain(self, child: Child) -> None:
        """Print what an ended process had still written (a grandchild may hold the pipe open, so not until its end)."""
        if child.output.closed:
            return
        try:
            while data := os.read(child.output.fileno(), READ_BYTES):
                for line in child.buffer.feed(data):
                    self._printer.line(child.name, line)
        except BlockingIOError:
            pass
        for line in child.buffer.flush():
            self._printer.line(child.name, line)
        self._close(child)

    def _tend_children(self) -> None:
        for child in self._children:
            if child.runs:
                continue
            if child.start_again_at is None:
                self._died(child)
            elif time.monotonic() >= child.start_again_at:
                self._printer.line(child.name, "-- starting again")
                self._start(child)

    def _died(self, child: Child) -> None:
        assert child.process is not None
        # What it had started must not meet its successor.
        child.kill_all()
        self._drain(child)
        ending = ending_of(child.process.returncode)
        if child.process.returncode == EXIT_CANNOT_START:
            self._failed = True
            return
        wait = child.plan_restart()
        self._printer.line(child.name, f"-- {ending}; starts again in {wait:.0f} s")
        self._on_death(child, ending)

    def _tend_servers(self) -> None:
        for server in self._servers:
            if server.process is None or server.process.poll() is None:
                continue
            name = type(server).__name__
            self._printer.plain(f"{name} {ending_of(server.process.returncode)}; starting it again.")
            try:
                server.start()
            except CannotStart as error:
                self._printer.plain(str(error))
                self._failed = True
                return

    def _reap(self) -> None:
        processes = [*(child.process for child in self._children), *(server.process for server in self._servers)]
        own = {process.pid: process for process in processes if process is not None}
        while (ended := reap_adopted(ours=set(own))) is not None:
            own.pop(ended).poll()

    def _stop_phase(self, children: list[Child]) -> bool:
        for child in children:
            child.ask_to_end()
        begun = time.monotonic()
        while any(child.runs for child in children) and self._stop_signals < 2:
            late = [child for child in children if child.runs and time.monotonic() - begun > child.program.grace_seconds]
            if late:
                break
            self.turn()
        clean = True
        for child in children:
            if child.runs:
                self._printer.line(child.name, "-- did not end in time and is killed")
                clean = False
            child.kill_all()
            if child.process is not None:
                child.process.wait(KILL_WAIT_SECONDS)
                self._drain(child)
        return clean

    def _kill_stragglers(self) -> None:
        """Kill what children left behind in sessions of their own; on Linux that has become ours."""
        servers = {server.process.pid for server in self._servers if server.process is not None}
        left: list[psutil.Process] = []
        for child in psutil.Process().children():
            if child.pid not in servers:
                left += [child, *child.children(recursive=True)]
        for process in left:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(left, timeout=KILL_WAIT_SECONDS)
