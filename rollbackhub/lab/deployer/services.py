"""What runs: by the last deployment, by what a branch holds, or by the last index that was built."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from rollbackhub.lab.deployer.settings import DeployerSettings, Service
from rollbackhub.lab.deployer.store import Store

logger = logging.getLogger(__name__)

GIT_SECONDS = 5.0
ASK_SECONDS = 5.0
AGENT = "agent.py"


class Unknown(Exception):
    """There is no such thing; the message says which."""


class Refused(Exception):
    """It cannot be done; the message says why."""


class UnknownVersion(Refused):
    """There is no such version; the message says which."""


class Services:
    """Everything that the deployer runs."""

    def __init__(self, settings: DeployerSettings, store: Store) -> None:
        self._settings = settings
        self._store = store
        self._stop = threading.Event()

    def start(self) -> None:
        """Take up what was under way, and follow branches."""
        for name, service in self._settings.services.items():
            known = self._store.read("services", name)
            if service.kind == "hook" and known is None and service.versions:
                self._store.write("services", name, {"version": service.versions[0], "state": "succeeded"})
            elif service.kind == "hook" and known is not None and known["state"] == "running":
                self._store.write("services", name, {**known, "state": "failed", "message": "The deployer was restarted meanwhile."})
        threading.Thread(target=self._follow_branches, name="branches", daemon=True).start()

    def stop(self) -> None:
        """Stop following."""
        self._stop.set()

    def named(self, name: str) -> Service:
        """A service by its name. Raises Unknown."""
        if name not in self._settings.services:
            raise Unknown(f"There is no service {name}.")
        return self._settings.services[name]

    def status(self, name: str) -> dict[str, Any]:
        """Which version runs. Raises Unknown."""
        service = self.named(name)
        found = self._store.read("indexes" if service.kind == "index" else "services", name)
        if found is None:
            return {"service": name, "version": "", "state": "running", "message": "Nothing runs yet."}
        return {"service": name, **{key: value for key, value in found.items() if key not in ("terms", "documents")}}

    def require_deployable(self, name: str, version: Mapping[str, Any]) -> str:
        """The label, when this service takes deployments and has that version. Raises Unknown, Refused, UnknownVersion."""
        service = self.named(name)
        if service.kind != "hook":
            raise Refused(f"{name} is not deployed by requests.")
        label = str(version.get("label", ""))
        if label not in service.versions:
            raise UnknownVersion(f"There is no version {label} of {name}.")
        return label

    def deploy(self, name: str, version: Mapping[str, Any], *, key: str) -> None:
        """Begin a deployment; it takes its time, and gives way to a later one. The same key begins one. Raises Unknown, Refused, UnknownVersion."""
        label = self.require_deployable(name, version)
        with self._store.lock:
            known = self._store.read("services", name) or {}
            if known.get("deployment") == key:
                return
            begun = {"version": label, "deployment": key, "deployments": int(known.get("deployments", 0)) + 1}
            self._store.write("services", name, {**begun, "state": "running", "progress": 0})
        threading.Thread(target=self._come_up, args=(name, begun), name=f"deploy-{name}", daemon=True).start()

    def _come_up(self, name: str, begun: Mapping[str, Any]) -> None:
        steps = 10
        for step in range(1, steps + 1):
            time.sleep(self._settings.deploy_seconds / steps)
            with self._store.lock:
                if (self._store.read("services", name) or {}).get("deployment") != begun["deployment"]:
                    # A later deployment has taken over.
                    return
                done = step == steps
                self._store.write("services", name, {**begun, "state": "succeeded" if done else "running", "progress": 100 * step / steps})

    def ask(self, name: str, question: str) -> str:
        """Run the deployed agent code on a question. Raises Unknown, Refused."""
        found = self._store.read("services", name) if self.named(name).kind == "git" else None
        if found is None or not (Path(found["folder"]) / AGENT).exists():
            raise Refused(f"{name} runs no agent.")
        command = [sys.executable, "-I", str(Path(found["folder"]) / AGENT), question]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=ASK_SECONDS, check=False)
        if ran.returncode:
            raise Refused(f"The agent failed: {ran.stderr[-500:]}")
        return ran.stdout.strip()

    def checkout(self, name: str) -> tuple[str, Path]:
        """The version that the branch holds now and a folder with its files. Raises Unknown, Refused."""
        service = self.named(name)
        commit = _git(service.repository, "rev-parse", f"refs/heads/{service.branch}")
        folder = self._store.folder / "checkouts" / f"{name}-{commit[:12]}"
        if not folder.exists():
            fresh = folder.with_name(f"{folder.name}.{threading.get_ident()}")
            fresh.mkdir(parents=True, exist_ok=True)
            command = ["git", "-C", service.repository, "archive", commit, *([service.path] if service.path else [])]
            archive = subprocess.run(command, capture_output=True, timeout=GIT_SECONDS, check=True).stdout
            subprocess.run(["tar", "-x", "-C", str(fresh)], input=archive, timeout=GIT_SECONDS, check=True)
            try:
                fresh.rename(folder)
            except OSError:
                # Another thread was faster; its checkout is the same.
                logger.debug("%s was checked out twice", folder)
        place = folder / service.path
        try:
            return _version_in(place / service.file), place
        except OSError as error:
            raise Refused(f"{Path(service.path) / service.file} of {name} cannot be read: {error.strerror}.") from error

    def _follow_branches(self) -> None:
        followed = [name for name, service in self._settings.services.items() if service.kind == "git"]
        seen: dict[str, str] = {}
        said: dict[str, str] = {}
        while True:
            for name in followed:
                try:
                    tip = _git(self._settings.services[name].repository, "rev-parse", f"refs/heads/{self._settings.services[name].branch}")
                    if seen.get(name) == tip:
                        continue
                    version, folder = self.checkout(name)
                    self._store.write("services", name, {"version": version, "state": "succeeded", "commit": tip, "folder": str(folder)})
                    seen[name] = tip
                except (Refused, OSError, subprocess.SubprocessError) as error:
                    if said.get(name) != str(error):
                        logger.warning("%s could not be deployed: %s", name, error)
                    said[name] = str(error)
            if self._stop.wait(self._settings.poll_seconds):
                return


def _version_in(file: Path) -> str:
    """What names the version: the file's text, or the `version` of a YAML file. Raises OSError, Refused."""
    text = file.read_text()
    if file.suffix not in (".yaml", ".yml"):
        return text.strip()
    try:
        content = YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        raise Refused(f"{file.name} is no YAML.") from error
    if not isinstance(content, Mapping) or not content.get("version"):
        raise Refused(f"{file.name} has no version.")
    return str(content["version"])


def _git(repository: str, *arguments: str) -> str:
    return subprocess.run(["git", "-C", repository, *arguments], capture_output=True, text=True, timeout=GIT_SECONDS, check=True).stdout.strip()
