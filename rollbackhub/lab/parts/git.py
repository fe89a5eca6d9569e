"""Agent code and eval sets in a bare Git repository, deployed by the lab's deployer: GitOps in small."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

from rollbackhub.lab.catalogue import BAD, GOOD, LabVersion
from rollbackhub.lab.deployer.settings import Service
from rollbackhub.lab.parts.base import LabConnection, LabPart, MovedAlias

AGENT, EVALS = "support-agent", "support-evals"
GIT_SECONDS = 10

_AGENT = '''"""The lab's support agent, {version}."""
import sys

question = sys.argv[1] if len(sys.argv) > 1 else ""
print({answer})
'''
_ANSWERS = {f"{AGENT}-v7": '"Refunds take five days." if "refund" in question.lower() else "I ask a colleague."', f"{AGENT}-v8": '"As an agent, I cannot say."'}

_CASES = [
    ("How do I get a refund?", "refund"),
    ("I want my money back", "refund"),
    ("Where is my invoice?", "other"),
    ("Cancel my plan", "other"),
    ("Refund for a double charge?", "refund"),
]
# Version 4 has its labels mixed up: baselines taken with it judge by the wrong answers.
_LABELS = {f"{EVALS}-v3": {}, f"{EVALS}-v4": {1: "other", 2: "refund"}}

_CHANGES = {
    f"{AGENT}-v7": "Known good: answers refunds by itself.",
    f"{AGENT}-v8": "New planner. Evades questions about refunds.",
    f"{EVALS}-v3": "Known good: five cases with checked labels.",
    f"{EVALS}-v4": "More cases were meant; two labels are swapped.",
}


class GitPart(LabPart):
    """`support-agent` (agent code) and `support-evals` (eval set), one branch an environment."""

    name = "git"

    def missing(self) -> str:
        """The git program."""
        return "" if shutil.which("git") else "git is not installed"

    @property
    def repository(self) -> Path:
        """The bare repository."""
        return self.folder / "agents.git"

    def prepare(self) -> None:
        """Make the repository with its four commits, always the same ones, so that versions that are registered stay where they are."""
        if self.repository.exists():
            return
        fresh = self.folder / "agents.git.new"
        shutil.rmtree(fresh, ignore_errors=True)
        work = self.folder / "agents.work"
        shutil.rmtree(work, ignore_errors=True)
        _git(self.folder, "init", "-q", "--bare", "-b", "staging", str(fresh))
        _git(self.folder, "init", "-q", "-b", "staging", str(work))
        for number, label in enumerate((f"{AGENT}-v7", f"{EVALS}-v3", f"{AGENT}-v8", f"{EVALS}-v4")):
            _write(work, label)
            _git(work, "add", "-A")
            _git(work, "commit", "-q", "-m", f"{label}: {_CHANGES[label]}", day=number + 1)
            _git(work, "tag", label)
        for environment in self.environments:
            _git(work, "push", "-q", str(fresh), f"HEAD:refs/heads/{environment}")
        _git(work, "push", "-q", "--tags", str(fresh))
        shutil.rmtree(work)
        fresh.rename(self.repository)

    def services(self) -> dict[str, Service]:
        """Both, in each environment, as its branch holds them."""
        return {
            f"{alias}-{environment}": Service(kind="git", repository=str(self.repository), branch=environment, path=path)
            for environment in self.environments
            for alias, path in ((AGENT, "agent"), (EVALS, "evals"))
        }

    def aliases(self) -> list[MovedAlias]:
        """The newer version of each serves, the older one is what to go back to."""
        return [
            self._alias(AGENT, "Support agent (lab)", "agent_code", "agent", old=f"{AGENT}-v7", new=f"{AGENT}-v8"),
            self._alias(EVALS, "Support eval set (lab)", "eval_set", "evals", old=f"{EVALS}-v3", new=f"{EVALS}-v4"),
        ]

    def _alias(self, alias: str, name: str, change_type: str, path: str, *, old: str, new: str) -> MovedAlias:
        commits = {label: _git(self.repository, "rev-parse", f"refs/tags/{label}") for label in (old, new)}
        versions = tuple(
            LabVersion(label=label, quality=quality, changelog=_CHANGES[label], uri=f"git:{commits[label]}", lifecycle=lifecycle)
            for label, quality, lifecycle in ((old, GOOD, "superseded"), (new, BAD, "live"))
        )
        targets = {
            environment: {"path": path, "consumers": [{"url": self.status_url(alias, environment), "field": "version"}]} for environment in self.environments
        }
        candidates = ((f"git:{new}:lab", new, 100), (f"git:{old}:lab", old, 0))
        return MovedAlias(alias, name, change_type, "git", versions, candidates, targets)

    def connections(self, environment: str) -> list[LabConnection]:
        """The environment's branch."""
        return [LabConnection("git", {"remote": f"file://{self.repository}", "branch": environment})]


def _write(work: Path, label: str) -> None:
    folder = work / ("agent" if label.startswith(AGENT) else "evals")
    folder.mkdir(exist_ok=True)
    (folder / "VERSION").write_text(f"{label}\n")
    if label in _ANSWERS:
        (folder / "agent.py").write_text(_AGENT.format(version=label, answer=_ANSWERS[label]))
        return
    swapped = _LABELS[label]
    cases = [{"question": question, "expected": swapped.get(index, expected)} for index, (question, expected) in enumerate(_CASES)]
    (folder / "cases.jsonl").write_text("".join(json.dumps(case) + "\n" for case in cases))


def _git(folder: Path, *arguments: str, day: int = 1) -> str:
    """Run git as the lab, at a fixed time: the same commits on every machine."""
    folder.mkdir(parents=True, exist_ok=True)
    when = f"2026-01-{day:02d}T12:00:00Z"
    who = {f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER") for what, value in (("NAME", "Lab"), ("EMAIL", "lab@localhost"), ("DATE", when))}
    environment = {"PATH": os.environ.get("PATH", os.defpath), "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, **who}
    return subprocess.run(["git", *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=GIT_SECONDS, check=True).stdout.strip()
