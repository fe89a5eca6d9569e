"""What the lab's small ASGI applications share: types, reading a body, answering, and how they are served."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import uvicorn

from rollbackhub.lab.ports import LOOPBACK

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Header = tuple[bytes, bytes]


class BodyTooLarge(Exception):
    """The request's body has more bytes than are allowed."""


async def read_body(receive: Receive, *, max_bytes: int) -> bytes | None:
    """The request's whole body; None when the caller went away. Raises BodyTooLarge."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > max_bytes:
            raise BodyTooLarge
        if not message.get("more_body"):
            return b"".join(parts)


async def send_answer(send: Send, *, status: int, body: bytes, content_type: str, headers: tuple[Header, ...] = ()) -> None:
    """Send a whole answer."""
    start = [(b"content-type", content_type.encode()), (b"content-length", str(len(body)).encode()), *headers]
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": body})


async def send_json(send: Send, *, status: int, content: object, headers: tuple[Header, ...] = ()) -> None:
    """Send a whole answer as JSON."""
    await send_answer(send, status=status, body=json.dumps(content).encode(), content_type="application/json", headers=headers)


def server_config(app: Any, *, port: int) -> uvicorn.Config:
    """How the lab serves an application: on loopback, without an access log, quick to stop."""
    return uvicorn.Config(
        app,
        host=LOOPBACK,
        port=port,
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=1,
        # Longer than Envoy keeps an idle connection, so that Envoy never sends a request on one that is being closed.
        timeout_keep_alive=3600,
    )


class PartServer(uvicorn.Server):
    """A server that shares its process with others: signals are the process's business, not its own."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield
