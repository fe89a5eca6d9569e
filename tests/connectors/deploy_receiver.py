"""The real receiver of deploy hooks (rollbackhub.lab.deployer) as a process of its own, and how tests talk to it without the connector."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rollbackhub.common.config import BASE_DIR
from tests.ports import free_port

SECRET = "whsec_" + base64.b64encode(b"deploy-hook-secret-of-the-tests-1").decode()
SIGNING = "TEST_DEPLOY_SIGNING"


def signed(body: bytes, *, key: str, timestamp: int | None = None, secret: str = SECRET) -> dict[str, str]:
    """The headers of a message, signed here and not by the connector's code."""
    at = str(int(time.time()) if timestamp is None else timestamp)
    mac = hmac.new(base64.b64decode(secret.removeprefix("whsec_")), b".".join([key.encode(), at.encode(), body]), hashlib.sha256)
    return {"webhook-id": key, "webhook-timestamp": at, "webhook-signature": "v1," + base64.b64encode(mac.digest()).decode()}


@dataclass
class Receiver:
    """One receiver; its state survives `kill` and `start`."""

    folder: Path
    options: list[str] = field(default_factory=list)
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> float:
        """Start it and wait until it answers. Returns the seconds that this took."""
        began = time.monotonic()
        command = [sys.executable, "-m", "rollbackhub.lab.deployer", "--port", str(self.port), "--state", str(self.folder), "--signing", f"env:{SIGNING}"]
        environment = {**os.environ, SIGNING: SECRET}
        self.process = subprocess.Popen([*command, *self.options], cwd=BASE_DIR, env=environment)
        while True:
            assert self.process.poll() is None, "the receiver ended"
            try:
                if self.get("/healthz")[0] == 200:
                    return time.monotonic() - began
            except OSError:
                time.sleep(0.01)

    def kill(self) -> None:
        """SIGKILL."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)
        self.process = None

    def stop(self) -> None:
        """End it as an operator would; its exit status must be 0."""
        if self.process is not None:
            self.process.terminate()
            assert self.process.wait(10) == 0

    def get(self, path: str) -> tuple[int, dict[str, Any]]:
        """An answer's status and JSON."""
        return self._call("GET", path)

    def status(self, service: str) -> dict[str, Any]:
        """What is deployed."""
        code, content = self.get(f"/services/{service}")
        assert code == 200, content
        return content

    def deployments(self, service: str) -> int:
        """How many deployments it has begun: what it counts itself."""
        return int(self.status(service).get("deployments", 0))

    def post(self, path: str, message: Any, *, key: str, timestamp: int | None = None, secret: str = SECRET, **headers: str) -> tuple[int, dict[str, Any]]:
        """A signed message; `headers` (with _ for -) take the place of the right ones."""
        body = message if isinstance(message, bytes) else json.dumps(message).encode()
        right = signed(body, key=key, timestamp=timestamp, secret=secret)
        return self.send(path, body, {**right, **{name.replace("_", "-"): value for name, value in headers.items()}})

    def send(self, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, dict[str, Any]]:
        """These very bytes and headers."""
        return self._call("POST", path, body, headers)

    def deploy(self, service: str, label: str, *, key: str) -> None:
        """What somebody else deploys, waited for."""
        code, content = self.post("/deploy", {"type": "deploy", "service": service, "version": {"label": label}}, key=key)
        assert code == 202, content
        self.wait(lambda: self.status(service)["state"] == "succeeded")

    @staticmethod
    def wait(condition: Any, *, seconds: float = 10) -> None:
        """Until the condition holds."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def _call(self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> tuple[int, dict[str, Any]]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read() or b"{}")
        finally:
            connection.close()


@contextmanager
def running_receiver(folder: Path, *options: str) -> Iterator[Receiver]:
    """A receiver that runs until the end."""
    receiver = Receiver(folder, list(options))
    receiver.start()
    try:
        yield receiver
    finally:
        receiver.stop()
