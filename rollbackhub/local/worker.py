"""What Celery's processes do beside tasks: heartbeats, dying with their parent, and the canary.

Workers have been seen deaf for ever after a broker restart (DESIGN.md §4), alive in every other respect. So a worker sends itself a
small task every few seconds; when none was carried out for 30 s although all could be sent and it has a hand free, it ends itself,
and whoever watches over it starts it again.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from typing import Any, Protocol

from celery import signals
from celery.utils.nodenames import worker_direct
from celery.worker import state as worker_state

from rollbackhub.celery import app
from rollbackhub.common import clock
from rollbackhub.common.heartbeat import Heartbeat, start_heartbeat
from rollbackhub.common.linux import die_with_parent
from rollbackhub.verification.judge import load_mathematics

logger = logging.getLogger(__name__)

CANARY_EVERY_SECONDS = 5.0
CANARY_EXPIRES_SECONDS = 25.0
DEAF_AFTER_SECONDS = 30.0
END_SECONDS = 10.0
"""How long a deaf worker may take to end in order."""


class CanaryClock:
    """Decides whether a worker is deaf. Time is given, so that it can be tested."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._answer: object = None

    def note(self, *, at: float, sent: bool, busy: bool, answer: object) -> bool:
        """One round: whether a canary could be sent, whether all hands are busy, and the latest answer. True: it is deaf.

        Only time in which the broker took every canary and a hand was free counts against the worker.
        """
        if not sent or busy or answer != self._answer or self._since is None:
            self._since = at if sent and not busy else None
            self._answer = answer
            return False
        return at - self._since > DEAF_AFTER_SECONDS


class _Consumer(Protocol):
    hostname: str
    controller: Any


class Canary:
    """Sends canaries to the worker that it is in, and ends it when they are not carried out."""

    def __init__(self, *, consumer: _Consumer, heartbeat: Heartbeat) -> None:
        self._consumer = consumer
        self._heartbeat = heartbeat
        self._clock = CanaryClock()

    def start(self) -> None:
        """Begin, in a thread of its own: sending may hang with the broker, and the heartbeat should not."""
        threading.Thread(target=self._run, name="canary", daemon=True).start()

    def _run(self) -> None:
        wait = threading.Event()
        while not wait.wait(CANARY_EVERY_SECONDS):
            busy = self._is_busy()
            sent = not busy and self._send()
            if self._clock.note(at=clock.monotonic(), sent=sent, busy=busy, answer=self._heartbeat.canary_at):
                self._end()
                return

    def _is_busy(self) -> bool:
        return bool(len(worker_state.active_requests) >= self._consumer.controller.concurrency)

    def _send(self) -> bool:
        queue = worker_direct(self._consumer.hostname)
        try:
            app.send_task("local.canary", args=[str(self._heartbeat.instance)], queue=queue, expires=CANARY_EXPIRES_SECONDS, retry=False)
        except Exception as error:
            # Whatever the transport raises: the broker's trouble, not this worker's.
            logger.warning("the canary cannot be sent (%s: %s)", type(error).__name__, error)
            return False
        return True

    def _end(self) -> None:
        logger.error("this worker has carried out no canary for %.0f s although it could: it ends itself to be started again", DEAF_AFTER_SECONDS)
        self._heartbeat.stop(ending=f"was deaf to its canary for {DEAF_AFTER_SECONDS:.0f} s and ended itself", well=False)
        os.kill(os.getpid(), signal.SIGTERM)
        threading.Event().wait(END_SECONDS)
        os._exit(os.EX_SOFTWARE)


@signals.worker_init.connect
def _worker_begins(**_: Any) -> None:
    # Before its processes are forked: each would load it in the middle of a verification, and a busy machine is slower at that than a lease is long.
    load_mathematics()


@signals.worker_ready.connect
def _worker_is_ready(sender: Any, **_: Any) -> None:
    heartbeat = start_heartbeat("worker", state=lambda: {"running": len(worker_state.active_requests)})
    Canary(consumer=sender, heartbeat=heartbeat).start()


@signals.worker_process_init.connect
def _child_started(**_: Any) -> None:
    # A pool process must not go on without the main process, which renews nothing and takes no orders for it.
    die_with_parent(signal.SIGKILL)


@signals.beat_init.connect
def _beat_started(**_: Any) -> None:
    start_heartbeat("beat")
