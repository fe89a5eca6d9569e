"""What the deployer is told at its start."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict


class Service(BaseModel):
    """Something that it runs. `hook`: deployed by request; `git`: what a branch of a repository holds; `index`: built from a Delta table by a job."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["hook", "git", "index"]
    repository: str = ""
    """`git`: the bare repository's folder."""
    branch: str = "main"
    path: str = ""
    """`git`: the folder in it; its file VERSION names the version."""
    table: str = ""
    """`index`: the Delta table's folder."""
    versions: list[str] = []
    """`hook`: the versions that can be deployed, the first at the start."""


class DeployerSettings(BaseModel):
    """The whole process. `signing_file` holds the secret that requests are signed with."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    port: int
    state: str
    """Folder for what is deployed, jobs, baselines and indexes."""
    signing_file: str
    services: dict[str, Service]
    deploy_seconds: float = 1.0
    """How long a deployment by hook takes."""
    poll_seconds: float = 0.3
    """How often branches are looked at."""
    step_seconds: float = 0.0
    """A pause after each step of a job, so that its progress can be seen; a simulation of a larger one."""
