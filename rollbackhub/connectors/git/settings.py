"""What a git connection and its target are, and how a version names its commit."""

from __future__ import annotations

import re
from typing import Literal, Self
from urllib.parse import SplitResult, urlsplit

from pydantic import Field, field_validator, model_validator

from rollbackhub.connectors.base import ConnectorSettings
from rollbackhub.connectors.mechanism import Problem, ProblemCode, ProblemFound, TargetSettings, VersionRef
from rollbackhub.connectors.secret_refs import SecretRef

_COMMIT = re.compile(r"[0-9a-f]{40}")
_ADDRESS = re.compile(r"git(?:\+(?P<remote>(?:https|ssh|file)://[^\s]+)@|:)(?P<commit>[0-9a-f]{40})")
_BRANCH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._/+#-]{0,199}")
_CONTROL = re.compile(r"[\0-\x1f\x7f]")


class GitSettings(ConnectorSettings):
    """One branch of one repository, and who we are there."""

    remote: str = Field(max_length=500)
    branch: str = "main"
    user: str = Field(
        default="x-access-token", pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.+-]{0,99}$", description="The name that goes with the token", examples=["x-access-token"]
    )
    token_ref: SecretRef | None = None
    key_ref: SecretRef | None = None
    known_hosts: str = Field(
        default="",
        pattern=r"^(/[^\x00-\x1f\"%]{1,400})?$",
        description="File with the ssh host's public key; empty: ssh's own files",
        examples=["/etc/rollbackhub/known_hosts"],
    )
    author_name: str = Field(default="RollbackHub", pattern=r"^[^<>\x00-\x1f\x7f]{1,100}$", examples=["RollbackHub"])
    author_email: str = Field(default="rollbackhub@localhost", pattern=r"^[^<>\s\x00-\x1f\x7f]{1,200}$", examples=["rollbackhub@example.com"])
    tries: int = Field(default=5, ge=1, le=20)

    @field_validator("remote")
    @classmethod
    def _is_remote(cls, remote: str) -> str:
        parts = _split(remote)
        whole = bool(parts.path.strip("/")) and not parts.query and not parts.fragment and not _CONTROL.search(remote) and " " not in remote
        of_host = bool(parts.hostname) and not (parts.hostname or "").startswith("-") and not (parts.username or "").startswith("-")
        right = {
            "https": of_host and "@" not in parts.netloc,
            "ssh": of_host and parts.password is None,
            "file": not parts.netloc and parts.path.startswith("/") and ".." not in parts.path.split("/"),
        }
        if not whole or not right.get(parts.scheme, False):
            # Not repeated: it may hold a password.
            raise ValueError("must be https://host/path (without a name in it), ssh://git@host/path, or file:///absolute/path")
        return remote

    @field_validator("branch")
    @classmethod
    def _is_branch(cls, branch: str) -> str:
        parts = branch.split("/")
        if not _BRANCH.fullmatch(branch) or ".." in branch or any(not part or part.startswith(".") or part.endswith((".", ".lock")) for part in parts):
            raise ValueError("is no branch's name, as main or releases/prompts")
        return branch

    @field_validator("key_ref")
    @classmethod
    def _is_file(cls, reference: str | None) -> str | None:
        if reference is not None and not reference.startswith("file:/"):
            raise ValueError("must be file:/path: ssh reads its key from a file")
        if reference is not None and re.search(r"[\"%\n]", reference):
            raise ValueError('must not have " or % in its path')
        return reference

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.token_ref and self.parts.scheme != "https":
            raise ValueError("token_ref is for https:// remotes only")
        if (self.key_ref or self.known_hosts) and self.parts.scheme != "ssh":
            raise ValueError("key_ref and known_hosts are for ssh:// remotes only")
        return self

    @property
    def parts(self) -> SplitResult:
        """The remote's parts."""
        return _split(self.remote)

    @property
    def ref(self) -> str:
        """The branch's full name."""
        return f"refs/heads/{self.branch}"


def _split(remote: str) -> SplitResult:
    """The parts of an address. Raises ValueError for one that cannot be read, without repeating it."""
    try:
        parts = urlsplit(remote)
        _ = parts.port
    except ValueError as error:
        raise ValueError("cannot be read as an address") from error
    return parts


class GitTarget(TargetSettings):
    """A path that is restored, or one field of a YAML file that names the version."""

    path: str | None = Field(default=None, max_length=500, description="File or directory that is restored as it was at the version's commit")
    file: str | None = Field(default=None, max_length=500, description="YAML file that pins the version")
    field: str | None = Field(
        default=None, pattern=r"^[^\s.]+(\.[^\s.]+)*$", max_length=300, description="The field in it, as image.tag or images.0.tag", examples=["image.tag"]
    )
    value: Literal["label", "digest", "commit"] | None = Field(default=None, description="What of the version is written into the field")

    @field_validator("path", "file")
    @classmethod
    def _inside(cls, path: str | None) -> str | None:
        if path is None:
            return None
        parts = path.split("/")
        if path.startswith("-") or _CONTROL.search(path) or any(part in {"", ".", ".."} or part.lower() == ".git" for part in parts):
            raise ValueError("must be a path inside the repository, as prompts/support.txt: no leading / or -, no . or .. or .git in it")
        return path

    @model_validator(mode="after")
    def _one_mode(self) -> Self:
        pins = [self.file, self.field, self.value]
        if self.path is not None and any(pins):
            raise ValueError("has path, so it must not have file, field and value")
        if self.path is None and not all(pins):
            raise ValueError("needs either path, or all of file, field and value")
        return self

    @property
    def place(self) -> str:
        """The file or directory that changes."""
        return self.path or self.file or ""

    @property
    def subject(self) -> str:
        """What changes, for people."""
        return self.path or f"{self.field} in {self.file}"


def commit_of(settings: GitSettings, version: VersionRef) -> str:
    """The commit of a version: from its address (`git:COMMIT`, `git+https://…@COMMIT`), else its digest of 40 hex digits.

    Raises ProblemFound when it names none, two different ones, or one in another repository.
    """
    subject = f"version {version.label}"
    in_digest = version.digest if _COMMIT.fullmatch(version.digest) else ""
    match = _ADDRESS.fullmatch(version.uri)
    if match is None:
        if in_digest and not version.uri.startswith("git"):
            return in_digest
        found = f"the address {version.uri!r} and the digest {version.digest!r}"
        remedy = "Register the version with the address git:COMMIT, all 40 digits."
        raise ProblemFound(Problem(ProblemCode.CONFIG_MISMATCH, subject, "a commit in its address or digest", found, remedy))
    commit, remote = match["commit"], match["remote"]
    if remote and _plain(remote) != _plain(settings.remote):
        remedy = "Use the connection of that repository, or correct the version's address."
        raise ProblemFound(Problem(ProblemCode.CONFIG_MISMATCH, subject, f"a commit in {settings.remote}", f"one in {remote}", remedy))
    if in_digest and in_digest != commit:
        remedy = "Correct the version: its digest, when it has 40 digits, must be its commit."
        raise ProblemFound(Problem(ProblemCode.CONFIG_MISMATCH, subject, "one commit", f"{commit} in its address, {in_digest} as its digest", remedy))
    return commit


def value_of(settings: GitSettings, target: GitTarget, version: VersionRef) -> str:
    """What the pinning field must hold for this version. Raises ProblemFound when the version has no such thing, or not on one line."""
    if target.value == "commit":
        return commit_of(settings, version)
    value = version.label if target.value == "label" else version.digest
    if not value or _CONTROL.search(value):
        remedy = "Register the version with it, or have the target write another member of it."
        raise ProblemFound(Problem(ProblemCode.CONFIG_MISMATCH, f"version {version.label}", f"a {target.value} on one line", "none", remedy))
    return value


def _plain(remote: str) -> str:
    return remote.rstrip("/").removesuffix(".git")
