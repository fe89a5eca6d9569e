"""Delta Lake: a data set's version is back when the newest table version holds the same rows and schema again. History is kept: a restore is a commit."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rollbackhub.common.errors import RollbackHubError, TransientError
from rollbackhub.common.http_network import OutboundRefused
from rollbackhub.connectors.base import PermissionMissing, Promise
from rollbackhub.connectors.delta.session import Late, Session, opened
from rollbackhub.connectors.delta.settings import DeltaSettings, DeltaTarget, number_of
from rollbackhub.connectors.mechanism import Applied, Change, Mechanism, Observation, Problem, ProblemCode, ProblemFound, Share, VersionRef, serving
from rollbackhub.connectors.secret_refs import SecretMissing

KEY, REASON = "rollbackhub.key", "rollbackhub.reason"
MOST_NAMED = 5
DELETION_VECTORS = "deletionVectors"


class DeltaConnector(Mechanism[DeltaSettings, DeltaTarget]):
    """Tables under one root. Readers of a table see a restore at their next look at its newest version."""

    name = "delta"
    settings_type = DeltaSettings
    target_type = DeltaTarget
    promise = Promise.IDEMPOTENT

    def preflight(self, *, target: DeltaTarget, before: Sequence[Share], wanted: Sequence[Share]) -> list[Problem]:
        """See Mechanism. That every file of the wanted version is still there is looked at one by one; that we may write is known of local folders only."""
        return self._problems(target, lambda: self._look_before(target, serving(before), serving(wanted)))

    def _look_before(self, target: DeltaTarget, before: VersionRef, wanted: VersionRef) -> list[Problem]:
        with self._opened(target) as session:
            look = self._look(session, target, before, wanted, files_of=wanted)
        found = [self._moved(target, before, look), self._retired(target, wanted, look)]
        if look["refused"]:
            remedy = "Let RollbackHub's user write there."
            found.append(Problem(ProblemCode.PERMISSION_MISSING, self._place(target), "that we may commit", look["refused"], remedy))
        return [problem for problem in found if problem is not None]

    def plan(self, *, target: DeltaTarget, wanted: Sequence[Share]) -> list[Change]:
        """See Mechanism: the restore, and each commit whose rows it takes away."""
        version = serving(wanted)
        with self._opened(target) as session:
            look = self._look(session, target, version, files_of=version)
        if retired := self._retired(target, version, look):
            raise ProblemFound(retired)
        since = self._of(look, target, version)
        if since["count"] == 0:
            return []
        number = number_of(target, version)
        restored = Change(f"table {target.table}", f"version {look['tip']}", f"version {look['tip'] + 1} with the content of {number} ({version.label})")
        undone = [Change(f"commit {one['version']} of {target.table}", _in_words(one), "undone; its version stays in the history") for one in since["changed"]]
        hidden = since["count"] - len(undone)
        more = [Change(f"{hidden} more commits of {target.table}", "their changes are in the table", "undone")] if hidden else []
        return [restored, *undone, *more]

    def apply(self, *, target: DeltaTarget, before: Sequence[Share], wanted: Sequence[Share], key: str, reason: str) -> Applied:
        """See Mechanism. A commit by somebody else meanwhile: looked at and done anew, `tries` times, before a TransientError."""
        old, new = serving(before), serving(wanted)
        with self._opened(target) as session:
            for attempt in range(self.settings.tries):
                if attempt:
                    time.sleep(random.uniform(0.01, 0.05) * attempt)
                look = self._look(session, target, old, new, files_of=new, key=key)
                if self._of(look, target, new, whole=False)["count"] == 0:
                    return Applied(changed=False, revision=str(look["tip"]), note=f"{target.table} held {new.label} already, in version {look['tip']}.")
                self._must_be_right(target, old, new, look)
                metadata = {KEY: key, REASON: reason[:2000]}
                try:
                    done = session.ask("restore", tip=look["tip"], version=number_of(target, new), metadata=metadata)
                except Late:
                    continue
                return Applied(changed=True, revision=str(done["version"]), note=f"Version {done['version']} of {target.table} restores {new.label}.")
        raise TransientError(f"{self._place(target)} got new commits at each of {self.settings.tries} tries. Nothing was changed; try again.", code="moved")

    def _must_be_right(self, target: DeltaTarget, old: VersionRef, new: VersionRef, look: Mapping[str, Any]) -> None:
        """Raises ProblemFound when the restore may not be made on what this look has found."""
        if look["key_version"] is not None:
            changed = [one for one in self._of(look, target, new)["changed"] if one["version"] > look["key_version"]]
            found = "changed afterwards: " + _list(changed, len(changed))
            remedy = "Look at those commits. Nothing was changed now."
            expected = f"what version {look['key_version']} of this very action made it"
            raise ProblemFound(Problem(ProblemCode.CONFIG_MISMATCH, self._place(target), expected, found, remedy))
        for problem in (self._retired(target, new, look), self._moved(target, old, look)):
            if problem is not None:
                raise ProblemFound(problem)
        if look["refused"]:
            raise PermissionMissing(f"{self._place(target)} refuses a commit: {look['refused']}. Let RollbackHub's user write there.")

    def observe(self, *, target: DeltaTarget, wanted: Sequence[Share]) -> Observation:
        """See Mechanism. Reached: the same rows and schema; files that were only rewritten (OPTIMIZE) make no difference."""
        version = serving(wanted)
        with self._opened(target) as session:
            look = self._look(session, target, version)
        since = self._of(look, target, version)
        number = number_of(target, version)
        expected = f"{target.table} with the content of version {number} ({version.label})"
        values = {"table": target.table, "version": look["tip"], "wanted": number, "commits_since": since["count"]}
        if since["count"] == 0:
            return Observation(True, expected, f"{expected}, in version {look['tip']}", values)
        return Observation(False, expected, f"version {look['tip']}, with {_changes(since)}", values)

    def served_names(self, *, target: DeltaTarget, version: VersionRef) -> list[str]:
        """Its label and digest, its address and its table version."""
        names = [version.label, version.digest, version.uri, version.uri.rpartition("@")[2]]
        return list(dict.fromkeys(name for name in names if name))

    def _opened(self, target: DeltaTarget) -> Any:
        return opened(self.settings, table=target.table, timeout_seconds=self.timeout_seconds)

    def _look(
        self, session: Session, target: DeltaTarget, *versions: VersionRef, files_of: VersionRef | None = None, key: str | None = None
    ) -> Mapping[str, Any]:
        numbers = [number_of(target, version) for version in versions]
        files = None if files_of is None else number_of(target, files_of)
        return session.ask("look", root=self.settings.root, versions=numbers, key=key, files_of=files)

    def _of(self, look: Mapping[str, Any], target: DeltaTarget, version: VersionRef, *, whole: bool = True) -> Mapping[str, Any]:
        """What changed since the table had this version. Raises ProblemFound when that cannot be known (`whole`: or when the version is gone)."""
        since: Mapping[str, Any] = look["versions"][str(number_of(target, version))]
        if "gone" in since:
            if whole:
                raise ProblemFound(self._gone(target, version, since["gone"]))
            return {"count": -1, "changed": []}
        if DELETION_VECTORS in since["features"] or DELETION_VECTORS in look["features"]:
            remedy = "Purge them (REORG TABLE … APPLY (PURGE)) and drop the feature, or restore with the engine that wrote them, through the deploy hook."
            found = "a table that marks deleted rows beside its files, which the Delta library here cannot compare or restore"
            raise ProblemFound(Problem(ProblemCode.CONFIG_MISMATCH, self._place(target), "a table without deletion vectors", found, remedy))
        return since

    def _moved(self, target: DeltaTarget, before: VersionRef, look: Mapping[str, Any]) -> Problem | None:
        """Somebody changed the table since `before`. None: it stands, or the target says that such commits are to be undone."""
        since = self._of(look, target, before, whole=False)
        if since["count"] == 0 or target.appends == "discard":
            return None
        found = _changes(since) if since["count"] > 0 else look["versions"][str(number_of(target, before))]["gone"]
        remedy = 'Register what they made as a version, or have the target discard them (appends: "discard"). Nothing was changed.'
        return Problem(ProblemCode.CONFIG_MISMATCH, self._place(target), f"what {before.label} is", found, remedy)

    def _retired(self, target: DeltaTarget, wanted: VersionRef, look: Mapping[str, Any]) -> Problem | None:
        since = self._of(look, target, wanted, whole=False)
        if since["count"] < 0:
            return self._gone(target, wanted, look["versions"][str(number_of(target, wanted))]["gone"])
        if dropped := sorted(set(since["features"]) - set(look["features"])):
            # The library panics at a restore across that (measured).
            found = f"{', '.join(dropped)}, which the table has not now"
            remedy = "Restore with the engine that dropped them, through the deploy hook."
            return Problem(ProblemCode.TARGET_RETIRED, f"version {wanted.label} of {self._place(target)}", "features that the table has now", found, remedy)
        files = look.get("files", {"missing": 0})
        if files["missing"]:
            return self._gone(target, wanted, f"{files['missing']} of its {files['all']} files are not there any more (VACUUM removes them)")
        return None

    def _gone(self, target: DeltaTarget, version: VersionRef, why: str) -> Problem:
        number = number_of(target, version)
        remedy = "Roll back to another version; keep what can be rolled back to out of VACUUM and of the log's clean-up (delta.logRetentionDuration)."
        return Problem(ProblemCode.TARGET_RETIRED, f"version {version.label}", f"version {number} of {self._place(target)}", why, remedy)

    def _place(self, target: DeltaTarget) -> str:
        return f"{self.settings.root}/{target.table}"

    def _problems(self, target: DeltaTarget, look: Callable[[], list[Problem]]) -> list[Problem]:
        """What a look finds, with what it raises as problems. SecretMissing passes."""
        try:
            return look()
        except ProblemFound as error:
            return [error.problem]
        except SecretMissing:
            raise
        except (PermissionMissing, OutboundRefused) as error:
            remedy = "Let RollbackHub read and write the table."
            return [Problem(ProblemCode.PERMISSION_MISSING, self._place(target), "that we may read and commit", error.message, remedy)]
        except RollbackHubError as error:
            return [Problem(ProblemCode.UNREACHABLE, self._place(target), "an answer in time", error.message, "Check that the storage can be reached.")]


def _in_words(commit: Mapping[str, Any]) -> str:
    at = commit["at"]
    when = f" at {datetime.fromtimestamp(at / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC" if isinstance(at, int | float) else ""
    return f"{commit['operation']}{when}"


def _list(commits: Sequence[Mapping[str, Any]], count: int) -> str:
    """The newest of these commits, for a sentence."""
    newest = [f"version {one['version']} ({_in_words(one)})" for one in reversed(commits[-MOST_NAMED:])]
    return ", ".join([*newest, *([f"and {count - len(newest)} before"] if count > len(newest) else [])])


def _changes(since: Mapping[str, Any]) -> str:
    if not since["by_log"]:
        return f"other files; {since['why']}"
    return f"{since['count']} commits since that changed it: {_list(since['changed'], since['count'])}"
