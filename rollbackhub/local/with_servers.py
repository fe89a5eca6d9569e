"""Run a command beside its own throw-away PostgreSQL and Valkey: `python -m rollbackhub.local.with_servers pytest tests/`.

The servers are fast and not durable; they and their folder are gone afterwards, and so is every process that the command left.
Its exit code is the command's (128 + the signal's number when a signal ended it).
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import psutil

from rollbackhub.common.linux import adopt_orphans
from rollbackhub.local.embedded import OWNER_ROLE, SUPERUSER, Postgres, Valkey
from rollbackhub.local.server_user import CannotStart, die_with

PREFIX = "rbh-"
TEST_LEASE_SECONDS = "3"


@contextmanager
def throwaway_folder() -> Iterator[Path]:
    """A short temporary folder, gone afterwards; those of processes that were killed are removed on the way."""
    root = Path("/tmp")
    for old in root.glob(f"{PREFIX}*/lock"):
        _remove_unless_held(old)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=root))
    # PostgreSQL may run as another user (server_user.py), which has to pass; what is inside is closed.
    folder.chmod(0o711)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _remove_unless_held(lock: Path) -> None:
    try:
        with lock.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(lock.parent, ignore_errors=True)
    except OSError:
        # Held by its living owner, gone meanwhile, or somebody else's.
        return


@contextmanager
def throwaway_servers() -> Iterator[dict[str, str]]:
    """Fresh servers; gives the environment variables that lead to them."""
    with throwaway_folder() as folder:
        postgres = Postgres(folder / "pg", folder / "s", folder / "postgres.log", durable=False, owner_may_create_databases=True)
        broker = Valkey(folder / "valkey", folder / "v", folder / "valkey.log", durable=False)
        try:
            postgres.start()
            broker.start()
            yield {
                "DATABASE_URL": postgres.url(),
                "DATABASE_OWNER_URL": postgres.url(OWNER_ROLE),
                # For tests that tamper with what the triggers protect.
                "DATABASE_SUPERUSER_URL": postgres.url(SUPERUSER),
                "BROKER_URL": broker.url,
                "ROLLBACKHUB_VAR": os.environ.get("ROLLBACKHUB_VAR", str(folder / "var")),
                "LEASE_SECONDS": os.environ.get("LEASE_SECONDS", TEST_LEASE_SECONDS),
            }
        finally:
            broker.stop()
            postgres.stop()


def run(command: list[str]) -> int:
    """Run the command with fresh servers; answers its exit code."""
    adopt_orphans()
    ended_by: list[int] = []
    running: list[subprocess.Popen[bytes]] = []

    def forward(signum: int, frame: FrameType | None) -> None:
        ended_by.append(signum)
        # A terminal sends Ctrl-C to the command as well.
        if running and not (signum == signal.SIGINT and sys.stdin.isatty()):
            running[0].send_signal(signum)
        if not running:
            raise SystemExit(128 + signum)

    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, forward)
    with throwaway_servers() as environment:
        try:
            running.append(subprocess.Popen(command, env=os.environ | environment, preexec_fn=die_with(signal.SIGTERM)))
        except OSError as error:
            print(f"with_servers: {command[0]}: {error.strerror}", file=sys.stderr)
            return 127
        code = running[0].wait()
        servers = _server_pids(environment)
        _end_leftovers(servers)
    return 128 - code if code < 0 else code


def _server_pids(environment: dict[str, str]) -> set[int]:
    """The processes that are ours to stop in order: the children that are servers, with all that is below them."""
    kept: set[int] = set()
    for child in psutil.Process().children():
        if child.name() in ("postgres", "valkey-server"):
            kept |= {child.pid, *(below.pid for below in child.children(recursive=True))}
    return kept


def _end_leftovers(servers: set[int]) -> None:
    """Kill what the command left behind (on Linux orphans have become our children)."""
    left = [child for child in psutil.Process().children(recursive=True) if child.pid not in servers]
    for child in left:
        try:
            child.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(left, timeout=5)


def main() -> int:
    """The command line."""
    command = sys.argv[1:]
    if not command:
        print("Say which command to run: python -m rollbackhub.local.with_servers CMD ARGS…", file=sys.stderr)
        return 2
    try:
        return run(command)
    except CannotStart as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
