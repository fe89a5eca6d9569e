"""What a Delta connection and its target are, and how a version names its table version."""

from __future__ import annotations

import json
import re
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from rollbackhub.connectors.base import ConnectorSettings
from rollbackhub.connectors.mechanism import Problem, ProblemCode, ProblemFound, TargetSettings, VersionRef
from rollbackhub.connectors.secret_refs import SecretMissing, SecretRef, read_secret

_ADDRESS = re.compile(r"delta:(?P<table>[^@\s]+)@(?P<number>0|[1-9][0-9]{0,17})")
_PART = re.compile(r"[^\0-\x1f\x7f\\@%?#*:\s]+")
PLAIN_OPTIONS = frozenset(
    {"AWS_ENDPOINT_URL", "AWS_REGION", "AWS_ALLOW_HTTP", "AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "AWS_CONDITIONAL_PUT", "AWS_COPY_IF_NOT_EXISTS"}
)
SECRET_OPTIONS = frozenset({"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"})


class DeltaSettings(ConnectorSettings):
    """A folder or bucket under which tables lie."""

    root: str = Field(max_length=500)
    options: dict[str, str] = Field(default={}, description="Options of the storage that are no secret: its address, its region")
    options_ref: SecretRef | None = Field(default=None, description="Where the secret options are, as one JSON object")
    tries: int = Field(default=5, ge=1, le=20)

    @field_validator("root")
    @classmethod
    def _is_root(cls, root: str) -> str:
        bare = root.removeprefix("s3://") if root.startswith("s3://") else root.removeprefix("/")
        if not root.startswith(("/", "s3://")) or not _inside(bare.rstrip("/")):
            raise ValueError("must be /an/absolute/folder or s3://bucket/prefix, without . or .. in it")
        return root.rstrip("/")

    @field_validator("options")
    @classmethod
    def _are_known(cls, options: dict[str, str]) -> dict[str, str]:
        if unknown := sorted(set(options) - PLAIN_OPTIONS):
            raise ValueError(f"has {', '.join(unknown)}; there are {', '.join(sorted(PLAIN_OPTIONS))}")
        return options

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.local and (self.options or self.options_ref):
            raise ValueError("options and options_ref are for s3:// roots only")
        if not self.local:
            # Without them the library would look for an account of the machine, at the cloud's metadata address.
            if not self.options_ref:
                raise ValueError("an s3:// root needs options_ref")
            address = urlsplit(self.options.get("AWS_ENDPOINT_URL", ""))
            if address.scheme not in {"http", "https"} or not address.hostname or "@" in address.netloc:
                raise ValueError("an s3:// root needs AWS_ENDPOINT_URL in its options, as https://s3.eu-central-1.amazonaws.com")
        return self

    @property
    def local(self) -> bool:
        """The tables lie on this machine."""
        return self.root.startswith("/")

    def secret_options(self) -> dict[str, str]:
        """The secret options, read anew. Raises SecretMissing."""
        if self.options_ref is None:
            return {}
        try:
            found = json.loads(read_secret(self.options_ref))
        except ValueError:
            found = None
        if not isinstance(found, dict) or not found or not set(found) <= SECRET_OPTIONS or not all(isinstance(value, str) for value in found.values()):
            # What it holds is not repeated.
            raise SecretMissing(f"{self.options_ref} holds no JSON object with {', '.join(sorted(SECRET_OPTIONS))} as texts, and nothing else.")
        return found


class DeltaTarget(TargetSettings):
    """A table, and what becomes of the rows that came after the version that is rolled back."""

    table: str = Field(max_length=300, description="The table's folder, from the connection's root on")
    appends: Literal["refuse", "discard"] = Field(
        default="refuse", description="Commits since the version that is rolled back: refuse to act, or undo them together with it"
    )

    @property
    def subject(self) -> str:
        """What changes, for people."""
        return f"table {self.table}"

    @field_validator("table")
    @classmethod
    def _is_inside(cls, table: str) -> str:
        if not _inside(table) or table.startswith("-"):
            raise ValueError("must be a folder under the connection's root, as sets/training: no leading / and no . or .. in it")
        return table


def number_of(target: DeltaTarget, version: VersionRef) -> int:
    """The table version of a version, from its address `delta:TABLE@7`. Raises ProblemFound when it has none, or one of another table."""
    match = _ADDRESS.fullmatch(version.uri)
    if match is None or match["table"] != target.table:
        found = f"the address {version.uri!r}" if version.uri else "no address"
        remedy = "Correct the version's address: the table as in the alias's target, then @ and the number of the table's version."
        expected = f"the address delta:{target.table}@NUMBER"
        raise ProblemFound(Problem(ProblemCode.CONFIG_MISMATCH, f"version {version.label}", expected, found, remedy))
    return int(match["number"])


def _inside(path: str) -> bool:
    return all(_PART.fullmatch(part) and part not in {".", ".."} for part in path.split("/"))
