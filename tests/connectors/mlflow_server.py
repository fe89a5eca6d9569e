"""A real MLflow server for the tests. Its start takes about 17 s, so all workers of a run share it; and a relay that loses chosen requests.

`shared_mlflow` writes its process's id into a folder; a keeper (this module as a program) runs the server and ends it when none of
these processes lives any more, so that a killed test run leaves no server behind.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import http.client
import itertools
import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar, Literal

from tests.ports import free_port

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / ".venv-mlflow" / "bin" / "mlflow"
ADMIN = ("admin", "mlflow-admin-aZ3kQ9")
START_SECONDS = 120
_uses = itertools.count()

# Counts what was really done to an alias, whoever did it: MLflow keeps no history of aliases.
# A server that starts again goes on with the folder of the one before.
_COUNTING = """
CREATE TABLE IF NOT EXISTS alias_changes (name TEXT, alias TEXT, version INTEGER);
CREATE TRIGGER IF NOT EXISTS counted_insert AFTER INSERT ON registered_model_aliases
BEGIN INSERT INTO alias_changes VALUES (NEW.name, NEW.alias, NEW.version); END;
CREATE TRIGGER IF NOT EXISTS counted_update AFTER UPDATE ON registered_model_aliases
BEGIN INSERT INTO alias_changes VALUES (NEW.name, NEW.alias, NEW.version); END;
"""


@dataclass(frozen=True)
class MlflowServer:
    """Where it is, and what a person would do there."""

    port: int
    folder: Path
    auth: bool

    @property
    def address(self) -> str:
        """As in a connection's settings."""
        return f"http://127.0.0.1:{self.port}"

    def call(self, method: str, path: str, body: dict[str, Any] | None = None, *, user: tuple[str, str] | None = ADMIN) -> tuple[int, str]:
        """One request of somebody else than the hub; status and text."""
        headers = {"Content-Type": "application/json"}
        if self.auth and user:
            headers["Authorization"] = "Basic " + base64.b64encode(":".join(user).encode()).decode()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        with contextlib.closing(connection):
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    def must(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """A request that must succeed."""
        status, text = self.call(method, path, body)
        assert status == 200, (path, status, text)
        return dict(json.loads(text))

    def make_model(self, name: str, *, versions: int = 3, prompt: bool = False) -> None:
        """A registered model or prompt with versions 1, 2 …"""
        tags = [{"key": "mlflow.prompt.is_prompt", "value": "true"}] if prompt else []
        self.must("POST", "/api/2.0/mlflow/registered-models/create", {"name": name, "tags": tags})
        for number in range(1, versions + 1):
            text = [{"key": "mlflow.prompt.text", "value": f"Answer politely, {number}."}] if prompt else []
            self.must(
                "POST",
                "/api/2.0/mlflow/model-versions/create",
                {"name": name, "source": "prompt-template" if prompt else "s3://models/x", "tags": [*tags, *text]},
            )

    def set_alias(self, name: str, alias: str, number: int) -> None:
        """Somebody moves it by hand."""
        self.must("POST", "/api/2.0/mlflow/registered-models/alias", {"name": name, "alias": alias, "version": str(number)})

    def alias(self, name: str, alias: str) -> str | None:
        """Where it points, read from MLflow's own tables."""
        with self._database() as database:
            row = database.execute("SELECT version FROM registered_model_aliases WHERE name = ? AND alias = ?", (name, alias)).fetchone()
        return str(row[0]) if row else None

    def changes(self, name: str) -> list[int]:
        """The versions that aliases of this model were really pointed to, in order."""
        with self._database() as database:
            return [row[0] for row in database.execute("SELECT version FROM alias_changes WHERE name = ? ORDER BY rowid", (name,))]

    def grant(self, name: str, user: str, permission: str, *, prompt: bool) -> None:
        """An administrator gives a permission. For a prompt that takes a role: the call for one user's grants does not know prompts."""
        if not prompt:
            body = {"username": user, "resource_type": "registered_model", "resource_id": name, "permission": permission}
            self.must("POST", "/api/3.0/mlflow/users/permissions/grant", body)
            return
        role = self.must("POST", "/api/3.0/mlflow/roles/create", {"name": f"may-{name}", "workspace": "default"})["role"]["id"]
        body = {"role_id": role, "resource_type": "prompt", "resource_pattern": name, "permission": permission}
        self.must("POST", "/api/3.0/mlflow/roles/permissions/add", body)
        self.must("POST", "/api/3.0/mlflow/roles/assign", {"username": user, "role_id": role})

    def set_status(self, name: str, number: int, status: str) -> None:
        """A registration that failed: the API offers no way to make one."""
        with self._database() as database:
            database.execute("UPDATE model_versions SET status = ? WHERE name = ? AND version = ?", (status, name, number))

    @contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        with contextlib.closing(sqlite3.connect(self.folder / "mlflow.db", timeout=30)) as database, database:
            yield database


@contextmanager
def shared_mlflow(folder: Path, *, auth: bool) -> Iterator[MlflowServer]:
    """The run's server, started by whoever comes first. It ends with the last of its users."""
    folder.mkdir(parents=True, exist_ok=True)
    users, ready = folder / "users", folder / "ready.json"
    users.mkdir(exist_ok=True)
    with _lock(folder):
        # One for each use: a process may use it in several fixtures at once.
        mine = users / f"{os.getpid()}-{next(_uses)}"
        mine.touch()
        if not (folder / "keeper").exists():
            (folder / "keeper").touch()
            with (folder / "keeper.log").open("wb") as log:
                command = [sys.executable, "-m", "tests.connectors.mlflow_server", str(folder), "auth" if auth else "open"]
                subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)
    try:
        until = time.monotonic() + START_SECONDS
        while not ready.exists():
            assert time.monotonic() < until, (folder / "keeper.log").read_text()[-3000:]
            time.sleep(0.1)
        yield MlflowServer(port=json.loads(ready.read_text())["port"], folder=folder, auth=auth)
    finally:
        mine.unlink()


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def keep(folder: Path, *, auth: bool) -> None:
    """Run the server until nobody uses it any more."""
    port = free_port()
    environment = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    command = [str(PROGRAM), "server", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "artifacts")]
    command += ["--workers", "1", "--host", "127.0.0.1", "--port", str(port)]
    if auth:
        (folder / "auth.ini").write_text(
            f"[mlflow]\ndefault_permission = READ\ndatabase_uri = sqlite:///{folder}/users.db\nadmin_username = {ADMIN[0]}\n"
            "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
        )
        environment |= {"MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"), "MLFLOW_AUTH_ADMIN_PASSWORD": ADMIN[1]}
        environment |= {"MLFLOW_FLASK_SERVER_SECRET_KEY": base64.b64encode(os.urandom(24)).decode()}
        command += ["--app-name", "basic-auth"]
    server = subprocess.Popen(command, env=environment, start_new_session=True)
    try:
        while server.poll() is None and _in_use(folder):
            if not (folder / "ready.json").exists() and _answers(port):
                with contextlib.closing(sqlite3.connect(folder / "mlflow.db", timeout=30)) as database:
                    database.executescript(_COUNTING)
                (folder / "ready.tmp").write_text(json.dumps({"port": port}))
                (folder / "ready.tmp").rename(folder / "ready.json")
            time.sleep(0.2)
        (folder / "ready.json").unlink(missing_ok=True)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, 15)
        server.wait()


def _in_use(folder: Path) -> bool:
    """Whether a user lives. Whoever comes after the last has gone starts a server of its own: the keeper's mark goes under the lock."""
    with _lock(folder):
        if any(Path("/proc", user.name.partition("-")[0]).exists() for user in (folder / "users").iterdir()):
            return True
        (folder / "keeper").unlink()
        return False


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    with contextlib.closing(connection), contextlib.suppress(OSError):
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    return False


Fault = Literal["pass", "cut", "stall", "lose_answer"]


@dataclass
class Relay:
    """Passes requests on to the real server, except those that `fault(method, path)` chooses.

    `cut` and `stall` never reach it; of `lose_answer` only the answer is lost.
    """

    upstream: int
    fault: Callable[[str, str], Fault] = lambda method, path: "pass"
    seen: list[tuple[str, str]] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)
    port: int = 0

    @property
    def address(self) -> str:
        """As in a connection's settings."""
        return f"http://127.0.0.1:{self.port}"


class _Handler(BaseHTTPRequestHandler):
    relay: ClassVar[Relay]

    def _pass_on(self) -> None:
        relay = self.relay
        path = self.path.partition("?")[0]
        relay.seen.append((self.command, path))
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = relay.fault(self.command, path)
        self.close_connection = True
        if fault == "stall":
            relay.stopped.wait(30)
        if fault in {"cut", "stall"}:
            return
        upstream = http.client.HTTPConnection("127.0.0.1", relay.upstream, timeout=60)
        with contextlib.closing(upstream):
            upstream.request(self.command, self.path, body or None, dict(self.headers))
            answer = upstream.getresponse()
            content = answer.read()
        if fault == "pass":
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.headers.get("Content-Type", ""))
            self.send_header("Content-Length", str(len(content)))
            # Who asked may have been killed meanwhile.
            with contextlib.suppress(ConnectionError):
                self.end_headers()
                self.wfile.write(content)

    do_GET = do_POST = _pass_on

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def relay_to(port: int) -> Iterator[Relay]:
    """A relay in front of a server on this machine."""
    relay = Relay(upstream=port)
    handler = type("Handler", (_Handler,), {"relay": relay})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    relay.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield relay
    finally:
        relay.stopped.set()
        server.shutdown()
        thread.join()
        server.server_close()


if __name__ == "__main__":
    keep(Path(sys.argv[1]), auth=sys.argv[2] == "auth")
