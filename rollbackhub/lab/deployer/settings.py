"""What the deployer is told at its start."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator


class Service(BaseModel):
    """Something that it runs. `hook`: deployed by request; `git`: what a branch of a repository holds; `index`: built from a Delta table by a job."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["hook", "git", "index"]
    repository: str = ""
    """`git`: the bare repository's folder."""
    branch: str = "main"
    path: str = ""
    """`git`: the folder in it; empty: all of it."""
    file: str = "VERSION"
    """`git`: the file there that names the version: as its only line, or in a YAML file as `version`."""
    table: str = ""
    """`index`: the Delta table's folder."""
    versions: list[str] = []
    """`hook`: the versions that can be deployed, the first at the start."""
    evals: str = ""
    """`hook`: the folder with the cases of each version of an eval set, as LABEL.jsonl."""


class DeployerSettings(BaseModel):
    """The whole process. The secret that requests are signed with is in a file or in an environment variable."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    port: int
    state: str
    """Folder for what is deployed, jobs, baselines and indexes."""
    signing_file: str = ""
    signing_env: str = ""
    services: dict[str, Service]
    deploy_seconds: float = 1.0
    """How long a deployment by hook takes."""
    poll_seconds: float = 0.3
    """How often branches are looked at."""
    step_seconds: float = 0.0
    """A pause after each step of a job, so that its progress can be seen; a simulation of a larger one."""

    @model_validator(mode="after")
    def _one_secret(self) -> Self:
        if bool(self.signing_file) == bool(self.signing_env):
            raise ValueError("signing_file or signing_env is needed, and only one of them")
        return self

    def signing_secret(self) -> str:
        """Read anew each time, so that it can be exchanged. Raises OSError, and LookupError when there is none."""
        secret = Path(self.signing_file).read_text().strip() if self.signing_file else os.environ.get(self.signing_env, "")
        if not secret:
            raise LookupError(f"There is no signing secret in {self.signing_file or self.signing_env}.")
        return secret
