"""The web process's heartbeat, from the ASGI server's start to its end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from rollbackhub.common.heartbeat import Heartbeat, start_heartbeat

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[Any], Awaitable[None]]


class WithHeartbeat:
    """Answers the server's lifespan messages; everything else goes to the application behind it."""

    def __init__(self, behind: Any) -> None:
        self._behind = behind
        self._heartbeat: Heartbeat | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] != "lifespan":
            await self._behind(scope, receive, send)
            return
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self._heartbeat = start_heartbeat("web")
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                if self._heartbeat is not None:
                    self._heartbeat.stop()
                await send({"type": "lifespan.shutdown.complete"})
                return
