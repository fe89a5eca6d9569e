"""What an MLflow connection and its target are, and how a version names its number there."""

from __future__ import annotations

import re
from typing import Self

from pydantic import Field, field_validator, model_validator

from rollbackhub.connectors.base import ConnectorSettings
from rollbackhub.connectors.mechanism import Problem, ProblemCode, ProblemFound, TargetSettings, VersionRef
from rollbackhub.connectors.secret_refs import SecretRef

_ADDRESS = re.compile(r"https?://[^\s@?#/]+(/[^\s@?#]*)?")
_ALIAS = re.compile(r"[A-Za-z0-9_-]{1,255}")
_RESERVED_ALIAS = re.compile(r"latest|v\d+", re.IGNORECASE)
_VERSION = re.compile(r"(?:models|prompts):/(?P<name>[^/]+)/(?P<number>[1-9][0-9]{0,18})")


class MlflowSettings(ConnectorSettings):
    """One MLflow server, and who we are there."""

    address: str = Field(max_length=500, description="Where the server is, as https://mlflow.example.com")
    token_ref: SecretRef | None = Field(default=None, description="Refers to a token that is sent as Bearer")
    login_ref: SecretRef | None = Field(default=None, description="Refers to user:password, sent as HTTP basic authentication")
    client_cache_seconds: float = Field(default=60, ge=0, le=86400, description="How long clients keep what an alias points to")

    @field_validator("address")
    @classmethod
    def _is_address(cls, address: str) -> str:
        if not _ADDRESS.fullmatch(address):
            # Not repeated: it may hold a password.
            raise ValueError("must look like https://mlflow.example.com, without a user name, a query or a fragment")
        return address.rstrip("/")

    @model_validator(mode="after")
    def _one_login(self) -> Self:
        if self.token_ref and self.login_ref:
            raise ValueError("has token_ref and login_ref: at most one of them")
        return self


class MlflowTarget(TargetSettings):
    """One alias of one registered model or prompt."""

    model: str = Field(pattern=r"^[^/:\x00-\x1f\x7f]{1,256}$", description="The registered model's or prompt's name", examples=["support-tone"])
    alias: str = Field(description="The alias that consumers load by")

    @field_validator("alias")
    @classmethod
    def _may_be_set(cls, alias: str) -> str:
        # MLflow's own rule (mlflow/utils/validation.py): `latest` and v1, v2 … have a meaning of their own.
        if not _ALIAS.fullmatch(alias) or _RESERVED_ALIAS.fullmatch(alias):
            raise ValueError("must be letters, digits, _ and - only, and neither latest nor v and a number")
        return alias

    @property
    def subject(self) -> str:
        """What changes, for people."""
        return f"alias {self.alias} of {self.model}"


def number_of(target: MlflowTarget, version: VersionRef) -> str:
    """The MLflow version number of a version, from its address. Raises ProblemFound when it names none, or one of another model."""
    match = _VERSION.fullmatch(version.uri)
    wanted = f"models:/{target.model}/NUMBER or prompts:/{target.model}/NUMBER"
    if match is None:
        remedy = f"Register the version with the address {wanted}."
        raise ProblemFound(Problem(ProblemCode.CONFIG_MISMATCH, f"version {version.label}", f"the address {wanted}", f"{version.uri!r}", remedy))
    if match["name"] != target.model:
        remedy = "Correct the version's address, or the target's model."
        raise ProblemFound(Problem(ProblemCode.CONFIG_MISMATCH, f"version {version.label}", f"a version of {target.model}", f"one of {match['name']}", remedy))
    return match["number"]
