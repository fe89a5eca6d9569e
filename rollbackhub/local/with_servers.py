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
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import psutil

from rollbackhub.common.linux import adopt_orphans, reap_adopted
from rollbackhub.local.embedded import OWNER_ROLE, SUPERUSER, Postgres, Valkey
from rollbackhub.local.server_user import CannotStart, die_with

PREFIX = "rbh-"
TEST_LEASE_SECONDS = "3"
REAP_EVERY_SECONDS = 1.0


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


@dataclass(frozen=True)
class Servers:
    """Running servers: the environment variables that lead to them, and their process ids."""

    environment: dict[str, str]
    pids: set[int]


@contextmanager
def throwaway_servers() -> Iterator[Servers]:
    """Fresh servers, stopped afterwards. Raises CannotStart."""
    with throwaway_folder() as folder:
        postgres = Postgres(folder / "pg", folder / "s", folder / "postgres.log", durable=False, owner_may_create_databases=True)
        broker = Valkey(folder / "valkey", folder / "v", folder / "valkey.log", durable=False)
        try:
            postgres.start()
            broker.start()
            environment = {
                "DATABASE_URL": postgres.url(),
                "DATABASE_OWNER_URL": postgres.url(OWNER_ROLE),
                # For tests that tamper with what the triggers protect.
                "DATABASE_SUPERUSER_URL": postgres.url(SUPERUSER),
                "BROKER_URL": broker.url,
                "ROLLBACKHUB_VAR": os.environ.get("ROLLBACKHUB_VAR", str(folder / "var")),
                "LEASE_SECONDS": os.environ.get("LEASE_SECONDS", TEST_LEASE_SECONDS),
            }
            yield Servers(environment, {server.process.pid for server in (postgres, broker) if server.process is not None})
        finally:
            broker.stop()
            postgres.stop()


def run(command: list[str]) -> int:
    """Run the command with fresh servers; answers its exit code. A signal is passed on to it, a second one kills it."""
    adopt_orphans()
    running: list[subprocess.Popen[bytes]] = []
    received: list[int] = []

    def forward(signum: int, frame: FrameType | None) -> None:
        # A terminal sends Ctrl-C to the command as well.
        if not running:
            raise SystemExit(128 + signum)
        if received:
            running[0].kill()
        elif not (signum == signal.SIGINT and sys.stdin.isatty()):
            running[0].send_signal(signum)
        received.append(signum)

    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, forward)
    with throwaway_servers() as servers:
        try:
            running.append(subprocess.Popen(command, env=os.environ | servers.environment, preexec_fn=die_with(signal.SIGTERM)))
        except OSError as error:
            print(f"with_servers: {command[0]}: {error.strerror}", file=sys.stderr)
            return 127
        code = _wait(running[0], servers=servers.pids)
        _end_leftovers(servers=servers.pids)
    return 128 - code if code < 0 else code


def _wait(command: subprocess.Popen[bytes], *, servers: set[int]) -> int:
    """Wait for the command to end, and meanwhile for what it leaves behind; answers its exit code."""
    while True:
        try:
            return command.wait(REAP_EVERY_SECONDS)
        except subprocess.TimeoutExpired:
            reap_adopted(ours={command.pid, *servers})


def _end_leftovers(*, servers: set[int]) -> None:
    """Kill what the command left behind (on Linux orphans have become our children)."""
    left: list[psutil.Process] = []
    for child in psutil.Process().children():
        if child.pid not in servers:
            left += [child, *child.children(recursive=True)]
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
