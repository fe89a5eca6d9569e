"""GitOps through git's own http backend behind TLS and a login: credentials, refusals, and a server that is down or slow."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rollbackhub.common.errors import TransientError
from rollbackhub.common.http_network import OutboundRefused
from rollbackhub.connectors.base import PermissionMissing
from rollbackhub.connectors.git import GitConnector
from rollbackhub.connectors.git.repository import Repository
from rollbackhub.connectors.mechanism import ProblemCode, ProblemFound, VersionRef
from rollbackhub.connectors.secret_refs import SecretMissing
from tests.connectors.git_repositories import TOKEN, Bare, HttpsServer, bare_repository, git, https_server, make_certificate, shares

AT = GitConnector.parse_target({"path": "prompt.txt"})


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificate(tmp_path_factory.mktemp("tls") / "server.pem")


@pytest.fixture
def bare(tmp_path: Path) -> Bare:
    bare = bare_repository(tmp_path)
    git(bare.folder, "config", "http.receivepack", "true")
    git(bare.folder, "config", "uploadpack.allowFilter", "true")
    return bare


@pytest.fixture
def server(tmp_path: Path, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HttpsServer]:
    monkeypatch.setenv("GIT_SSL_CAINFO", str(certificate))
    monkeypatch.setenv("HUB_TEST_GIT", TOKEN)
    with https_server(tmp_path, certificate) as server:
        yield server


@pytest.fixture
def old(bare: Bare) -> VersionRef:
    return VersionRef("v1", uri="git:" + bare.push({"prompt.txt": "kind\n", "big.txt": "x" * 10_000}))


@pytest.fixture
def new(bare: Bare, old: VersionRef) -> VersionRef:
    return VersionRef("v2", uri="git:" + bare.push({"prompt.txt": "rude\n"}))


def hub(remote: str, *, seconds: float = 20.0, **settings: Any) -> GitConnector:
    return GitConnector(GitConnector.parse_settings({"remote": remote, "token_ref": "env:HUB_TEST_GIT", **settings}), timeout_seconds=seconds)


def acts(connector: GitConnector, old: VersionRef, new: VersionRef) -> list[Any]:
    """Everything that raises."""
    return [
        lambda: connector.apply(target=AT, before=shares(new), wanted=shares(old), key="k", reason="because"),
        lambda: connector.observe(target=AT, wanted=shares(old)),
        lambda: connector.plan(target=AT, wanted=shares(old)),
    ]


def test_apply_and_observe_with_a_token_that_shows_up_nowhere(
    server: HttpsServer, bare: Bare, old: VersionRef, new: VersionRef, monkeypatch: pytest.MonkeyPatch, settings: Any, tmp_path: Path
) -> None:
    """Looked at: every argument list of every process, and every file of the clone, while the push is under way."""
    settings.CONFIG = settings.CONFIG.model_copy(update={"var": tmp_path / "var"})
    connector, seen = hub(server.remote(bare)), {"arguments": b"", "files": b""}
    server.delay_seconds = 0.1
    stop = threading.Event()

    def watch() -> None:
        while not stop.is_set():
            for process in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    seen["arguments"] += process.read_bytes()
                except OSError:
                    continue  # It has ended.

    watcher = threading.Thread(target=watch)
    watcher.start()
    push = Repository.push

    def keep(self: Repository, commit: str, *, dry_run: bool = False) -> Any:
        ran = push(self, commit, dry_run=dry_run)
        seen["files"] += b"".join(path.read_bytes() for path in self.git.folder.rglob("*") if path.is_file())
        return ran

    monkeypatch.setattr(Repository, "push", keep)
    try:
        assert connector.preflight(target=AT, before=shares(new), wanted=shares(old)) == []
        done = connector.apply(target=AT, before=shares(new), wanted=shares(old), key="k", reason="because")
    finally:
        stop.set()
        watcher.join()
    assert done.changed
    assert bare.show("prompt.txt") == "kind"
    assert connector.observe(target=AT, wanted=shares(old)).reached
    assert b"remote-https" in seen["arguments"], "the processes were seen"
    assert b"prompt" in seen["files"]
    assert TOKEN.encode() not in seen["arguments"] + seen["files"]
    assert "eC1hY2Nlc3MtdG9rZW46" not in (seen["arguments"] + seen["files"]).decode(errors="replace"), "nor the login in base64"
    assert not list((tmp_path / "var" / "git").iterdir())


def test_wrong_token_is_permission_missing_and_not_repeated(
    server: HttpsServer, bare: Bare, old: VersionRef, new: VersionRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUB_TEST_GIT", "test-only-wrong-token-77")
    tip = bare.tip()
    connector = hub(server.remote(bare))
    problems = connector.preflight(target=AT, before=shares(new), wanted=shares(old))
    assert [problem.code for problem in problems] == [ProblemCode.PERMISSION_MISSING]
    for act in acts(connector, old, new):
        with pytest.raises(PermissionMissing) as caught:
            act()
        assert "test-only-wrong-token-77" not in caught.value.message
    assert "test-only-wrong-token-77" not in str(problems)
    assert bare.tip() == tip


def test_reader_who_may_not_push_is_found_in_preflight_already(server: HttpsServer, bare: Bare, old: VersionRef, new: VersionRef) -> None:
    git(bare.folder, "config", "http.receivepack", "false")
    connector = hub(server.remote(bare))
    assert [problem.code for problem in connector.preflight(target=AT, before=shares(new), wanted=shares(old))] == [ProblemCode.PERMISSION_MISSING]
    with pytest.raises(PermissionMissing):
        acts(connector, old, new)[0]()
    assert not connector.observe(target=AT, wanted=shares(old)).reached


def test_missing_secret_is_said_before_anything_is_asked(
    server: HttpsServer, bare: Bare, old: VersionRef, new: VersionRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HUB_TEST_GIT")
    connector = hub(server.remote(bare))
    with pytest.raises(SecretMissing, match="HUB_TEST_GIT"):
        connector.preflight(target=AT, before=shares(new), wanted=shares(old))
    assert server.asked == []


def test_repository_that_is_not_there_is_unreachable(server: HttpsServer, bare: Bare, old: VersionRef, new: VersionRef) -> None:
    connector = hub(server.remote(bare) + "x")
    assert [problem.code for problem in connector.preflight(target=AT, before=shares(new), wanted=shares(old))] == [ProblemCode.UNREACHABLE]
    for act in acts(connector, old, new):
        with pytest.raises(ProblemFound, match="Check the connection's remote"):
            act()


def test_server_that_is_down_is_unreachable_and_worth_a_retry(server: HttpsServer, bare: Bare, old: VersionRef, new: VersionRef) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        connector = hub(f"https://127.0.0.1:{taken.getsockname()[1]}/prompts.git")
        assert [problem.code for problem in connector.preflight(target=AT, before=shares(new), wanted=shares(old))] == [ProblemCode.UNREACHABLE]
        for act in acts(connector, old, new):
            with pytest.raises(TransientError):
                act()


def test_server_that_answers_5xx_is_worth_a_retry(server: HttpsServer, bare: Bare, old: VersionRef, new: VersionRef) -> None:
    server.status = 503
    for act in acts(hub(server.remote(bare)), old, new):
        with pytest.raises(TransientError, match="503"):
            act()


def test_slow_server_ends_at_the_time_limit_and_no_git_process_is_left(
    server: HttpsServer, bare: Bare, old: VersionRef, new: VersionRef, settings: Any, tmp_path: Path
) -> None:
    settings.CONFIG = settings.CONFIG.model_copy(update={"var": tmp_path / "var"})
    server.delay_seconds = 6
    connector = hub(server.remote(bare), seconds=0.7)
    for act in acts(connector, old, new):
        started = time.monotonic()
        with pytest.raises(TransientError) as caught:
            act()
        assert caught.value.code == "timeout"
        assert time.monotonic() - started < 3
    assert [problem.code for problem in connector.preflight(target=AT, before=shares(new), wanted=shares(old))] == [ProblemCode.UNREACHABLE]
    ours = str(tmp_path / "var" / "git").encode()
    left = [path for path in Path("/proc").glob("[0-9]*/cwd") if _links_into(path, ours)]
    assert left == []


def _links_into(link: Path, folder: bytes) -> bool:
    try:
        return os.readlink(bytes(link)).startswith(folder)
    except OSError:
        return False  # The process has ended.


def test_server_that_goes_down_between_fetch_and_push_is_worth_a_retry_and_the_retry_finishes(
    server: HttpsServer, bare: Bare, old: VersionRef, new: VersionRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    push, tip = Repository.push, bare.tip()

    def down(self: Repository, commit: str, *, dry_run: bool = False) -> Any:
        server.status = 502
        return push(self, commit, dry_run=dry_run)

    monkeypatch.setattr(Repository, "push", down)
    with pytest.raises(TransientError):
        acts(hub(server.remote(bare)), old, new)[0]()
    monkeypatch.setattr(Repository, "push", push)
    assert bare.tip() == tip
    server.status = 0
    assert acts(hub(server.remote(bare)), old, new)[0]().changed


def test_answer_to_a_push_that_is_lost_has_one_effect_after_the_retry(server: HttpsServer, bare: Bare, old: VersionRef, new: VersionRef) -> None:
    """The server takes the push and answers too late."""
    bare.hook("#!/bin/sh\ncat >/dev/null\n")
    (bare.folder / "hooks" / "post-receive").write_text("#!/bin/sh\nsleep 4\n")
    (bare.folder / "hooks" / "post-receive").chmod(0o755)
    count = bare.count()
    with pytest.raises(TransientError) as caught:
        acts(hub(server.remote(bare), seconds=2), old, new)[0]()
    assert caught.value.code == "timeout"
    assert bare.count() == count + 1, "it had its effect"
    (bare.folder / "hooks" / "post-receive").unlink()
    assert not acts(hub(server.remote(bare)), old, new)[0]().changed
    assert bare.count() == count + 1


def test_only_what_is_needed_is_fetched(server: HttpsServer, bare: Bare, old: VersionRef, new: VersionRef, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that knows filters sends no content of files that are not looked at, not even for the push."""
    blobs: list[str] = []
    push = Repository.push

    def keep(self: Repository, commit: str, *, dry_run: bool = False) -> Any:
        ran = push(self, commit, dry_run=dry_run)
        blobs.extend(line for line in self.git.out("cat-file", "--batch-all-objects", "--batch-check").decode().splitlines() if " blob " in line)
        return ran

    monkeypatch.setattr(Repository, "push", keep)
    assert acts(hub(server.remote(bare)), old, new)[0]().changed
    assert not [line for line in blobs if line.endswith(" 10000")], "the other, large file stayed there"


def test_host_that_is_not_allowed_is_not_called(server: HttpsServer, bare: Bare, old: VersionRef, new: VersionRef, settings: Any) -> None:
    settings.CONFIG = settings.CONFIG.model_copy(update={"outbound_allowed_hosts": ["git.example.org"]})
    for remote in (server.remote(bare), f"ssh://git@127.0.0.1:{server.port}/prompts.git"):
        connector = hub(remote) if remote.startswith("https") else _by_ssh(remote)
        problems = connector.preflight(target=AT, before=shares(new), wanted=shares(old))
        assert [problem.code for problem in problems] == [ProblemCode.PERMISSION_MISSING]
        for act in acts(connector, old, new):
            with pytest.raises(OutboundRefused, match="OUTBOUND_ALLOWED_HOSTS"):
                act()
    assert server.asked == []


def test_metadata_address_is_never_called_even_when_allowed(old: VersionRef, new: VersionRef, settings: Any, server: HttpsServer) -> None:
    settings.CONFIG = settings.CONFIG.model_copy(update={"outbound_allowed_hosts": ["169.254.169.254"]})
    with pytest.raises(OutboundRefused):
        acts(hub("https://169.254.169.254/x.git"), old, new)[0]()


def _by_ssh(remote: str, **settings: Any) -> GitConnector:
    return GitConnector(GitConnector.parse_settings({"remote": remote, **settings}), timeout_seconds=5)


def test_ssh_with_a_key_that_is_missing_or_a_host_that_is_down(old: VersionRef, new: VersionRef, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        remote = f"ssh://git@127.0.0.1:{taken.getsockname()[1]}/prompts.git"
        with pytest.raises(SecretMissing, match="cannot be read"):
            acts(_by_ssh(remote, key_ref=f"file:{tmp_path}/no key"), old, new)[0]()
        key = tmp_path / "a 'key'"
        key.write_text("test-only-private-key")
        for act in acts(_by_ssh(remote, key_ref=f"file:{key}", known_hosts=f"{tmp_path}/known"), old, new):
            with pytest.raises(TransientError, match="refused") as caught:
                act()
            assert "test-only-private-key" not in caught.value.message
