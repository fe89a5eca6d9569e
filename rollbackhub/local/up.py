"""`make up`: everything that RollbackHub needs on one machine, from one command.

Starts embedded PostgreSQL and Valkey (unless DATABASE_URL and BROKER_URL say where others run), migrates, makes the first people,
and runs all programs until Ctrl-C or SIGTERM. Why not a ready-made runner: docs/decisions/0003-process-runner.md.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import psycopg

from rollbackhub.common.config import BASE_DIR, Config, load_config
from rollbackhub.common.heartbeat import forget_processes, record_death
from rollbackhub.common.linux import die_with_parent
from rollbackhub.local.child import Child
from rollbackhub.local.embedded import OWNER_ROLE, Postgres, Valkey
from rollbackhub.local.leftovers import ProcessRecord, write_private
from rollbackhub.local.output import Printer
from rollbackhub.local.ports import require_free_ports
from rollbackhub.local.programs import programs, required_folders
from rollbackhub.local.runner import Runner, Server, stop_signals
from rollbackhub.local.server_user import CannotStart

LAB_LEASE_SECONDS = 3.0
READY_SECONDS = 120.0
ASK_EVERY_SECONDS = 0.5
MIGRATE_SECONDS = 600


@dataclass
class Installation:
    """What is known while starting: the configuration, the servers, and where they are."""

    config: Config
    servers: list[Server] = field(default_factory=list)
    database_url: str = ""
    owner_url: str = ""
    broker_url: str = ""

    @property
    def servers_file(self) -> Path:
        """Where `manage.py` finds the running servers."""
        return self.config.var / "run" / "servers.json"

    @property
    def lease_seconds(self) -> float:
        """The lab's short lease when there is a lab, unless LEASE_SECONDS says otherwise."""
        return LAB_LEASE_SECONDS if self.config.lab and "LEASE_SECONDS" not in os.environ else self.config.lease_seconds

    @property
    def address(self) -> str:
        """Where a person on this machine opens RollbackHub."""
        host = {"0.0.0.0": "localhost", "::": "localhost", "127.0.0.1": "localhost"}.get(self.config.host, self.config.host)
        return self.config.public_url or f"http://{host}:{self.config.port}"

    def start_servers(self, printer: Printer) -> None:
        """Start the servers that no variable names. Raises CannotStart."""
        var = self.config.var
        if self.config.database_url:
            self.database_url, self.owner_url = self.config.database_url, self.config.database_owner_url or self.config.database_url
            _require_answer(self.database_url)
        else:
            postgres = Postgres(var / "postgres", var / "run" / "pg", var / "log" / "postgres.log")
            self.servers.append(postgres)
            postgres.start()
            self.database_url, self.owner_url = postgres.url(), postgres.url(OWNER_ROLE)
            printer.plain("PostgreSQL 18 runs.")
        if self.config.broker_url:
            self.broker_url = self.config.broker_url
        else:
            broker = Valkey(var / "valkey", var / "run", var / "log" / "valkey.log")
            self.servers.append(broker)
            broker.start()
            self.broker_url = broker.url
            printer.plain("Valkey 9 runs.")

    def write_servers_file(self) -> None:
        """Leave word for `manage.py` in other terminals. Holds addresses with passwords, so only its owner may read it."""
        content: dict[str, Any] = {"database_url": self.database_url, "database_owner_url": self.owner_url, "broker_url": self.broker_url}
        content |= {"lease_seconds": self.lease_seconds, "port": self.config.port, "lab_base_port": self.config.lab_base_port, "pid": os.getpid()}
        write_private(self.servers_file, content)

    def environment(self, *, as_owner: bool = False) -> dict[str, str]:
        """The variables of a program. Only what migrates gets the address of the tables' owner."""
        told = {
            "ROLLBACKHUB_VAR": str(self.config.var),
            "DATABASE_URL": self.database_url,
            "DATABASE_OWNER_URL": self.owner_url if as_owner else self.database_url,
            "BROKER_URL": self.broker_url,
            "LEASE_SECONDS": str(self.lease_seconds),
            "HOST": self.config.host,
            "PORT": str(self.config.port),
            "LAB": "1" if self.config.lab else "0",
            "LAB_BASE_PORT": str(self.config.lab_base_port),
            "PYTHONUNBUFFERED": "1",
        }
        return os.environ | told


def _require_answer(url: str) -> None:
    try:
        psycopg.connect(url, connect_timeout=5).close()
    except psycopg.Error as error:
        raise CannotStart(f"The database of DATABASE_URL does not answer: {str(error).strip()}") from error


def take_lock(var: Path) -> IO[str]:
    """The lock of this installation, held until the process ends. Raises CannotStart when another `make up` holds it."""
    path = var / "run" / "up.lock"
    lock = path.open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise CannotStart(
            f"RollbackHub already runs here{_who(var)}: stop it first, or start a second one with its own ROLLBACKHUB_VAR (folder), PORT and LAB_BASE_PORT."
        ) from None
    return lock


def _who(var: Path) -> str:
    try:
        found = json.loads((var / "run" / "servers.json").read_text())
        return f" (process {found['pid']}, port {found['port']})"
    except (OSError, ValueError, KeyError):
        return ""


def run_step(*arguments: str, environment: dict[str, str]) -> None:
    """Run a management command to its end, its output straight to the terminal. Raises CannotStart when it fails."""
    done = subprocess.run([sys.executable, str(BASE_DIR / "manage.py"), *arguments], env=environment, timeout=MIGRATE_SECONDS, check=False)
    if done.returncode:
        raise CannotStart(f"`manage.py {' '.join(arguments)}` failed (see above).")


def is_ready(address: str) -> tuple[bool, str]:
    """Ask /healthz; answers whether all is well, and if not, what is not in words."""
    try:
        with urllib.request.urlopen(f"{address}/healthz", timeout=3) as answer:
            content = json.load(answer)
    except urllib.error.HTTPError as error:
        content = json.load(error) if error.headers.get_content_type() == "application/json" else {}
    except (OSError, ValueError):
        return False, "the web process does not answer"
    unwell = [f"{name}: {part['sentence']}" for name, part in content.get("parts", {}).items() if part["status"] != "ok"]
    return content.get("status") == "ok", "; ".join(unwell) or "the web process answers with errors"


def run(printer: Printer, config: Config) -> int:
    """Start everything, watch over it until told to stop, stop everything; answers the exit code. Raises CannotStart."""
    record = ProcessRecord(config.var / "run" / "processes.json")
    cleared, gone = record.clear_leftovers()
    if cleared:
        printer.plain(f"Cleared {cleared} processes that an earlier, killed start had left.")
    require_free_ports(config)
    installation = Installation(config)

    def on_death(child: Child, ending: str) -> None:
        try:
            record_death(conninfo=installation.database_url, name=child.name, pid=child.pid, ending=ending)
        except psycopg.Error as error:
            printer.line(child.name, f"-- its end could not be written down: {str(error).strip()}")

    try:
        installation.start_servers(printer)
        installation.write_servers_file()
        owner = installation.environment(as_owner=True)
        run_step("migrate", "--verbosity", "0", environment=owner)
        forget_processes(conninfo=installation.database_url, pids=gone)
        run_step("create_first_people", environment=installation.environment())
        children = [Child(program, installation.environment()) for program in programs(config)]
        runner = Runner(children=children, servers=installation.servers, printer=printer, record=record, on_death=on_death)
    except BaseException:
        for server in reversed(installation.servers):
            server.stop()
        installation.servers_file.unlink(missing_ok=True)
        raise
    try:
        runner.listen_to_signals()
        runner.start_all()
        announce(runner, printer, installation)
        while not runner.stopping:
            runner.turn()
        printer.plain("Stopping.")
    finally:
        clean = runner.stop_all()
        installation.servers_file.unlink(missing_ok=True)
    printer.plain("Stopped." if clean else "Stopped; what did not end by itself was killed.")
    return 1 if runner.failed else 0


def announce(runner: Runner, printer: Printer, installation: Installation) -> None:
    """Wait until all is well and print the address, or say what is not well yet."""
    local = f"http://{'127.0.0.1' if installation.config.host in ('0.0.0.0', '::') else installation.config.host}:{installation.config.port}"
    deadline = time.monotonic() + READY_SECONDS
    next_question = 0.0
    why = ""
    while not runner.stopping and time.monotonic() < deadline:
        runner.turn()
        if time.monotonic() < next_question:
            continue
        ready, why = is_ready(local)
        next_question = time.monotonic() + ASK_EVERY_SECONDS
        if ready:
            printer.plain(f"RollbackHub is ready: {installation.address}")
            return
    if not runner.stopping:
        printer.plain(f"RollbackHub is at {installation.address}, but not everything is well after {READY_SECONDS:.0f} s: {why}")


def main() -> int:
    """The command line."""
    if "MAKELEVEL" in os.environ:
        # A killed `make` must not leave us behind.
        die_with_parent(signal.SIGTERM)
    for signum in stop_signals():
        if signum != signal.SIGINT:
            signal.signal(signum, lambda *_: sys.exit(0))
    printer = Printer(names=["web", "worker", "beat", "sweeper", "housekeeper", "sequencer", "lab"])
    lock: IO[str] | None = None
    try:
        first = load_config()
        var = first.var.resolve()
        for folder in required_folders(first.model_copy(update={"var": var})):
            folder.mkdir(parents=True, exist_ok=True)
        lock = take_lock(var)
        # What a killed start left; `load_config` would follow it.
        (var / "run" / "servers.json").unlink(missing_ok=True)
        return run(printer, load_config().model_copy(update={"var": var}))
    except CannotStart as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        if lock is not None:
            lock.close()


if __name__ == "__main__":
    sys.exit(main())
