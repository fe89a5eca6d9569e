"""A worker process of ours, asked line by line, each answer within a time limit; killed when it takes longer."""

from __future__ import annotations

import json
import os
import re
import selectors
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpcore
from django.conf import settings as django_settings

from rollbackhub.common.errors import TransientError, Unavailable
from rollbackhub.common.http_network import plain_host, require_allowed_host, resolve
from rollbackhub.connectors.base import PermissionMissing
from rollbackhub.connectors.delta.settings import DeltaSettings
from rollbackhub.connectors.mechanism import Problem, ProblemCode, ProblemFound

WORKER = Path(__file__).with_name("worker.py")
START_SECONDS = 10.0
"""What the worker's start may take on a busy machine, beside the time limit of each answer."""
MAX_ANSWER_BYTES = 4 * 1024 * 1024
MAX_SENTENCE = 300
_NOISE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|↳|[\s\0-\x1f\x7f-\x9f]+")


class Late(Exception):
    """Somebody committed meanwhile."""


class Session:
    """The worker, for one table."""

    def __init__(self, process: subprocess.Popen[bytes], settings: DeltaSettings, *, table: str, timeout_seconds: float) -> None:
        self._process = process
        self._settings = settings
        self._secrets = settings.secret_options()
        self._timeout_seconds = timeout_seconds
        self._asked = False
        self.uri = f"{settings.root}/{table}"

    def ask(self, do: str, **question: Any) -> dict[str, Any]:
        """The worker's answer. Raises Late, TransientError, PermissionMissing, ProblemFound, Unavailable."""
        line = json.dumps({"do": do, "uri": self.uri, "options": self._options(), **question}) + "\n"
        answer = self._exchange(line.encode(), do=do)
        if "error" in answer:
            raise self._error(str(answer["error"]), self._fit(str(answer["says"])), do=do)
        return answer

    def _options(self) -> Mapping[str, str]:
        if self._settings.local:
            return {}
        # The library would try again for three minutes by itself.
        limit = f"{max(1, round(self._timeout_seconds))}s"
        return {**self._settings.options, **self._secrets, "timeout": limit, "connect_timeout": limit, "max_retries": "1", "retry_timeout": limit}

    def _exchange(self, line: bytes, *, do: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        seconds = self._timeout_seconds + (0 if self._asked else START_SECONDS)
        # Its start is not the table's fault: the limit counts from when it has started.
        ends = time.monotonic() + seconds
        read = bytearray()
        with suppress(BrokenPipeError):  # It has died: there is no answer, which is said below.
            self._process.stdin.write(line)
            self._process.stdin.flush()
        with selectors.DefaultSelector() as waiting:
            waiting.register(self._process.stdout, selectors.EVENT_READ)
            while not read.endswith(b"\n"):
                if not waiting.select(max(0.0, ends - time.monotonic())):
                    unsure = " Whether the table was restored is not known; trying again is safe." if do == "restore" else ""
                    raise TransientError(f"{self.uri} did not answer within {self._timeout_seconds:g} s.{unsure}", code="timeout")
                chunk = os.read(self._process.stdout.fileno(), 65536)
                if not chunk:
                    raise Unavailable(f"The Delta library broke off while it looked at {self.uri} (exit status {self._process.wait()}).", code="broke_off")
                read += chunk
                if not self._asked and read.startswith(b"{}\n"):
                    self._asked = True
                    del read[:3]
                    ends = time.monotonic() + self._timeout_seconds
                if len(read) > MAX_ANSWER_BYTES:
                    raise Unavailable(f"The log of {self.uri} says more than {MAX_ANSWER_BYTES} bytes.", code="answer_too_large")
        answer: dict[str, Any] = json.loads(read)
        return answer

    def _error(self, kind: str, says: str, *, do: str) -> Exception:
        if kind == "late":
            return Late()
        if kind == "refused":
            return PermissionMissing(f"{self.uri} refuses {do}: {says}")
        if kind == "unreachable":
            return TransientError(f"{self.uri} cannot be reached: {says}", code="unreachable")
        if kind == "missing":
            remedy = "Roll back to another version."
            return ProblemFound(Problem(ProblemCode.TARGET_RETIRED, self.uri, "all files of the version", says, remedy))
        if kind in {"not_there", "escapes"}:
            remedy = "Correct the target's table or the connection's root, or bring the table back."
            return ProblemFound(Problem(ProblemCode.FLAG_MOVED, self.uri, "a Delta table under the connection's root", says, remedy))
        return Unavailable(f"The Delta library failed at {do} of {self.uri}: {says}", code="delta_failed")

    def _fit(self, text: str) -> str:
        for secret in self._secrets.values():
            text = text.replace(secret, "[not shown]")
        plain = _NOISE.sub(" ", text).strip()
        return plain if len(plain) <= MAX_SENTENCE else plain[: MAX_SENTENCE - 1] + "…"


@contextmanager
def opened(settings: DeltaSettings, *, table: str, timeout_seconds: float) -> Iterator[Session]:
    """A worker for one table; killed at the end, whatever it is doing. Raises OutboundRefused, SecretMissing, TransientError."""
    if not settings.local:
        _check_endpoint(settings, seconds=timeout_seconds)
    # -I: nothing of the environment or of the folder that it is started in decides what it imports.
    process = subprocess.Popen(
        [sys.executable, "-I", str(WORKER)],
        env={name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "SSL_CERT_FILE") if name in os.environ},
        cwd="/",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield Session(process, settings, table=table, timeout_seconds=timeout_seconds)
    finally:
        process.kill()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):  # What was not sent any more.
                    pipe.close()
        with suppress(subprocess.TimeoutExpired):  # Stuck in the kernel, at a disk that does not answer: it ends when that does.
            process.wait(timeout=1)


def _check_endpoint(settings: DeltaSettings, *, seconds: float) -> None:
    """The storage's host must be one that the hub may call, as common/http checks it."""
    host = plain_host(urlsplit(settings.options["AWS_ENDPOINT_URL"]).hostname or "")
    require_allowed_host(host, django_settings.CONFIG.outbound_allowed_hosts)
    try:
        resolve(host, seconds=seconds)
    except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
        raise TransientError(f"{settings.root} cannot be reached ({error}).", code="unreachable") from error
