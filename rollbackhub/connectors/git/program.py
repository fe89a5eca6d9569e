"""Runs the git program: no shell, no prompts, no configuration of this machine, no hooks of the clone, a bound on time; and says what its failures mean."""

from __future__ import annotations

import base64
import os
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpcore
from django.conf import settings as django_settings

from rollbackhub.common.errors import RollbackHubError, TransientError, Unavailable
from rollbackhub.common.http_network import plain_host, require_allowed_host, resolve
from rollbackhub.connectors.base import PermissionMissing
from rollbackhub.connectors.git.settings import GitSettings
from rollbackhub.connectors.mechanism import Problem, ProblemCode, ProblemFound
from rollbackhub.connectors.secret_refs import read_secret

MAX_SENTENCE = 300
_PORTS = {"https": 443, "ssh": 22}
_NOISE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[^\S\n]+|[\0-\x09\x0b-\x1f\x7f-\x9f]")
_REFUSED = re.compile(
    r"Authentication failed|could not read (?:Username|Password)|returned error: 40[13]\b|Permission denied|insufficient permission|dubious ownership"
    r"|Host key verification failed|not permitted|Read-only file system|unable to create temporary object|pre-receive hook declined|hook declined"
    r"|protected branch|deny updating|access denied|not allowed to push",
    re.IGNORECASE,
)
_NOT_THERE = re.compile(r"does not appear to be a git repository|Repository not found|repository '[^']*' not found|returned error: 404\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Ran:
    """What a run of git gave. `sentence` is what it said of its failure, fit for a message."""

    status: int
    stdout: bytes = field(repr=False)
    sentence: str

    @property
    def text(self) -> str:
        """The output as UTF-8 without the line's end."""
        return self.stdout.decode("utf-8", errors="replace").strip()


class GitProgram:
    """git with one remote, in one bare repository of ours."""

    def __init__(self, settings: GitSettings, *, folder: Path, timeout_seconds: float) -> None:
        """Checks that the remote may be called. Raises OutboundRefused, TransientError (its name does not resolve), SecretMissing."""
        self.folder = folder
        self._timeout_seconds = timeout_seconds
        self._remote = settings.remote
        self._secrets: list[str] = []
        address = _checked_address(settings, seconds=timeout_seconds)
        self._environment = _environment(settings, home=folder) | _configuration(settings, address=address, secrets=self._secrets)
        if settings.parts.scheme == "ssh":
            self._environment["GIT_SSH_COMMAND"] = _ssh(settings, address=address, seconds=timeout_seconds)

    def run(self, *arguments: str, stdin: bytes = b"", extra: Mapping[str, str] | None = None) -> Ran:
        """Run git, whatever its exit status is. Raises TransientError (`timeout`) after the time limit: git and all that it started are killed."""
        started = time.monotonic()
        try:
            process = subprocess.Popen(
                ["git", *arguments],
                cwd=self.folder,
                env=self._environment | dict(extra or {}),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise Unavailable(f"The program git cannot be run here ({error.strerror}). Install git on the machines of the web and worker processes.") from error
        try:
            stdout, stderr = process.communicate(stdin, timeout=self._timeout_seconds)
        except subprocess.TimeoutExpired as error:
            spent = time.monotonic() - started
            raise TransientError(f"{self._remote} did not answer git {arguments[0]} within {spent:.1f} s.", code="timeout") from error
        finally:
            if process.returncode is None:
                _kill_group(process)
        return Ran(status=process.returncode, stdout=stdout, sentence=self._fit(stderr))

    def out(self, *arguments: str, stdin: bytes = b"", extra: Mapping[str, str] | None = None) -> bytes:
        """The output of a run that must succeed. Raises what its failure means: PermissionMissing, ProblemFound, TransientError."""
        ran = self.run(*arguments, stdin=stdin, extra=extra)
        if ran.status != 0:
            raise self.failure(ran, doing=f"git {arguments[0]}")
        return ran.stdout

    def failure(self, ran: Ran, *, doing: str) -> RollbackHubError:
        """What a failed run means, by what git and the server said."""
        if _REFUSED.search(ran.sentence):
            return PermissionMissing(f"{self._remote} refuses {doing}: {ran.sentence}")
        if _NOT_THERE.search(ran.sentence):
            remedy = "Check the connection's remote, and that its token or key may read it."
            return ProblemFound(Problem(ProblemCode.UNREACHABLE, self._remote, "a git repository", ran.sentence, remedy))
        return TransientError(f"{doing} with {self._remote} failed: {ran.sentence}", code="unreachable")

    def _fit(self, said: bytes) -> str:
        """What git said, for a message: without secrets and control characters, the server's own words first, of limited length."""
        text = said.decode("utf-8", errors="replace")
        for secret in self._secrets:
            text = text.replace(secret, "[not shown]")
        lines = [line.strip() for line in _NOISE.sub(" ", text).split("\n")]
        server = [line.removeprefix("remote:").strip() for line in lines if line.startswith("remote:")]
        own = [line for line in lines if line and not line.startswith(("remote:", "hint:", "warning:"))]
        sentence = "; ".join(line for line in server + own if line) or "git gave no reason"
        return sentence if len(sentence) <= MAX_SENTENCE else sentence[: MAX_SENTENCE - 1] + "…"


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """End git and what it started (ssh, remote helpers): nothing of it outlives the call. Git was not waited for yet, so its number is still its own."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None and not stream.closed:
            stream.close()


def _checked_address(settings: GitSettings, *, seconds: float) -> str:
    """The one address of the remote's host that git may connect to, checked as common/http does; empty for this machine's files."""
    parts = settings.parts
    if parts.scheme == "file":
        return ""
    host = plain_host(parts.hostname or "")
    require_allowed_host(host, django_settings.CONFIG.outbound_allowed_hosts)
    try:
        return str(resolve(host, seconds=seconds)[0])
    except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
        raise TransientError(f"{settings.remote} cannot be reached ({error}).", code="unreachable") from error


def _environment(settings: GitSettings, *, home: Path) -> dict[str, str]:
    """Nothing of this process's environment but where programs and the certificates of authorities are."""
    kept = {name: os.environ[name] for name in ("PATH", "GIT_SSL_CAINFO", "LD_LIBRARY_PATH") if name in os.environ}
    author = {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in _person(settings)}
    return {
        **kept,
        **author,
        "HOME": str(home),
        "LC_ALL": "C.UTF-8",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "",
        "SSH_ASKPASS": "",
        "GIT_ALLOW_PROTOCOL": settings.parts.scheme,
        "GIT_LITERAL_PATHSPECS": "1",
        "GIT_PROTOCOL_FROM_USER": "0",
    }


def _person(settings: GitSettings) -> Sequence[tuple[str, str]]:
    return [("NAME", settings.author_name), ("EMAIL", settings.author_email)]


def _configuration(settings: GitSettings, *, address: str, secrets: list[str]) -> dict[str, str]:
    """git's configuration as environment variables: they are in no file and in no argument list, and git keeps them from a repository it pushes to here.

    So `core.hooksPath` holds for our clone, while the hooks of a repository on this machine still run when we push to it.
    """
    options = [("core.hooksPath", os.devnull), ("protocol.version", "2"), ("gc.auto", "0"), ("maintenance.auto", "false"), ("credential.helper", "")]
    parts = settings.parts
    if parts.scheme == "https":
        bracketed = f"[{address}]" if ":" in address else address
        options += [
            ("http.followRedirects", "false"),
            ("http.proxy", ""),
            # Connect to the very address that was checked.
            ("http.curloptResolve", f"{parts.hostname}:{parts.port or _PORTS['https']}:{bracketed}"),
        ]
    if settings.token_ref:
        token = read_secret(settings.token_ref)
        login = base64.b64encode(f"{settings.user}:{token}".encode()).decode("ascii")
        secrets += [token, login]
        options.append((f"http.{settings.remote}.extraHeader", f"Authorization: Basic {login}"))
    found = {"GIT_CONFIG_COUNT": str(len(options))}
    for index, (key, value) in enumerate(options):
        found |= {f"GIT_CONFIG_KEY_{index}": key, f"GIT_CONFIG_VALUE_{index}": value}
    return found


def _ssh(settings: GitSettings, *, address: str, seconds: float) -> str:
    """The ssh command that git starts: our key only, a known host only, no questions."""
    options = {
        "BatchMode": "yes",
        "IdentitiesOnly": "yes",
        "StrictHostKeyChecking": "yes",
        "ConnectTimeout": str(max(1, int(seconds))),
        "HostName": address,
        "HostKeyAlias": settings.parts.hostname or "",
        "ForwardAgent": "no",
        "ClearAllForwardings": "yes",
    }
    if settings.known_hosts:
        options["UserKnownHostsFile"] = f'"{settings.known_hosts}"'
    if settings.key_ref:
        read_secret(settings.key_ref)  # Says early, and in our words, that it is not there.
        options["IdentityFile"] = f'"{settings.key_ref.removeprefix("file:")}"'
    words = ["ssh", "-F", os.devnull, *(f"-o{name}={value}" for name, value in options.items())]
    return " ".join(shlex.quote(word) for word in words)
