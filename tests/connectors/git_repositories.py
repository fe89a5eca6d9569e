"""Real repositories for the tests: bare ones on this machine, other people who push to them, and an https server in front of them (git's own http backend)."""

from __future__ import annotations

import base64
import os
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from rollbackhub.connectors.mechanism import Share, VersionRef

TOKEN = "test-only-git-token-5d1c"
ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "LC_ALL": "C.UTF-8",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_AUTHOR_NAME": "Ada Other",
    "GIT_AUTHOR_EMAIL": "ada@example.org",
    "GIT_COMMITTER_NAME": "Ada Other",
    "GIT_COMMITTER_EMAIL": "ada@example.org",
}


def git(folder: Path, *arguments: str, stdin: bytes = b"") -> str:
    """Run git as somebody else than the hub."""
    ran = subprocess.run(["git", *arguments], cwd=folder, env=ENVIRONMENT, input=stdin, capture_output=True, check=False)
    assert ran.returncode == 0, ran.stderr.decode()
    return ran.stdout.decode().strip()


@dataclass
class Bare:
    """A bare repository, and a clone of it in which somebody else works."""

    folder: Path
    clone: Path

    @property
    def remote(self) -> str:
        return f"file://{self.folder}"

    def push(self, files: dict[str, str | None], *, subject: str = "Change") -> str:
        """Somebody else pushes these files (None: removed) on the newest commit; gives the commit."""
        if self.tip():
            git(self.clone, "pull", "-q", "--rebase", "origin", "main")
        for name, content in files.items():
            path = self.clone / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if content is None:
                path.unlink()
            else:
                path.write_text(content)
        git(self.clone, "add", "-A")
        git(self.clone, "commit", "-q", "--allow-empty", "-m", subject)
        git(self.clone, "push", "-q", "origin", "HEAD:refs/heads/main")
        return git(self.clone, "rev-parse", "HEAD")

    def tip(self) -> str:
        """The branch's commit; empty without the branch."""
        return git(self.folder, "for-each-ref", "--format=%(objectname)", "refs/heads/main")

    def show(self, path: str, commit: str = "main") -> str:
        """A file's content, without the last line's end."""
        return git(self.folder, "show", f"{commit}:{path}")

    def count(self) -> int:
        """Commits on the branch."""
        return int(git(self.folder, "rev-list", "--count", "main"))

    def keys(self) -> list[str]:
        """The keys that commits on the branch carry."""
        return git(self.folder, "log", "--format=%(trailers:key=RollbackHub-Key,valueonly)", "main").split()

    def hook(self, script: str) -> None:
        """Have the server judge pushes by this script."""
        path = self.folder / "hooks" / "pre-receive"
        path.parent.mkdir(exist_ok=True)
        path.write_text(script)
        path.chmod(0o755)


def bare_repository(folder: Path) -> Bare:
    """An empty bare repository with a clone beside it."""
    bare = Bare(folder=folder / "prompts.git", clone=folder / "clone")
    git(folder, "init", "-q", "--bare", "-b", "main", str(bare.folder))
    git(folder, "init", "-q", "-b", "main", str(bare.clone))
    git(bare.clone, "remote", "add", "origin", str(bare.folder))
    return bare


def shares(version: VersionRef) -> list[Share]:
    """One version has all."""
    return [Share(candidate_id=f"c:{version.label}", version=version, weight=100)]


@dataclass
class HttpsServer:
    """What the https server was asked, and how it behaves."""

    port: int = 0
    delay_seconds: float = 0.0
    status: int = 0
    """Answer everything with this status instead."""
    asked: list[str] = field(default_factory=list)

    def remote(self, bare: Bare) -> str:
        return f"https://127.0.0.1:{self.port}/{bare.folder.name}"


@contextmanager
def https_server(root: Path, certificate: Path) -> Iterator[HttpsServer]:
    """git's http backend for the repositories in a folder, behind TLS and a login."""
    state = HttpsServer()
    login = "Basic " + base64.b64encode(f"x-access-token:{TOKEN}".encode()).decode()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            """Keep quiet."""

        def do_GET(self) -> None:
            self._answer(b"")

        def do_POST(self) -> None:
            if self.headers.get("Transfer-Encoding") == "chunked":
                body = b""
                while size := int(self.rfile.readline(), 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
            else:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self._answer(body)

        def _answer(self, body: bytes) -> None:
            path, _, query = self.path.partition("?")
            state.asked.append(f"{self.command} {path} {query}")
            time.sleep(state.delay_seconds)
            if state.status or self.headers.get("Authorization") != login:
                return self._send(state.status or 401, [("WWW-Authenticate", 'Basic realm="git"')], b"go away")
            environment = {
                **ENVIRONMENT,
                "GIT_PROJECT_ROOT": str(root),
                "GIT_HTTP_EXPORT_ALL": "1",
                "REMOTE_USER": "hub",
                "REQUEST_METHOD": self.command,
                "PATH_INFO": path,
                "QUERY_STRING": query,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "CONTENT_LENGTH": str(len(body)),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            }
            ran = subprocess.run(["git", "http-backend"], env=environment, input=body, capture_output=True, check=False)
            head, _, content = ran.stdout.partition(b"\r\n\r\n")
            headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in head.decode().split("\r\n"))]
            status = next((int(value.split()[0]) for name, value in headers if name == "Status"), 200)
            return self._send(status, [pair for pair in headers if pair[0] != "Status"], content)

        def _send(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
            self.send_response(status)
            for name, value in headers:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """A client that was killed in the middle is expected here."""

    server = Server(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    state.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=[0.02], daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()


def make_certificate(path: Path) -> Path:
    """A certificate for 127.0.0.1 with its key, for a day."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - timedelta(hours=1), now + timedelta(days=1))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
    made = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True).sign(key, hashes.SHA256())
    unlocked = serialization.NoEncryption()
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, unlocked)
    path.write_bytes(secret + made.public_bytes(serialization.Encoding.PEM))
    return path
