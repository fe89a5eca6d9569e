"""The ASGI application that takes posts of alerts. It stands before Django: a body is never read further than it may be long, and a storm pays for
neither sessions nor middleware. Nobody signs in here, so there is no cookie that another site could use.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.db import InterfaceError, OperationalError, connection
from psycopg_pool import PoolTimeout

from rollbackhub.alerts.domain.hooks import BASE
from rollbackhub.alerts.domain.receiving import MAX_BODY_BYTES, Refused, receive_post, refuse_unread
from rollbackhub.alerts.enums import HookKind
from rollbackhub.common.errors import RollbackHubError

logger = logging.getLogger(__name__)

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
AsgiApp = Callable[..., Awaitable[None]]

THREADS = 6
"""Posts that are written down at once; the others wait in order. More would only wait for each other."""
BODY_SECONDS = 30
"""A sender that takes longer is no longer listened to."""
_ADDRESS = re.compile(rf"{BASE}/({'|'.join(HookKind.values)})/([A-Za-z0-9_-]{{1,100}})/?")


class HooksApp:
    """Answers `POST /api/v1/hooks/…`; everything else goes to the application behind it."""

    def __init__(self, behind: AsgiApp) -> None:
        self._behind = behind
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="hooks")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] != "http" or not scope["path"].startswith(f"{BASE}/"):
            await self._behind(scope, receive, send)
            return
        path = scope["path"]
        try:
            taken = await self._take(scope, receive)
        except RollbackHubError as error:
            await _send(send, error.status, _problem(error, path=path), headers=[(b"allow", b"POST")] if error.status == 405 else [])
        except (OperationalError, InterfaceError, PoolTimeout):
            logger.warning("hooks: the database does not answer")
            await _send(send, 503, _problem(_error(503, "database_unavailable", "The database does not answer. Send it again in a few seconds."), path=path))
        else:
            await _send(send, 202, {"taken": taken})

    async def _take(self, scope: Scope, receive: Receive) -> int:
        found = _ADDRESS.fullmatch(scope["path"])
        if found is None:
            raise _error(404, "not_found", "There is no such hook.")
        if scope["method"] != "POST":
            raise _error(405, "method_not_allowed", "Hooks take POST only.")
        kind, key = HookKind(found[1]), found[2]
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body = await _body(headers, receive)
        except TimeoutError:
            raise _error(408, "too_slow", f"The body did not come within {BODY_SECONDS} s.") from None
        if body is None:
            return await self._in_pool(lambda: refuse_unread(kind=kind, key=key))
        return await self._in_pool(lambda: receive_post(kind=kind, key=key, headers=headers, body=body))

    async def _in_pool(self, work: Callable[[], int]) -> int:
        return await asyncio.get_running_loop().run_in_executor(self._pool, _with_connection, work)


def _with_connection(work: Callable[[], int]) -> int:
    """Do it, and give the connection back to Django's pool."""
    try:
        return work()
    finally:
        connection.close()


async def _body(headers: Mapping[str, str], receive: Receive) -> bytes | None:
    """The body; None as soon as it is known to be too large: by what the sender says, or by what came."""
    said = headers.get("content-length", "")
    if said.isdecimal() and int(said[:12]) > MAX_BODY_BYTES:
        return None
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _error(400, "cut_off", "The request ended early.")
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > MAX_BODY_BYTES:
            return None
        if not message.get("more_body"):
            return b"".join(chunks)


def _error(status: int, code: str, sentence: str) -> RollbackHubError:
    error = RollbackHubError(sentence, code=code)
    error.status, error.title = status, "The post is refused"
    return error


def _problem(error: RollbackHubError, *, path: str) -> dict[str, Any]:
    """A problem document (RFC 9457), as the API gives them. The address is not repeated: it may be the secret."""
    kind = path.removeprefix(f"{BASE}/").partition("/")[0]
    instance = f"{BASE}/{kind}/" if kind in HookKind.values else BASE
    content = {"type": f"urn:rollbackhub:error:{error.code}", "title": error.title, "status": error.status, "detail": error.message, "code": error.code}
    return {**content, "instance": instance, "fields": error.fields if isinstance(error, Refused) else {}}


async def _send(send: Send, status: int, content: dict[str, Any], *, headers: list[tuple[bytes, bytes]] | None = None) -> None:
    body = json.dumps(content).encode()
    kind = b"application/json" if status < 400 else b"application/problem+json"
    about = [(b"content-length", str(len(body)).encode()), (b"content-type", kind), (b"cache-control", b"no-store"), *(headers or [])]
    await send({"type": "http.response.start", "status": status, "headers": about})
    await send({"type": "http.response.body", "body": body})
