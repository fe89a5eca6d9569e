"""What `make up` writes down about its processes, so that the next one can clear what a killed one left."""

from __future__ import annotations

import json
import os
from pathlib import Path

import psutil

SAME_START_SECONDS = 0.05


class ProcessRecord:
    """The file with process ids and their starting times (so that no other process that got an old id is mistaken for ours)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[int, float] = {}

    def add(self, pid: int) -> None:
        """Write down a process that was started just now."""
        try:
            self._known[pid] = psutil.Process(pid).create_time()
        except psutil.NoSuchProcess:
            return
        write_private(self._path, {str(known): started for known, started in self._known.items()})

    def forget_all(self) -> None:
        """All have been stopped."""
        self._known.clear()
        self._path.unlink(missing_ok=True)

    def clear_leftovers(self) -> tuple[int, list[int]]:
        """Kill processes that an earlier runner left, with all of their sessions; answers how many, and all ids that it had written down.

        Its children are leaders of sessions, so what they started is known by the session's id even when they have gone themselves.
        """
        try:
            recorded = {int(pid): float(started) for pid, started in json.loads(self._path.read_text()).items()}
        except FileNotFoundError:
            return 0, []
        except (ValueError, AttributeError):
            recorded = {}
        left = [process for process in psutil.process_iter() if _belongs(process, recorded)]
        for process in left:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(left, timeout=10)
        self.forget_all()
        return len(left), list(recorded)


def _belongs(process: psutil.Process, recorded: dict[int, float]) -> bool:
    try:
        started = process.create_time()
        session = os.getsid(process.pid)
    except (psutil.NoSuchProcess, ProcessLookupError, PermissionError):
        return False
    if process.pid == os.getpid():
        return False
    leader = recorded.get(session)
    if leader is None or started < leader - SAME_START_SECONDS:
        return False
    # While one of a session lives, nobody gets its id; so a leader that started at another time leads another session.
    try:
        return bool(abs(psutil.Process(session).create_time() - leader) <= SAME_START_SECONDS)
    except psutil.NoSuchProcess:
        return True


def write_private(path: Path, content: object) -> None:
    """Write JSON that only the owner may read, whole or not at all."""
    making = path.with_name(f"{path.name}.{os.getpid()}")
    handle = os.open(making, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as file:
        json.dump(content, file)
    making.rename(path)
