"""Real HAProxy processes for the tests, with small HTTP servers behind them, and somebody who asks all the time."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import socket
import subprocess
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.local.installation import wait_until
from tests.ports import free_port

PROGRAM = shutil.which("haproxy", path=f"{os.environ.get('PATH', '')}:/usr/sbin") or "haproxy"


class Model:
    """A small server that answers with its name; may be stopped and started on its port."""

    def __init__(self, name: str) -> None:
        self.name, self.port = name, free_port()
        self.served = 0
        self._server: ThreadingHTTPServer | None = None

    def start(self) -> None:
        """Listen."""
        model = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                model.served += 1
                body = model.name.encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


@dataclass
class Haproxy:
    """One HAProxy process, and what a person would do at its socket."""

    folder: Path
    port: int
    tcp_port: int
    config: Path
    process: subprocess.Popen[bytes]

    def socket(self, level: str = "admin") -> str:
        """As in a connection's settings."""
        return f"unix:{self.folder}/{level}.sock"

    def ask(self, command: str) -> str:
        """The runtime API's answer, asked by somebody else than the hub."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            connection.connect(f"{self.folder}/admin.sock")
            connection.sendall(command.encode() + b"\n")
            answer = b""
            while chunk := connection.recv(65536):
                answer += chunk
        return answer.decode().strip()

    def weight(self, server: str) -> int:
        """A server's weight."""
        return int(self.ask(f"get weight models/{server}").split()[0])

    def weights(self, *servers: str) -> list[int]:
        """Several servers' weights."""
        return [self.weight(server) for server in servers]

    def status(self, server: str) -> str:
        """A server's status in HAProxy's own word."""
        for line in self.ask("show stat models 4 -1").splitlines():
            fields = line.split(",")
            if fields[1:2] == [server]:
                return fields[17]
        return ""

    def wait_for(self, server: str, status: str) -> None:
        """Until the health check has seen it."""
        wait_until(lambda: self.status(server) == status, seconds=20, what=f"{server} {status}")

    def end(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()

    def start_again(self) -> None:
        """A new process with the same configuration."""
        self.process = _started(self.config, self.folder)


def _started(config: Path, folder: Path) -> subprocess.Popen[bytes]:
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen([PROGRAM, "-db", "-f", str(config)], stdout=log, stderr=log)
    wait_until(lambda: _listens(folder / "admin.sock") or process.poll() is not None, seconds=20, what="HAProxy")
    assert process.poll() is None, (folder / "log").read_text()
    return process


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


@contextmanager
def haproxy(models: dict[str, Model], *, first: dict[str, int], extra: str = "", balance: str = "roundrobin", check: str = "check") -> Iterator[Haproxy]:
    """A process whose backend `models` has these servers with these weights at first. Its folder is short and open: sockets' paths are bounded."""
    folder = Path(tempfile.mkdtemp(prefix="hap-", dir="/tmp"))
    folder.chmod(0o755)
    port, tcp_port = free_port(), free_port()
    servers = "\n".join(
        f"    server {name} 127.0.0.1:{model.port} weight {first.get(name, 0)} {check} inter 50ms fall 2 rise 2" for name, model in models.items()
    )
    config = folder / "haproxy.cfg"
    config.write_text(
        f"""global
    stats socket {folder}/admin.sock mode 600 level admin
    stats socket {folder}/operator.sock mode 600 level operator
    stats socket {folder}/user.sock mode 600 level user
    stats socket ipv4@127.0.0.1:{tcp_port} level admin
    server-state-file {folder}/state
defaults
    mode http
    timeout connect 1s
    timeout client 10s
    timeout server 10s
    load-server-state-from-file global
frontend all
    bind 127.0.0.1:{port}
    default_backend models
backend models
    balance {balance}
{servers}
{extra}
"""
    )
    running = Haproxy(folder=folder, port=port, tcp_port=tcp_port, config=config, process=_started(config, folder))
    try:
        if check:
            for name in models:
                running.wait_for(name, "UP")
        yield running
    finally:
        running.end()
        shutil.rmtree(folder)


@dataclass
class Asked:
    """What those got who asked all the time."""

    answers: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


@contextmanager
def asking(port: int, *, threads: int = 3) -> Iterator[Asked]:
    """Ask the frontend without a pause, each time on a new connection."""
    asked, stopped, lock = Asked(), threading.Event(), threading.Lock()

    def ask() -> None:
        while not stopped.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            try:
                connection.request("GET", "/")
                answer = connection.getresponse()
                text = answer.read().decode()
                failure = "" if answer.status == 200 else f"HTTP {answer.status}"
            except (OSError, http.client.HTTPException) as error:
                text, failure = "", repr(error)
            finally:
                with contextlib.suppress(OSError):
                    connection.close()
            with lock:
                if failure:
                    asked.failures.append(failure)
                else:
                    asked.answers[text] += 1

    workers = [threading.Thread(target=ask, daemon=True) for _ in range(threads)]
    for worker in workers:
        worker.start()
    try:
        yield asked
    finally:
        stopped.set()
        for worker in workers:
            worker.join()
