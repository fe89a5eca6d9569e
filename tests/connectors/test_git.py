"""GitOps against real repositories: what serves, what changes, what others do meanwhile, and what is refused."""

from __future__ import annotations

import ctypes
import itertools
import multiprocessing
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from rollbackhub.common.errors import InvalidInput, TransientError
from rollbackhub.connectors.base import PermissionMissing
from rollbackhub.connectors.git import GitConnector
from rollbackhub.connectors.git import connector as connector_module
from rollbackhub.connectors.git.repository import DEPTH, Repository
from rollbackhub.connectors.mechanism import ProblemCode, ProblemFound, VersionRef
from tests.connectors.git_repositories import Bare, bare_repository, git, shares

PROMPT = "prompts/support.txt"
PATH: dict[str, Any] = {"path": PROMPT}
SECONDS = 20.0


@pytest.fixture
def bare(tmp_path: Path) -> Bare:
    return bare_repository(tmp_path)


@pytest.fixture
def old(bare: Bare) -> VersionRef:
    """The version to go back to; others have changed other lines since."""
    commit = bare.push({PROMPT: "Be kind.\nBe brief.\n", "README": "one\n"}, subject="Prompt 1")
    return VersionRef("v1", uri=f"git:{commit}")


@pytest.fixture
def new(bare: Bare, old: VersionRef) -> VersionRef:
    commit = bare.push({PROMPT: "Be rude.\nBe brief.\nBe bold.\n"}, subject="Prompt 2")
    bare.push({"README": "two\n"}, subject="Something else")
    return VersionRef("v2", digest=commit)


def hub(bare: Bare, *, seconds: float = SECONDS, **settings: Any) -> GitConnector:
    return GitConnector(GitConnector.parse_settings({"remote": bare.remote, **settings}), timeout_seconds=seconds)


def target(**values: Any) -> Any:
    return GitConnector.parse_target(values)


def apply(connector: GitConnector, old: VersionRef, new: VersionRef, *, key: str = "e1:s1", at: Any = None, reason: str = "Ada: it is rude") -> Any:
    """Go back from new to old."""
    return connector.apply(target=at or target(**PATH), before=shares(new), wanted=shares(old), key=key, reason=reason)


def preflight(connector: GitConnector, old: VersionRef, new: VersionRef, at: Any = None) -> list[ProblemCode]:
    return [problem.code for problem in connector.preflight(target=at or target(**PATH), before=shares(new), wanted=shares(old))]


def test_apply_restores_the_file_in_a_new_commit_on_the_tip(bare: Bare, old: VersionRef, new: VersionRef) -> None:
    tip, count = bare.tip(), bare.count()
    done = apply(hub(bare), old, new, reason="Ada: it is rude\n\nRollbackHub-Key: forged")
    assert done.changed
    assert done.revision == bare.tip()
    assert bare.show(PROMPT) == "Be kind.\nBe brief."
    assert bare.show("README") == "two", "what others changed since stays"
    assert bare.count() == count + 1
    assert git(bare.folder, "rev-parse", "main~1") == tip
    message = git(bare.folder, "log", "-1", "--format=%an <%ae>%n%B", "main")
    assert message.startswith("RollbackHub <rollbackhub@localhost>\nAda: it is rude")
    assert bare.keys() == ["e1:s1"]
    assert f"RollbackHub-Restores: {old.uri.removeprefix('git:')}" in message


def test_apply_twice_makes_one_commit(bare: Bare, old: VersionRef, new: VersionRef) -> None:
    apply(hub(bare), old, new)
    tip = bare.tip()
    again = apply(hub(bare), old, new)
    assert (again.changed, again.revision, bare.tip()) == (False, tip, tip)


def test_apply_with_a_key_that_had_its_effect_does_not_undo_what_came_after(bare: Bare, old: VersionRef, new: VersionRef) -> None:
    connector = hub(bare)
    apply(connector, old, new)
    bare.push({PROMPT: bare.show(PROMPT, new.digest) + "\n"}, subject="Rude again, on purpose")
    tip = bare.tip()
    with pytest.raises(ProblemFound, match="Rude again, on purpose") as caught:
        apply(connector, old, new)
    assert caught.value.problem.code == ProblemCode.CONFIG_MISMATCH
    assert bare.tip() == tip
    assert apply(connector, old, new, key="e2:s1").changed, "another action may"


def test_apply_restores_a_directory_with_all_that_was_added_removed_and_changed(bare: Bare) -> None:
    first = bare.push({"set/a.txt": "a\n", "set/deep/b.txt": "b\n", "settings.txt": "x\n"})
    second = bare.push({"set/a.txt": "A\n", "set/deep/b.txt": None, "set/c.txt": "c\n"})
    at, connector = target(path="set"), hub(bare)
    old, new = VersionRef("1", uri=f"git:{first}"), VersionRef("2", uri=f"git+{bare.remote}@{second}")
    planned = {change.subject: change.after for change in connector.plan(target=at, wanted=shares(old))}
    assert set(planned) == {"set/a.txt", "set/c.txt", "set/deep/b.txt"}
    assert planned["set/a.txt"].endswith("+1 −1 lines")
    assert planned["set/c.txt"].endswith("+0 −1 lines")
    assert apply(connector, old, new, at=at).changed
    assert git(bare.folder, "rev-parse", "main:set") == git(bare.folder, "rev-parse", f"{first}:set")
    assert bare.show("settings.txt") == "x"
    assert connector.plan(target=at, wanted=shares(old)) == []
    git(bare.folder, "fsck", "--strict")


def test_plan_and_preflight_change_nothing(bare: Bare, old: VersionRef, new: VersionRef) -> None:
    tip, refs = bare.tip(), git(bare.folder, "for-each-ref")
    objects = git(bare.folder, "count-objects", "-v")
    assert preflight(hub(bare), old, new) == []
    (change,) = hub(bare).plan(target=target(**PATH), wanted=shares(old))
    assert change.subject == PROMPT
    assert change.after.endswith("(v1): +1 −2 lines")
    assert (bare.tip(), git(bare.folder, "for-each-ref"), git(bare.folder, "count-objects", "-v")) == (tip, refs, objects)


def test_observe_sees_what_was_restored_and_what_somebody_changed_behind_our_back(bare: Bare, old: VersionRef, new: VersionRef) -> None:
    connector, at = hub(bare), target(**PATH)
    assert not connector.observe(target=at, wanted=shares(old)).reached
    apply(connector, old, new)
    assert connector.observe(target=at, wanted=shares(old)).reached
    assert not connector.observe(target=at, wanted=shares(new)).reached
    bare.push({PROMPT: "Be loud.\n"}, subject="Quick fix")
    seen = connector.observe(target=at, wanted=shares(old))
    assert not seen.reached
    assert "Ada Other" in seen.found
    assert "Quick fix" in seen.found


def test_observe_of_an_unmoved_branch_asks_the_remote_once(bare: Bare, old: VersionRef, new: VersionRef, monkeypatch: pytest.MonkeyPatch) -> None:
    connector, at = hub(bare), target(**PATH)
    first = connector.observe(target=at, wanted=shares(old))
    monkeypatch.setattr(Repository, "fetch", lambda *_: pytest.fail("fetched again"))
    assert connector.observe(target=at, wanted=shares(old)) == first


def test_content_that_is_neither_is_refused_and_names_the_last_commit(bare: Bare, old: VersionRef, new: VersionRef) -> None:
    last = bare.push({PROMPT: "Be loud.\n"}, subject="Quick fix")
    bare.push({"README": "three\n"}, subject="Not this one")
    tip = bare.tip()
    with pytest.raises(ProblemFound) as caught:
        apply(hub(bare), old, new)
    assert caught.value.problem.code == ProblemCode.CONFIG_MISMATCH
    assert caught.value.problem.found == f"other content, last changed by {last[:10]} by Ada Other: “Quick fix”"
    assert preflight(hub(bare), old, new) == [ProblemCode.CONFIG_MISMATCH]
    assert bare.tip() == tip


def test_commit_that_the_repository_does_not_have_is_target_retired(bare: Bare, old: VersionRef, new: VersionRef) -> None:
    gone, tip = VersionRef("v0", uri="git:" + "a" * 40), bare.tip()
    assert preflight(hub(bare), gone, new) == [ProblemCode.TARGET_RETIRED]
    for act in (lambda: apply(hub(bare), gone, new), lambda: hub(bare).observe(target=target(**PATH), wanted=shares(gone))):
        with pytest.raises(ProblemFound, match="no such commit") as caught:
            act()
        assert caught.value.problem.code == ProblemCode.TARGET_RETIRED
    assert bare.tip() == tip


def test_commit_that_is_no_commit_or_lacks_the_path_is_target_retired(bare: Bare, old: VersionRef, new: VersionRef) -> None:
    blob = git(bare.folder, "rev-parse", f"main:{PROMPT}")
    assert preflight(hub(bare), VersionRef("v0", digest=blob), new) == [ProblemCode.TARGET_RETIRED]
    assert ProblemCode.TARGET_RETIRED in preflight(hub(bare), old, new, target(path="prompts/other.txt"))


def test_commit_that_only_a_deleted_branch_had_is_found_until_it_is_collected(bare: Bare, old: VersionRef, new: VersionRef) -> None:
    git(bare.clone, "checkout", "-q", "-b", "aside", old.uri.removeprefix("git:"))
    (bare.clone / PROMPT).write_text("Be wise.\n")
    git(bare.clone, "commit", "-qam", "Aside")
    aside = VersionRef("vx", digest=git(bare.clone, "rev-parse", "HEAD"))
    git(bare.clone, "push", "-q", "origin", "aside")
    git(bare.clone, "push", "-q", "origin", ":aside")
    assert preflight(hub(bare), aside, new) == []
    git(bare.folder, "reflog", "expire", "--expire=now", "--all")
    git(bare.folder, "gc", "-q", "--prune=now")
    assert preflight(hub(bare), aside, new) == [ProblemCode.TARGET_RETIRED]


def test_branch_that_is_gone_is_flag_moved(bare: Bare, old: VersionRef, new: VersionRef) -> None:
    connector = hub(bare, branch="releases/live")
    assert preflight(connector, old, new) == [ProblemCode.FLAG_MOVED]
    for act in (lambda: apply(connector, old, new), lambda: connector.observe(target=target(**PATH), wanted=shares(old))):
        with pytest.raises(ProblemFound, match="no such branch") as caught:
            act()
        assert caught.value.problem.code == ProblemCode.FLAG_MOVED
    assert "releases/live" not in git(bare.folder, "for-each-ref")


def test_version_without_a_commit_or_of_another_repository_is_refused(bare: Bare, old: VersionRef, new: VersionRef) -> None:
    for uri in ("", "git:abc123", "git+https://example.org/other.git@" + "a" * 40, "mlflow:x/1"):
        assert preflight(hub(bare), VersionRef("v0", uri=uri), new) == [ProblemCode.CONFIG_MISMATCH], uri
    two = VersionRef("v0", uri=old.uri, digest=new.digest)
    assert preflight(hub(bare), two, new) == [ProblemCode.CONFIG_MISMATCH]


def test_hook_that_refuses_is_permission_missing_with_the_servers_sentence(bare: Bare, old: VersionRef, new: VersionRef) -> None:
    bare.hook("#!/bin/sh\nprintf 'Only \\033[31mrelease managers\\033[0m push here.\\a %0400d\\n' 0 >&2\nexit 1\n")
    tip = bare.tip()
    with pytest.raises(PermissionMissing) as caught:
        apply(hub(bare), old, new)
    assert "Only release managers push here." in caught.value.message.replace("  ", " ")
    assert "pre-receive hook declined" in caught.value.message
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 600
    assert bare.tip() == tip
    assert preflight(hub(bare), old, new) == [], "a dry run does not run the server's hooks, as documented"


def _without_override(bare: Bare, old: VersionRef, new: VersionRef, results: Any) -> None:
    """root without the right to ignore permissions (CAP_DAC_OVERRIDE, bit 1): its folders refuse it as they refuse others."""
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(24, 1, 0, 0, 0) == 0, "for what it starts"
    header, sets = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    assert libc.capget(header, sets) == 0
    sets[0], sets[1] = sets[0] & ~2, sets[1] & ~2
    assert libc.capset(header, sets) == 0, "for itself"
    found = preflight(hub(bare), old, new)
    try:
        apply(hub(bare), old, new)
    except PermissionMissing as error:
        results.put((found, error.message))
    else:
        results.put((found, "was not refused"))


def test_repository_that_may_not_be_written_is_permission_missing(bare: Bare, old: VersionRef, new: VersionRef) -> None:
    folders = [bare.folder, *(path for path in bare.folder.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o500)
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    child = context.Process(target=_without_override, args=(bare, old, new, results))
    child.start()
    found, said = results.get(timeout=60)
    child.join(10)
    for folder in folders:
        folder.chmod(0o700)
    assert found == [ProblemCode.PERMISSION_MISSING]
    assert "insufficient permission" in said or "unable to create temporary object directory" in said, said
    assert bare.keys() == []


def test_late_push_is_done_anew_and_loses_nothing(bare: Bare, old: VersionRef, new: VersionRef, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody pushes between our fetch and our push, at each of the first three tries."""
    push, late = Repository.push, [0]

    def others_first(self: Repository, commit: str, *, dry_run: bool = False) -> Any:
        if late[0] < 3:
            late[0] += 1
            bare.push({"README": f"late {late[0]}\n"}, subject=f"Late {late[0]}")
        return push(self, commit, dry_run=dry_run)

    monkeypatch.setattr(Repository, "push", others_first)
    count = bare.count()
    assert apply(hub(bare), old, new).changed
    assert (bare.show("README"), bare.show(PROMPT), bare.count()) == ("late 3", "Be kind.\nBe brief.", count + 4)


def test_pushes_that_are_always_late_end_as_transient_and_change_nothing(bare: Bare, old: VersionRef, new: VersionRef, monkeypatch: pytest.MonkeyPatch) -> None:
    push = Repository.push

    def others_first(self: Repository, commit: str, *, dry_run: bool = False) -> Any:
        bare.push({"README": f"{time.monotonic_ns()}\n"})
        return push(self, commit, dry_run=dry_run)

    monkeypatch.setattr(Repository, "push", others_first)
    with pytest.raises(TransientError, match="2 tries"):
        apply(hub(bare, tries=2), old, new)
    assert bare.keys() == []


def test_late_push_over_the_same_path_is_refused_not_overwritten(bare: Bare, old: VersionRef, new: VersionRef, monkeypatch: pytest.MonkeyPatch) -> None:
    push = Repository.push

    def others_first(self: Repository, commit: str, *, dry_run: bool = False) -> Any:
        bare.push({PROMPT: "Be loud.\n"}, subject="Meanwhile")
        return push(self, commit, dry_run=dry_run)

    monkeypatch.setattr(Repository, "push", others_first)
    with pytest.raises(ProblemFound, match="Meanwhile"):
        apply(hub(bare), old, new)
    assert bare.show(PROMPT) == "Be loud."


def test_branch_that_is_deleted_meanwhile_is_not_made_anew(bare: Bare, old: VersionRef, new: VersionRef, monkeypatch: pytest.MonkeyPatch) -> None:
    push = Repository.push

    def deleted_first(self: Repository, commit: str, *, dry_run: bool = False) -> Any:
        git(bare.folder, "update-ref", "-d", "refs/heads/main")
        return push(self, commit, dry_run=dry_run)

    monkeypatch.setattr(Repository, "push", deleted_first)
    with pytest.raises(ProblemFound, match="no such branch"):
        apply(hub(bare), old, new)
    assert bare.tip() == ""


def _write_many(remote: str, path: str, versions: list[tuple[str, str]], number: int, results: Any) -> None:
    """One writer process: moves its own file through these commits, as the hub does."""
    connector = GitConnector(GitConnector.parse_settings({"remote": remote, "tries": 20}), timeout_seconds=60)
    refs = [VersionRef(label, digest=commit) for label, commit in versions]
    try:
        for index, (old, new) in enumerate(itertools.pairwise(refs)):
            connector.apply(target=target(path=path), before=shares(old), wanted=shares(new), key=f"w{number}:{index}", reason=f"writer {number}")
        results.put((number, ""))
    except Exception as error:
        results.put((number, repr(error)))


def test_two_writers_race_and_none_loses_a_commit(bare: Bare) -> None:
    a1 = bare.push({"a.txt": "1\n", "b.txt": "1\n"})
    a2 = bare.push({"a.txt": "2\n", "b.txt": "2\n"})
    a1_again = bare.push({"a.txt": "1\n", "b.txt": "1\n"})
    rounds = [("one", a1_again)] + [("two", a2), ("one", a1)] * 3
    start, context = bare.count(), multiprocessing.get_context("fork")
    results = context.Queue()
    writers = [context.Process(target=_write_many, args=(bare.remote, f"{name}.txt", rounds, number, results)) for number, name in enumerate("ab")]
    for writer in writers:
        writer.start()
    said = sorted(results.get(timeout=120) for _ in writers)
    for writer in writers:
        writer.join(30)
    assert said == [(0, ""), (1, "")]
    assert sorted(bare.keys()) == sorted(f"w{number}:{index}" for number in range(2) for index in range(6)), "every commit is there, once"
    assert bare.count() == start + 12
    assert git(bare.folder, "rev-list", "--min-parents=2", "main") == "", "a line, no merges"
    git(bare.folder, "fsck", "--strict")


def _apply_and_die(remote: str, old: VersionRef, new: VersionRef) -> None:
    connector = GitConnector(GitConnector.parse_settings({"remote": remote}), timeout_seconds=60)
    apply(connector, old, new)
    os.kill(os.getpid(), signal.SIGKILL)


def _push_and_die(remote: str, old: VersionRef, new: VersionRef) -> None:
    push = Repository.push

    def dying(self: Repository, commit: str, *, dry_run: bool = False) -> Any:
        push(self, commit, dry_run=dry_run)
        os.kill(os.getpid(), signal.SIGKILL)

    Repository.push = dying  # type: ignore[method-assign] # in a child process of its own
    apply(GitConnector(GitConnector.parse_settings({"remote": remote}), timeout_seconds=60), old, new)


@pytest.mark.parametrize("dying", [_apply_and_die, _push_and_die])
def test_killed_after_the_effect_and_applied_again_has_one_effect(bare: Bare, old: VersionRef, new: VersionRef, dying: Any) -> None:
    count = bare.count()
    child = multiprocessing.get_context("fork").Process(target=dying, args=(bare.remote, old, new))
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL
    assert bare.count() == count + 1
    assert not apply(hub(bare), old, new).changed
    assert (bare.count(), bare.keys()) == (count + 1, ["e1:s1"])


def test_what_a_killed_process_left_behind_is_removed_an_hour_later(bare: Bare, old: VersionRef, new: VersionRef, settings: Any, tmp_path: Path) -> None:
    settings.CONFIG = settings.CONFIG.model_copy(update={"var": tmp_path / "var"})
    base = tmp_path / "var" / "git"
    for name, age in (("look-old", 4000), ("look-young", 10)):
        (base / name / "objects").mkdir(parents=True)
        os.utime(base / name, (time.time() - age, time.time() - age))
    assert apply(hub(bare), old, new).changed
    assert [folder.name for folder in base.iterdir()] == ["look-young"], "and nothing of this look is left"


def test_no_git_call_has_a_shell_or_this_machines_configuration(
    bare: Bare, old: VersionRef, new: VersionRef, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hook in the user's own configuration would run at our push."""
    evidence = tmp_path / "ran"
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (hooks / "pre-push").write_text(f"#!/bin/sh\ntouch {evidence}\n")
    (hooks / "pre-push").chmod(0o755)
    (tmp_path / ".gitconfig").write_text(f"[core]\nhooksPath = {hooks}\n[user]\nname = Wrong\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    subprocess.run(["git", "--git-dir", str(bare.folder), "push", "-q", str(bare.folder), "main:refs/heads/shown"], check=True)
    assert evidence.exists(), "the hook works where it is not disabled"
    evidence.unlink()
    assert apply(hub(bare), old, new).changed
    assert not evidence.exists()


@pytest.mark.parametrize(
    ("what", "values"),
    [
        ("settings", {"remote": "--upload-pack=touch /tmp/x"}),
        ("settings", {"remote": "ext::sh -c touch% /tmp/x"}),
        ("settings", {"remote": "http://127.0.0.1/x.git"}),
        ("settings", {"remote": "https://somebody@127.0.0.1/x.git"}),
        ("settings", {"remote": "ssh://-oProxyCommand=x/y.git"}),
        ("settings", {"remote": "ssh://-oProxyCommand=x@host/y.git"}),
        ("settings", {"remote": "file://host/y.git"}),
        ("settings", {"remote": "file:///a/../y.git"}),
        ("settings", {"remote": "git@host:y.git"}),
        ("settings", {"remote": "https://h/x.git", "branch": "--force"}),
        ("settings", {"remote": "https://h/x.git", "branch": "a..b"}),
        ("settings", {"remote": "https://h/x.git", "branch": "+main"}),
        ("settings", {"remote": "https://h/x.git", "branch": "main:other"}),
        ("settings", {"remote": "https://h/x.git", "author_name": "A <b>"}),
        ("settings", {"remote": "https://h/x.git", "user": "a:b"}),
        ("settings", {"remote": "file:///x.git", "token_ref": "env:TOKEN"}),
        ("settings", {"remote": "ssh://git@h/x.git", "key_ref": "env:KEY"}),
        ("settings", {"remote": "https://h/x.git", "unknown": 1}),
        ("target", {"path": "-x"}),
        ("target", {"path": "/etc/passwd"}),
        ("target", {"path": "a/../../b"}),
        ("target", {"path": ".git/config"}),
        ("target", {"path": "a//b"}),
        ("target", {"path": "a\nb"}),
        ("target", {"path": ""}),
        ("target", {}),
        ("target", {"path": "a", "file": "b", "field": "c", "value": "label"}),
        ("target", {"file": "b", "field": "c"}),
        ("target", {"file": "b", "field": "c", "value": "uri"}),
    ],
)
def test_wrong_settings_and_targets_are_refused(what: str, values: dict[str, Any]) -> None:
    parse = GitConnector.parse_settings if what == "settings" else GitConnector.parse_target
    with pytest.raises(InvalidInput):
        parse(values)


@pytest.mark.parametrize(
    ("values", "secret"),
    [
        ({"remote": "https://me:hunter2secret@h/x.git"}, "hunter2secret"),
        ({"remote": "https://ghp_abcdefghijklmnopqrstuvwxyz0123@h/x.git"}, "ghp_abcdefghijklmnopqrstuvwxyz0123"),
        ({"remote": "https://h/x.git", "token_ref": "hunter2secret"}, "hunter2secret"),
        ({"remote": "https://h/x.git", "token": "hunter2secret"}, "hunter2secret"),
        ({"remote": "https://plainsecret@h/x.git"}, "plainsecret"),
    ],
)
def test_secret_in_a_setting_is_refused_and_not_repeated(values: dict[str, Any], secret: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        GitConnector.parse_settings(values)
    assert secret not in f"{caught.value.message} {caught.value.fields}"


def test_secret_in_a_target_is_refused_and_not_repeated() -> None:
    with pytest.raises(InvalidInput) as caught:
        target(path="a", password="hunter2secret")
    assert "hunter2secret" not in f"{caught.value.message} {caught.value.fields}"


def test_names_that_a_consumer_may_answer_with(old: VersionRef, bare: Bare) -> None:
    commit = old.uri.removeprefix("git:")
    assert hub(bare).served_names(target=target(**PATH), version=old) == ["v1", commit, commit[:7]]


def test_remembered_looks_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connector_module, "_looks", type(connector_module._looks)())
    for number in range(300):
        connector_module._remember((number,), object())  # type: ignore[arg-type] # only counted here
    assert len(connector_module._looks) == 256


def test_long_history_since_the_versions(bare: Bare, old: VersionRef, new: VersionRef) -> None:
    """More commits than are fetched of the branch: the versions' own commits are found all the same, and nobody is blamed for what was before."""
    git(bare.clone, "pull", "-q", "--rebase", "origin", "main")
    for number in range(DEPTH + 5):
        git(bare.clone, "commit", "-q", "--allow-empty", "-m", f"Filler {number}")
    git(bare.clone, "push", "-q", "origin", "HEAD:main")
    with pytest.raises(ProblemFound) as caught:
        apply(hub(bare), old, old_and_other(bare, old))
    assert caught.value.problem.found == "other content; none of the newest commits has touched it"
    count = bare.count()
    assert apply(hub(bare), old, new).changed
    assert (bare.show(PROMPT), bare.count()) == ("Be kind.\nBe brief.", count + 1)
    git(bare.folder, "fsck", "--strict")
    assert git(bare.folder, "rev-parse", "--is-shallow-repository") == "false", "our short clone does not shorten theirs"


def old_and_other(bare: Bare, old: VersionRef) -> VersionRef:
    """A version whose content the branch never had."""
    git(bare.clone, "checkout", "-q", "--detach", old.uri.removeprefix("git:"))
    (bare.clone / PROMPT).write_text("Be elsewhere.\n")
    git(bare.clone, "commit", "-qam", "Elsewhere")
    commit = git(bare.clone, "rev-parse", "HEAD")
    git(bare.clone, "push", "-q", "origin", f"{commit}:refs/heads/aside")
    git(bare.clone, "checkout", "-q", "main")
    return VersionRef("v-aside", digest=commit)
