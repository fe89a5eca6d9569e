"""The deployer as a process: `python -m rollbackhub.lab.deployer --help`. Listens on loopback only."""

from __future__ import annotations

import hashlib
import json
import logging
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from rollbackhub.lab.deployer.jobs import Jobs, baseline_of
from rollbackhub.lab.deployer.options import settings_from
from rollbackhub.lab.deployer.services import Refused, Services, Unknown, UnknownVersion
from rollbackhub.lab.deployer.settings import DeployerSettings
from rollbackhub.lab.deployer.signature import is_signed
from rollbackhub.lab.deployer.store import Store

logger = logging.getLogger(__name__)

MOST_BYTES = 100_000
LONGEST_KEY = 200


class Deployer:
    """Services, jobs, and what was answered to which message."""

    def __init__(self, settings: DeployerSettings) -> None:
        self.settings = settings
        self.store = Store(Path(settings.state))
        self.services = Services(settings, self.store)
        self.jobs = Jobs(settings, self.store, self.services)

    def start(self) -> None:
        """Take up what was under way."""
        self.services.start()
        self.jobs.start()

    def is_signed(self, headers: Any, body: bytes) -> bool:
        """Whether the message is ours, whole, and of now."""
        return len(headers.get("webhook-id", "")) <= LONGEST_KEY and is_signed(headers, body, secret=self.settings.signing_secret())

    def post(self, path: str, message: dict[str, Any], *, key: str) -> tuple[int, dict[str, Any]]:
        """Do what a signed message asks for; the same key gets the same answer and has no second effect."""
        asked = (path, message.get("type"))
        if message.get("type") == "ping":
            return self._ping(message)
        with self.store.lock:
            digest = _digest_of(path, message)
            known = self.store.read("answers", key)
            if known is not None and known["asked"] != digest:
                return 409, {"code": "key_reused", "message": "This key was used for another request."}
            if known is not None:
                return int(known["status"]), known["content"]
            if asked == ("/deploy", "deploy"):
                self.services.deploy(str(message.get("service")), message.get("version") or {}, key=key)
                status, content = 202, {"id": key}
            elif asked == ("/jobs", "job"):
                self.jobs.begin(job_id=key, message=message)
                status, content = 202, {"job_id": key}
            else:
                return 404, {"message": f"There is nothing for {message.get('type')} at {path}."}
            self.store.write("answers", key, {"status": status, "content": content, "asked": digest})
        return status, content

    def _ping(self, message: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if "job" in message:
            self.jobs.require_known(str(message["job"]))
        else:
            self.services.require_deployable(str(message.get("service")), message.get("version") or {})
        return 200, {"message": "Here."}

    def get(self, path: str, query: dict[str, list[str]]) -> tuple[int, dict[str, Any]]:
        """What is asked for by address."""
        parts = [unquote(part) for part in path.strip("/").split("/")]
        match parts:
            case ["healthz"]:
                return 200, {"status": "ok"}
            case ["services" | "indexes", name]:
                return 200, self.services.status(name)
            case ["services", name, "ask"]:
                return 200, {"answer": self.services.ask(name, " ".join(query.get("q", [])))}
            case ["services" | "indexes", name, "search"]:
                return 200, self.jobs.search(name, " ".join(query.get("q", [])))
            case ["services", name, "baselines", version]:
                found = baseline_of(self.store, name=name, version=version)
            case ["jobs", job_id]:
                found = self.jobs.status(job_id)
            case _:
                found = None
        return (200, found) if found is not None else (404, {"message": "There is no such thing."})


def _digest_of(path: str, message: dict[str, Any]) -> str:
    """What was asked for; the reason may be worded anew when it is asked again."""
    asked = {name: value for name, value in message.items() if name != "reason"}
    return hashlib.sha256(json.dumps([path, asked], sort_keys=True).encode()).hexdigest()


def handler_of(deployer: Deployer) -> type[BaseHTTPRequestHandler]:
    """The class that answers requests for this deployer."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30
        disable_nagle_algorithm = True

        def log_message(self, format: str, *args: object) -> None:
            """Keep the log for what went wrong."""

        def do_GET(self) -> None:
            address = urlsplit(self.path)
            self._answer(lambda: deployer.get(address.path, parse_qs(address.query)))

        def do_POST(self) -> None:
            length = self.headers.get("Content-Length", "")
            if not length.isdigit() or int(length) > MOST_BYTES:
                self.close_connection = True
                self._send(413, {"message": f"Send at most {MOST_BYTES} bytes, and say how many."})
                return
            body = self.rfile.read(int(length))
            if not deployer.is_signed(self.headers, body):
                self._send(401, {"message": "The signature is not ours, or too old."})
                return
            try:
                message = json.loads(body)
            except ValueError:
                message = None
            if not isinstance(message, dict):
                self._send(400, {"message": "Send a JSON object."})
                return
            self._answer(lambda: deployer.post(self.path, message, key=self.headers["webhook-id"]))

        def _answer(self, act: Any) -> None:
            try:
                status, content = act()
            except Unknown as error:
                status, content = 404, {"message": str(error)}
            except UnknownVersion as error:
                status, content = 422, {"code": "unknown_version", "message": str(error)}
            except Refused as error:
                status, content = 422, {"message": str(error)}
            except Exception:
                # Whatever it was: the caller gets an answer, and the log has the reason.
                logger.exception("%s %s", self.command, self.path)
                status, content = 500, {"message": "The deployer failed; see its log."}
            self._send(status, content)

        def _send(self, status: int, content: dict[str, Any]) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler


def main() -> None:
    """The command line."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    settings = settings_from(sys.argv[1:])
    settings.signing_secret()
    deployer = Deployer(settings)
    server = ThreadingHTTPServer(("127.0.0.1", settings.port), handler_of(deployer))
    deployer.start()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: threading.Thread(target=server.shutdown, daemon=True).start())
    server.serve_forever(poll_interval=0.1)
    deployer.services.stop()


if __name__ == "__main__":
    main()
