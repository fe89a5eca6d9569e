"""One look at a remote: a bare repository in a temporary folder with the newest commits of the branch and the versions' commits, thrown away afterwards.

A folder kept between looks would save a fetch, and would have to be mended after each killed process (git leaves lock files behind). What a look reads is
the same on every machine.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings as django_settings

from rollbackhub.connectors.git.program import GitProgram, Ran
from rollbackhub.connectors.git.settings import GitSettings
from rollbackhub.connectors.git.yaml_field import MAX_BYTES, FieldUnusable
from rollbackhub.connectors.mechanism import Problem, ProblemCode, ProblemFound

DEPTH = 100
"""So many of the branch's newest commits are fetched: the key of an earlier try and the last commit of a path are looked for among them."""
KEY_TRAILER = "RollbackHub-Key"
_LEFT_BEHIND_SECONDS = 3600.0
_TIP = "refs/hub/tip"
_NOT_OURS = re.compile(r"(?:not our ref|unadvertised object) ([0-9a-f]{40})")
_NO_BRANCH = re.compile(r"couldn't find remote ref")


@dataclass(frozen=True, slots=True)
class Entry:
    """What stands at a path in a commit: git's mode, kind and object."""

    mode: str
    kind: str
    oid: str


@dataclass(frozen=True, slots=True)
class LastCommit:
    """The commit that touched a path last."""

    commit: str
    author: str
    subject: str

    @property
    def in_words(self) -> str:
        """For people."""
        return f"{self.commit[:10]} by {self.author}: “{self.subject}”"


class Repository:
    """The fetched repository. `missing`: the versions' commits that the remote does not have."""

    def __init__(self, program: GitProgram, settings: GitSettings) -> None:
        self.git = program
        self._settings = settings
        self.missing: set[str] = set()
        self.tip = ""

    def fetch(self, commits: Sequence[str]) -> None:
        """Fetch the branch and these commits. Raises ProblemFound (`flag_moved`) without the branch, TransientError, PermissionMissing."""
        wanted = [commit for commit in dict.fromkeys(commits) if commit and commit not in self.missing]
        options = ["--quiet", "--no-tags", "--no-write-fetch-head", f"--depth={DEPTH}", "--filter=blob:none"]
        while True:
            ran = self.git.run("fetch", *options, "origin", f"+{self._settings.ref}:{_TIP}", *wanted)
            absent = _NOT_OURS.search(ran.sentence)
            if ran.status != 0 and absent and absent[1] in wanted:
                # One that is not there makes the whole fetch fail.
                self.missing.add(absent[1])
                wanted.remove(absent[1])
                continue
            break
        if ran.status != 0:
            raise no_branch(self._settings) if _NO_BRANCH.search(ran.sentence) else self.git.failure(ran, doing="git fetch")
        self.tip = self.git.out("rev-parse", "--verify", _TIP).decode().strip()
        for commit in wanted:
            if self.git.run("cat-file", "-e", f"{commit}^{{commit}}").status != 0:
                self.missing.add(commit)

    def entry(self, commit: str, path: str) -> Entry | None:
        """What stands at this path in a commit (or a tree). None: nothing."""
        found = self.git.out("ls-tree", "-z", "--full-tree", commit, "--", path).decode("utf-8", errors="surrogateescape").rstrip("\0")
        for line in found.split("\0") if found else []:
            head, _, name = line.partition("\t")
            if name == path:
                mode, kind, oid = head.split()
                return Entry(mode=mode, kind=kind, oid=oid)
        return None

    def read(self, entry: Entry) -> bytes:
        """The content of a file. Raises FieldUnusable when it is none, or too large."""
        if entry.kind != "blob" or entry.mode == "120000":
            raise FieldUnusable("it is no file")
        if int(self.git.out("cat-file", "-s", entry.oid)) > MAX_BYTES:
            raise FieldUnusable(f"the file is larger than {MAX_BYTES} bytes")
        return self.git.out("cat-file", "blob", entry.oid)

    def write(self, content: bytes) -> str:
        """Keep this content; gives its object."""
        return self.git.out("hash-object", "-w", "--stdin", stdin=content).decode().strip()

    def tree_with(self, path: str, entry: Entry) -> str:
        """The tip's tree with this entry at the path, whatever stood there: only the folders on the way are read."""
        folders = path.split("/")
        while folders:
            name = folders.pop()
            parent = "/".join(folders)
            above = self.entry(self.tip, parent) if parent else Entry("040000", "tree", f"{self.tip}^{{tree}}")
            lines = self.git.out("ls-tree", "-z", "--full-tree", above.oid).split(b"\0") if above is not None and above.kind == "tree" else []
            kept = [line for line in lines if line and line.partition(b"\t")[2] != name.encode()]
            added = f"{entry.mode} {entry.kind} {entry.oid}\t{name}".encode()
            oid = self.git.out("mktree", "-z", "--missing", stdin=b"".join(line + b"\0" for line in [*kept, added])).decode().strip()
            entry = Entry("040000", "tree", oid)
        return entry.oid

    def commit(self, tree: str, *, message: str) -> str:
        """A commit of this tree on top of the tip; gives its name."""
        return self.git.out("commit-tree", tree, "-p", self.tip, "-F", "-", stdin=message.encode("utf-8")).decode().strip()

    def push(self, commit: str, *, dry_run: bool = False) -> Ran:
        """Push a commit made on the tip. The branch must still be at the tip there, else the server refuses.

        The lease only adds that check (a branch deleted meanwhile is not made anew). It never rewrites: the commit's parent is the tip.
        """
        lease = f"--force-with-lease={self._settings.ref}:{self.tip}"
        return self.git.run("push", "--porcelain", *(["--dry-run"] if dry_run else []), lease, "origin", f"{commit}:{self._settings.ref}")

    def changed_files(self, tree: str) -> list[tuple[str, str, str]]:
        """Files that differ between the tip and this tree, with the lines added and taken away (`-` for files that are no text)."""
        found = self.git.out("diff-tree", "-r", "-z", "--no-renames", "--numstat", self.tip, tree).decode("utf-8", errors="replace")
        rows = [line.split("\t", 2) for line in found.split("\0") if line]
        return [(path, added, removed) for added, removed, path in rows]

    def last_commit(self, path: str) -> LastCommit | None:
        """The last of the fetched commits that touched a path. None: it was before them."""
        found = self.git.out("log", "-1", "--format=%H%x00%P%x00%an%x00%s", self.tip, "--", path).decode("utf-8", errors="replace").strip("\n")
        if not found:
            return None
        commit, _parents, author, subject = (_one_line(part) for part in found.split("\0"))
        # The oldest fetched commit seems to have made everything.
        boundary = (self.git.folder / "shallow").read_text().split() if (self.git.folder / "shallow").exists() else []
        return None if commit in boundary else LastCommit(commit=commit, author=author, subject=subject)

    def commit_of_key(self, key: str) -> str | None:
        """The commit among the fetched ones that carries this key."""
        log = self.git.out("log", f"--max-count={DEPTH}", f"--format=%H%x00%(trailers:key={KEY_TRAILER},valueonly,separator=%x00)", self.tip)
        for line in log.decode("utf-8", errors="replace").split("\n"):
            commit, *keys = line.split("\0")
            if key in keys:
                return commit
        return None


def no_branch(settings: GitSettings) -> ProblemFound:
    """The branch is gone."""
    remedy = "Set the connection's branch to the one that is deployed, or bring the branch back."
    return ProblemFound(Problem(ProblemCode.FLAG_MOVED, settings.remote, f"the branch {settings.branch}", "no such branch", remedy))


@contextmanager
def opened(settings: GitSettings, *, timeout_seconds: float) -> Iterator[GitProgram]:
    """git in an empty bare repository that knows the remote as `origin`. The folder is removed at the end.

    Raises OutboundRefused, TransientError, SecretMissing, Unavailable (no git here).
    """
    base = django_settings.CONFIG.var / "git"
    base.mkdir(parents=True, exist_ok=True, mode=0o700)
    _sweep(base)
    with tempfile.TemporaryDirectory(dir=base, prefix="look-", ignore_cleanup_errors=True) as name:
        program = GitProgram(settings, folder=Path(name), timeout_seconds=timeout_seconds)
        program.out("init", "--quiet", "--bare", "--template=", ".")
        program.out("config", "remote.origin.url", settings.remote)
        yield program


def tip_of(program: GitProgram, settings: GitSettings) -> str:
    """The branch's commit now. Raises ProblemFound (`flag_moved`) without the branch."""
    for line in program.out("ls-remote", "origin", settings.ref).decode().splitlines():
        commit, _, name = line.partition("\t")
        if name == settings.ref:
            return commit
    raise no_branch(settings)


def _sweep(base: Path) -> None:
    """Remove what killed processes have left behind."""
    for folder in base.glob("look-*"):
        try:
            old = time.time() - folder.stat().st_mtime > _LEFT_BEHIND_SECONDS
        except FileNotFoundError:
            continue  # Its owner has just removed it.
        if old:
            shutil.rmtree(folder, ignore_errors=True)


def _one_line(text: str) -> str:
    """A text that others wrote, for a message."""
    plain = "".join(letter if letter.isprintable() else " " for letter in text)
    return plain if len(plain) <= 120 else plain[:119] + "…"
