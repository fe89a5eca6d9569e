"""The other end of child.py: keeps the process that sends, gives it one message at a time, and ends it when one takes too long."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

from django.conf import settings

from rollbackhub.notifications.enums import AttemptOutcome

START_SECONDS = 60.0
IDLE_SECONDS = 60.0
_KEPT = ("PATH", "LANG", "LC_ALL", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE")
"""Of the environment. Nothing else goes to the process: no secret, no proxy."""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a try. `error` is a sentence without anything of the address."""

    outcome: AttemptOutcome
    error: str = ""


class Sender:
    """One process that sends, started when it is needed. For one thread at a time."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._read = b""
        self._used = 0.0

    def send(self, *, address: str, subject: str, body: str, weight: str) -> Result:
        """Try to send it within NOTIFY_TIMEOUT_SECONDS. Never raises for what the other side does."""
        config = settings.CONFIG
        order: Mapping[str, object] = {
            "address": address,
            "subject": subject,
            "body": body,
            "weight": weight,
            "seconds": config.notify_timeout_seconds,
            "schemes": config.notify_allowed_schemes,
            "hosts": config.outbound_allowed_hosts,
        }
        if not self.start():
            return Result(AttemptOutcome.FAILED, "The process that sends could not be started.")
        # A little more than the plugin's own limit: it knows better why it failed.
        answer = self._ask(order, seconds=config.notify_timeout_seconds + 1)
        self._used = time.monotonic()
        if answer is None:
            self.close()
            return Result(AttemptOutcome.FAILED, f"It took longer than {config.notify_timeout_seconds:g} s.")
        if not answer:
            self.close()
            return Result(AttemptOutcome.FAILED, "The process that sends ended.")
        return Result(AttemptOutcome(answer["outcome"]), answer["error"][:300])

    def close(self) -> None:
        """End the process, whatever it does."""
        process, self._process, self._read = self._process, None, b""
        if process is not None:
            process.kill()
            process.communicate()

    def close_if_idle(self) -> None:
        """End the process when nothing was sent for a while."""
        if self._process is not None and time.monotonic() - self._used > IDLE_SECONDS:
            self.close()

    def start(self) -> bool:
        """Start the process unless it runs already. Whether it runs then."""
        if self._process is not None and self._process.poll() is None:
            return True
        self.close()
        environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "rollbackhub.notifications.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=settings.BASE_DIR,
            # No home: there might be settings and passwords (.netrc) in it.
            env={**environment, "HOME": "/nonexistent", "PYTHONPATH": str(settings.BASE_DIR)},
        )
        self._used = time.monotonic()
        answer = self._line(seconds=START_SECONDS)
        if answer and answer["outcome"] == "ready":
            return True
        self.close()
        return False

    def _started(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "it was started"
        return self._process

    def _ask(self, order: Mapping[str, object], *, seconds: float) -> dict[str, str] | None:
        orders = self._started().stdin
        assert orders is not None, "it is a pipe"
        try:
            orders.write(json.dumps(order).encode() + b"\n")
            orders.flush()
        except OSError:
            return {}
        return self._line(seconds=seconds)

    def _line(self, *, seconds: float) -> dict[str, str] | None:
        """The next answer; empty: the process ended; None: not in time."""
        answers = self._started().stdout
        assert answers is not None, "it is a pipe"
        until = time.monotonic() + seconds
        while b"\n" not in self._read:
            left = until - time.monotonic()
            if left <= 0 or not select.select([answers], [], [], left)[0]:
                return None
            part = os.read(answers.fileno(), 65536)
            if not part:
                return {}
            self._read += part
        line, _, self._read = self._read.partition(b"\n")
        found: dict[str, str] = json.loads(line)
        return found


_senders = threading.local()


def sender_of_this_thread() -> Sender:
    """The thread's own process that sends. It ends with this one: nobody gives it orders any more."""
    found: Sender | None = getattr(_senders, "sender", None)
    if found is None:
        found = _senders.sender = Sender()
    return found
