"""GitOps: a version is back when the branch's newest commit holds its content again. Always by a new commit; nothing is ever rewritten."""

from __future__ import annotations

import os
import random
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rollbackhub.common.errors import RollbackHubError, TransientError
from rollbackhub.common.http_network import OutboundRefused
from rollbackhub.connectors.base import PermissionMissing, Promise
from rollbackhub.connectors.git.program import Ran
from rollbackhub.connectors.git.repository import KEY_TRAILER, Entry, Repository, opened, tip_of
from rollbackhub.connectors.git.settings import GitSettings, GitTarget, commit_of, value_of
from rollbackhub.connectors.git.yaml_field import FieldUnusable, read_field, set_field
from rollbackhub.connectors.mechanism import Applied, Change, Mechanism, Observation, Problem, ProblemCode, ProblemFound, Share, VersionRef, serving
from rollbackhub.connectors.secret_refs import SecretMissing

MOST_FILES_NAMED = 50
_MOST_REMEMBERED = 256
_LATE = re.compile(r"\[rejected\]|cannot lock ref|failed to update ref|incorrect old value|failed to lock|remote ref updated since checkout", re.IGNORECASE)
_REASON = re.compile(r"\[(?:remote )?rejected\] \((?P<why>[^)]*)\)")


@dataclass(frozen=True, slots=True)
class _Standing:
    """What stands at the tip and what a version means there, in comparable words: the path's object, or the field's text."""

    now: str
    versions: tuple[str, ...]


class GitConnector(Mechanism[GitSettings, GitTarget]):
    """One branch of one repository; something else deploys what it holds."""

    name = "git"
    settings_type = GitSettings
    target_type = GitTarget
    promise = Promise.IDEMPOTENT
    shows_served = False

    def preflight(self, *, target: GitTarget, before: Sequence[Share], wanted: Sequence[Share]) -> list[Problem]:
        """See Mechanism. The would-be commit is made here and offered to the server by a dry run; the server's hooks do not see that."""
        return self._problems(lambda: self._look_before(target, serving(before), serving(wanted)))

    def _look_before(self, target: GitTarget, before: VersionRef, wanted: VersionRef) -> list[Problem]:
        with opened(self.settings, timeout_seconds=self.timeout_seconds) as program:
            repository = Repository(program, self.settings)
            repository.fetch(self._commits(target, before, wanted))
            problems: list[Problem] = []
            problems += self._problems(lambda: self._must_stand(repository, target, before))
            problems += self._problems(lambda: self._must_push(repository, target, wanted))
        return problems

    def _must_stand(self, repository: Repository, target: GitTarget, before: VersionRef) -> list[Problem]:
        standing = self._standing(repository, target, before)
        return [] if standing.now == standing.versions[0] else [self._changed_behind(repository, target, before)]

    def _must_push(self, repository: Repository, target: GitTarget, wanted: VersionRef) -> list[Problem]:
        commit = repository.commit(self._wanted_tree(repository, target, wanted), message="RollbackHub: a dry run\n")
        ran = repository.push(commit, dry_run=True)
        if ran.status != 0 and not self._is_late(ran):
            raise self._refusal(repository, ran)
        folder = self.settings.parts.path if self.settings.parts.scheme == "file" else ""
        if folder and not all(os.access(f"{folder}/{name}", os.W_OK | os.X_OK) for name in ("objects", "refs")):
            # A dry run does not write, so it would not tell.
            raise PermissionMissing(f"The folder {folder} may not be written.")
        return []

    def plan(self, *, target: GitTarget, wanted: Sequence[Share]) -> list[Change]:
        """See Mechanism: one line for the field, or one for each file that would change."""
        version = serving(wanted)
        with opened(self.settings, timeout_seconds=self.timeout_seconds) as program:
            repository = Repository(program, self.settings)
            repository.fetch(self._commits(target, version))
            standing = self._standing(repository, target, version)
            if standing.now == standing.versions[0]:
                return []
            if target.path is None:
                return [Change(subject=target.subject, before=standing.now, after=standing.versions[0])]
            files = repository.changed_files(self._wanted_tree(repository, target, version))
        commit = commit_of(self.settings, version)
        rows = [
            Change(subject=path, before=f"as at {repository.tip[:10]}", after=f"as at {commit[:10]} ({version.label}): {_lines(added, removed)}")
            for path, added, removed in files[:MOST_FILES_NAMED]
        ]
        if len(files) > MOST_FILES_NAMED:
            rows.append(Change(subject=f"{len(files) - MOST_FILES_NAMED} more files", before=f"as at {repository.tip[:10]}", after=f"as at {commit[:10]}"))
        return rows

    def apply(self, *, target: GitTarget, before: Sequence[Share], wanted: Sequence[Share], key: str, reason: str) -> Applied:
        """See Mechanism. Others may push meanwhile: then it is done anew on what they pushed, `tries` times, before a TransientError."""
        old, new = serving(before), serving(wanted)
        with opened(self.settings, timeout_seconds=self.timeout_seconds) as program:
            repository = Repository(program, self.settings)
            for attempt in range(self.settings.tries):
                if attempt:
                    time.sleep(random.uniform(0.02, 0.1) * attempt)
                repository.fetch(self._commits(target, old, new))
                done = self._push_once(repository, target, old, new, key=_one_line(key), reason=reason)
                if done is not None:
                    return done
        remedy = "Nothing was changed; try again when fewer push there."
        raise TransientError(f"{self._place()} moved under each of {self.settings.tries} tries to push. {remedy}", code="moved")

    def _push_once(self, repository: Repository, target: GitTarget, old: VersionRef, new: VersionRef, *, key: str, reason: str) -> Applied | None:
        """One try on the fetched tip. None: somebody else was faster."""
        standing = self._standing(repository, target, new)
        if standing.now == standing.versions[0]:
            return Applied(changed=False, revision=repository.tip, note=f"{target.subject} was as wanted already at {repository.tip[:10]}.")
        earlier = repository.commit_of_key(key)
        if earlier:
            expected = f"what commit {earlier[:10]} of this very action made it"
            raise ProblemFound(self._changed_behind(repository, target, new, expected=expected))
        if standing.now != self._standing(repository, target, old).versions[0]:
            raise ProblemFound(self._changed_behind(repository, target, old))
        message = self._message(target, new, key=key, reason=reason)
        commit = repository.commit(self._wanted_tree(repository, target, new), message=message)
        ran = repository.push(commit)
        if ran.status == 0:
            return Applied(changed=True, revision=commit, note=f"Commit {commit[:10]} on {self.settings.branch} restores {target.subject} to {new.label}.")
        if self._is_late(ran) or tip_of(repository.git, self.settings) != repository.tip:
            return None
        raise self._refusal(repository, ran)

    def observe(self, *, target: GitTarget, wanted: Sequence[Share]) -> Observation:
        """See Mechanism: what the branch holds. Whether it is deployed, consumers say. While the branch does not move, one question to the remote is enough."""
        version = serving(wanted)
        with opened(self.settings, timeout_seconds=self.timeout_seconds) as program:
            tip = tip_of(program, self.settings)
            looked = (self.settings.model_dump_json(), tip, target.model_dump_json(), version)
            known = _remembered(looked)
            if known is not None:
                return known
            repository = Repository(program, self.settings)
            repository.fetch(self._commits(target, version))
            found = self._compare(repository, target, version)
        if repository.tip == tip:
            _remember(looked, found)
        return found

    def _compare(self, repository: Repository, target: GitTarget, version: VersionRef) -> Observation:
        standing = self._standing(repository, target, version)
        reached = standing.now == standing.versions[0]
        last = repository.last_commit(target.place)
        by = f"last changed by {last.in_words}" if last else "not changed lately"
        values = {"branch": self.settings.branch, "commit": repository.tip, "found": standing.now, "wanted": standing.versions[0]}
        expected = f"{target.subject} at {version.label}" + ("" if target.path else f" ({standing.versions[0]})")
        if reached:
            return Observation(True, expected, f"{expected}, in commit {repository.tip[:10]}", values)
        found = f"{target.subject} " + ("with other content" if target.path else f"at {standing.now}") + f", {by}"
        return Observation(False, expected, found, values)

    def served_names(self, *, target: GitTarget, version: VersionRef) -> list[str]:
        """Its label and digest, its commit in full and short, and what the pinning field holds for it."""
        names = [name for name in (version.label, version.digest) if name]
        try:
            commit = commit_of(self.settings, version)
        except ProblemFound:
            commit = ""  # A version that is only pinned by its label needs no commit.
        return list(dict.fromkeys([*names, *([commit, commit[:7]] if commit else [])]))

    def _commits(self, target: GitTarget, *versions: VersionRef) -> list[str]:
        return [commit_of(self.settings, version) for version in versions] if target.path else []

    def _standing(self, repository: Repository, target: GitTarget, *versions: VersionRef) -> _Standing:
        """What stands at the tip, and what these versions would have there. Raises ProblemFound when either cannot be known."""
        now = repository.entry(repository.tip, target.place)
        if target.path:
            entries = [self._entry_of(repository, target, version) for version in versions]
            return _Standing(now=_named(now), versions=tuple(_named(entry) for entry in entries))
        values = tuple(value_of(self.settings, target, version) for version in versions)
        try:
            if now is None:
                raise FieldUnusable("there is no such file")
            return _Standing(now=read_field(repository.read(now), field=target.field or ""), versions=values)
        except FieldUnusable as error:
            raise ProblemFound(self._field_problem(target, error)) from error

    def _entry_of(self, repository: Repository, target: GitTarget, version: VersionRef) -> Entry:
        commit = commit_of(self.settings, version)
        entry = None if commit in repository.missing else repository.entry(commit, target.place)
        if entry is None:
            found = f"no such commit in {self.settings.remote}" if commit in repository.missing else f"nothing at {target.place} in it"
            remedy = "Restore the commit or correct the version's address; until then roll back to another version."
            raise ProblemFound(Problem(ProblemCode.TARGET_RETIRED, f"version {version.label}", f"{target.place} in commit {commit[:10]}", found, remedy))
        return entry

    def _wanted_tree(self, repository: Repository, target: GitTarget, version: VersionRef) -> str:
        if target.path:
            return repository.tree_with(target.path, self._entry_of(repository, target, version))
        now = repository.entry(repository.tip, target.place)
        try:
            if now is None:
                raise FieldUnusable("there is no such file")
            content = set_field(repository.read(now), field=target.field or "", value=value_of(self.settings, target, version))
        except FieldUnusable as error:
            raise ProblemFound(self._field_problem(target, error)) from error
        return repository.tree_with(target.place, Entry(now.mode, now.kind, repository.write(content)))

    def _field_problem(self, target: GitTarget, error: FieldUnusable) -> Problem:
        remedy = "Correct the target's file and field, or bring the field back."
        return Problem(ProblemCode.FLAG_MOVED, f"{target.file} on {self._place()}", f"a value at {target.field}", str(error), remedy)

    def _changed_behind(self, repository: Repository, target: GitTarget, version: VersionRef, *, expected: str = "") -> Problem:
        last = repository.last_commit(target.place)
        found = f"other content, last changed by {last.in_words}" if last else "other content; none of the newest commits has touched it"
        remedy = "Look at that commit: register what it deployed as a version and route to it, or undo it there. Nothing was changed."
        return Problem(ProblemCode.CONFIG_MISMATCH, f"{target.subject} on {self._place()}", expected or f"what {version.label} is", found, remedy)

    def _message(self, target: GitTarget, version: VersionRef, *, key: str, reason: str) -> str:
        lines = ["".join(letter if letter.isprintable() else " " for letter in line).strip() for line in reason.splitlines()]
        text = "\n".join(lines).strip()[:2000] or f"Restore {target.subject} to {version.label}"
        restores = [f"RollbackHub-Restores: {commit_of(self.settings, version)}"] if target.path else []
        return "\n".join([text, "", f"{KEY_TRAILER}: {key}", f"RollbackHub-Version: {_one_line(version.label)}", *restores]) + "\n"

    @staticmethod
    def _is_late(ran: Ran) -> bool:
        return _LATE.search(ran.text) is not None or _LATE.search(ran.sentence) is not None

    def _refusal(self, repository: Repository, ran: Ran) -> RollbackHubError:
        """What a refused push means. The server's reason stands in git's report of the branch, its sentence in what it printed."""
        why = _REASON.search(ran.text)
        if why is not None and why["why"] != "unpacker error":  # That may be a full disk as well: its sentence tells.
            return PermissionMissing(f"{self._place()} refuses the push ({why['why']}): {ran.sentence}. Allow RollbackHub's user to push there.")
        return repository.git.failure(ran, doing="git push")

    def _place(self) -> str:
        return f"{self.settings.branch} of {self.settings.remote}"

    def _problems(self, look: Callable[[], list[Problem]]) -> list[Problem]:
        """What a look finds, with what it raises as problems. SecretMissing passes."""
        try:
            return look()
        except ProblemFound as error:
            return [error.problem]
        except SecretMissing:
            raise
        except (PermissionMissing, OutboundRefused) as error:
            remedy = "Give the token or key of this connection the right to push to the branch."
            return [Problem(ProblemCode.PERMISSION_MISSING, self._place(), "that we may read and push", error.message, remedy)]
        except RollbackHubError as error:
            return [Problem(ProblemCode.UNREACHABLE, self._place(), "an answer in time", error.message, "Check that the repository's server runs.")]


_looks: OrderedDict[tuple[object, ...], Observation] = OrderedDict()


def _remembered(looked: tuple[object, ...]) -> Observation | None:
    """What a look at this very commit found: a commit never changes, so it may be forgotten at any time but never be wrong."""
    return _looks.get(looked)


def _remember(looked: tuple[object, ...], found: Observation) -> None:
    _looks[looked] = found
    while len(_looks) > _MOST_REMEMBERED:
        _looks.popitem(last=False)


def _named(entry: Entry | None) -> str:
    return "nothing" if entry is None else f"{entry.mode} {entry.oid}"


def _lines(added: str, removed: str) -> str:
    return "other bytes" if added == "-" else f"+{added} −{removed} lines"


def _one_line(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text).strip()[:300]
