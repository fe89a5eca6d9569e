"""Real receivers on loopback: HTTP and SMTP servers that keep what they get, and fail as they are told."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


@dataclass
class HttpReceiver:
    """A webhook's server. `answers` are the next statuses; afterwards 200. `hangs` keeps callers waiting until the end."""

    port: int = 0
    answers: list[int] = field(default_factory=list)
    location: str = ""
    hangs: bool = False
    got: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    called: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)

    def address(self, secret: str = "", *, scheme: str = "json", host: str = "127.0.0.1") -> str:
        """Of Apprise, with a secret in its path and its password."""
        return f"{scheme}://hook:{secret}@{host}:{self.port}/{secret}/" if secret else f"{scheme}://{host}:{self.port}/"


@contextmanager
def http_receiver(*, certificate: Path | None = None) -> Iterator[HttpReceiver]:
    """Listens until the end. With a certificate (and its key in one file) over TLS."""
    receiver = HttpReceiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            receiver.called.set()
            if receiver.hangs:
                receiver.released.wait(120)
                self.close_connection = True
                return
            status = receiver.answers.pop(0) if receiver.answers else 200
            if status < 300:
                receiver.got.append(json.loads(content))
                receiver.headers.append(dict(self.headers))
            self.send_response(status)
            if receiver.location:
                self.send_header("Location", receiver.location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST

        def log_message(self, *args: Any) -> None:
            """Quiet."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *args: Any) -> None:
            """Callers that break off are what is tried here."""

    server = Server(("127.0.0.1", 0), Handler)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    receiver.port = server.server_address[1]
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    serving.start()
    try:
        yield receiver
    finally:
        receiver.released.set()
        server.shutdown()
        server.server_close()
        serving.join()


@dataclass
class SmtpReceiver:
    """A mail server without log-in. `refuses` is what it says to every recipient."""

    port: int = 0
    refuses: str = ""
    mails: list[str] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)

    def address(self) -> str:
        """Of Apprise."""
        return f"mailto://127.0.0.1:{self.port}/?smtp=127.0.0.1&mode=insecure&from=hub@example.org&to=team@example.org"


@contextmanager
def smtp_receiver() -> Iterator[SmtpReceiver]:
    """Listens until the end."""
    receiver = SmtpReceiver()
    loop, ready = asyncio.new_event_loop(), threading.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def say(line: str) -> None:
            writer.write(f"{line}\r\n".encode())
            await writer.drain()

        await say("220 receiver.example.org ESMTP")
        while line := (await reader.readline()).decode().strip():
            verb = line.split()[0].upper()
            if verb in ("EHLO", "HELO"):
                await say("250 receiver.example.org")
            elif verb == "RCPT" and receiver.refuses:
                await say(receiver.refuses)
            elif verb == "RCPT":
                receiver.recipients.append(line)
                await say("250 fine")
            elif verb == "DATA":
                await say("354 go on")
                receiver.mails.append((await reader.readuntil(b"\r\n.\r\n")).decode())
                await say("250 kept")
            elif verb == "QUIT":
                await say("221 bye")
                break
            else:
                await say("250 fine")
        writer.close()

    async def serve() -> None:
        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        receiver.port = server.sockets[0].getsockname()[1]
        ready.set()

    def run() -> None:
        loop.run_until_complete(serve())
        loop.run_forever()

    serving = threading.Thread(target=run, daemon=True)
    serving.start()
    assert ready.wait(30)
    try:
        yield receiver
    finally:
        loop.call_soon_threadsafe(loop.stop)
        serving.join()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


def closed_port() -> int:
    """Where nothing listens."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
