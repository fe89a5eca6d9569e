"""Waiting for flips: one LISTEN per web process, one SELECT and one rendering per flip, however many gateways wait."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TypeVar

import psycopg
from django.conf import settings
from django.db import DatabaseError, connection

from rollbackhub.common import clock
from rollbackhub.common.database_url import conninfo
from rollbackhub.routing.domain.transitions import FLIP_CHANNEL
from rollbackhub.routing.xds.render import Snapshot, load_snapshot

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

CHECK_SECONDS = 1.0
"""Without a notification the state is read this often, so that a lost LISTEN costs a second and not a flip."""


class FlipWatcher:
    """Holds the present snapshot of each environment that somebody asked for, and wakes those who wait for the next."""

    def __init__(self) -> None:
        self._snapshots: dict[str, Snapshot] = {}
        self._changed = asyncio.Condition()
        self._listener: asyncio.Task[None] | None = None

    async def current(self, environment: str) -> Snapshot | None:
        """The environment's snapshot; None when there is no such environment. Raises DatabaseError when it was never read and cannot be."""
        self._ensure_listening()
        snapshot = self._snapshots.get(environment)
        if snapshot is None:
            snapshot = await self._refresh(environment)
        return snapshot

    async def next_after(self, environment: str, number: int, *, timeout_seconds: float) -> Snapshot | None:
        """The first snapshot whose number is not `number`; None when there was none within the time."""
        deadline = clock.monotonic() + timeout_seconds
        async with self._changed:
            while True:
                snapshot = self._snapshots.get(environment)
                if snapshot is not None and snapshot.number != number:
                    return snapshot
                remaining = deadline - clock.monotonic()
                if remaining <= 0:
                    return None
                try:
                    await asyncio.wait_for(self._changed.wait(), remaining)
                except TimeoutError:
                    return None

    def _ensure_listening(self) -> None:
        if self._listener is None or self._listener.done():
            self._listener = asyncio.create_task(self._listen(), name="flip-watcher")

    async def _listen(self) -> None:
        """Follow notifications for ever; when the database goes away, come back to it."""
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(conninfo(settings.DATABASES["default"]), autocommit=True, connect_timeout=3) as listening:
                    await listening.execute(f"LISTEN {FLIP_CHANNEL}")
                    await self._refresh_all()
                    while True:
                        async for notification in listening.notifies(timeout=CHECK_SECONDS, stop_after=1):
                            if notification.payload in self._snapshots:
                                await self._refresh(notification.payload)
                        await self._refresh_changed()
            except (psycopg.Error, DatabaseError) as error:
                logger.warning("following flips: the database does not answer (%s); gateways keep their last routes", str(error).strip().splitlines()[0])
                await asyncio.sleep(CHECK_SECONDS / 2)

    async def _refresh_all(self) -> None:
        for environment in list(self._snapshots):
            await self._refresh(environment)

    async def _refresh_changed(self) -> None:
        """Catch what a lost notification would have told."""
        if not self._snapshots:
            return
        numbers = await asyncio.to_thread(in_thread, _routing_numbers)
        for environment, number in numbers.items():
            known = self._snapshots.get(environment)
            if known is not None and known.number != number:
                await self._refresh(environment)

    async def _refresh(self, environment: str) -> Snapshot | None:
        snapshot = await asyncio.to_thread(in_thread, lambda: load_snapshot(environment=environment))
        if snapshot is None:
            return None
        async with self._changed:
            known = self._snapshots.get(environment)
            if known is None or snapshot.number >= known.number:
                self._snapshots[environment] = snapshot
                self._changed.notify_all()
        return self._snapshots[environment]


def in_thread(read: Callable[[], Result]) -> Result:
    """Run a read in a pool thread and give its connection back to the pool."""
    try:
        return read()
    finally:
        connection.close()


def _routing_numbers() -> dict[str, int]:
    from rollbackhub.routing.models import RoutingState

    return dict(RoutingState.objects.values_list("environment__slug", "number"))
