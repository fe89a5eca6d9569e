"""Small real TCP servers, each with one bad habit."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Seen:
    """What a server got, and where it listens."""

    host: str
    port: int
    connections: int = 0
    requests: list[bytes] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://{self.host}:{self.port}/path?query=1"


Behaviour = Callable[[socket.socket, bytes, threading.Event], object]


@contextmanager
def tcp_server(behaviour: Behaviour, *, keep_alive: bool = False) -> Iterator[Seen]:
    """A server on a free loopback port; `behaviour(connection, head, stopped)` runs after each request's head was read."""
    listener = socket.create_server(("127.0.0.1", 0))
    stopped = threading.Event()
    seen = Seen(host="127.0.0.1", port=listener.getsockname()[1])
    threads: list[threading.Thread] = []
    open_connections: list[socket.socket] = []

    def serve(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while True:
                head = b""
                while b"\r\n\r\n" not in head:
                    more = connection.recv(65536)
                    if not more:
                        return
                    head += more
                seen.requests.append(head)
                behaviour(connection, head, stopped)
                if not keep_alive:
                    return

    def accept() -> None:
        while not stopped.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            seen.connections += 1
            open_connections.append(connection)
            thread = threading.Thread(target=serve, args=(connection,), daemon=True)
            thread.start()
            threads.append(thread)

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    try:
        yield seen
    finally:
        stopped.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        accepting.join(5)
        for connection in open_connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(5)


def answers(raw: bytes) -> Behaviour:
    """Answers with these very bytes."""

    def behave(connection: socket.socket, head: bytes, stopped: threading.Event) -> None:
        connection.sendall(raw)

    return behave


def http(status: str, body: bytes = b"", *headers: str) -> bytes:
    """One whole HTTP answer."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def drips(start: bytes, drop: bytes, every_seconds: float) -> Behaviour:
    """Sends a start, then a drop again and again for ever."""

    def behave(connection: socket.socket, head: bytes, stopped: threading.Event) -> None:
        connection.sendall(start)
        while not stopped.wait(every_seconds):
            connection.sendall(drop)

    return behave
