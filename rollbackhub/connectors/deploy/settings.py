"""Where the receiver is, how requests to it are signed, and what it deploys."""

from __future__ import annotations

import re
from typing import Annotated, Self
from urllib.parse import parse_qsl, urlsplit

from pydantic import AfterValidator, Field, model_validator

from rollbackhub.common.secret_names import looks_secret
from rollbackhub.connectors.base import ConnectorSettings
from rollbackhub.connectors.mechanism import TargetSettings
from rollbackhub.connectors.secret_refs import SecretRef

_PLACE = re.compile(r"\{[^{}]*\}|[{}]")


def _holds_no_secret(address: str) -> str:
    """Some receivers want a token in the address. There it would stand in logs and on pages."""
    if any(looks_secret(name) for name, _ in parse_qsl(urlsplit(address).query, keep_blank_values=True)):
        raise ValueError("has a secret in it; write env:NAME or file:/path in token_ref: it is sent as a bearer token")
    return address


Address = Annotated[
    str, Field(pattern=r"^$|^https?://[^\s@]+$", max_length=500, examples=["https://deploy.example.com/hook"]), AfterValidator(_holds_no_secret)
]


class DeploySettings(ConnectorSettings):
    """One receiver. Without `job_url` it runs no jobs."""

    deploy_url: Address = Field(min_length=1, description="Takes POST")
    status_url: Address = Field(min_length=1, description="Takes GET; {service} stands where the service's name goes")
    job_url: Address = Field(default="", description="Takes POST; empty: it runs no jobs")
    job_status_url: Address = Field(default="", description="Takes GET; {job_id} stands where the job's name goes")
    signing_ref: SecretRef = Field(description="The secret that requests are signed with (Standard Webhooks): whsec_… or any text")
    token_ref: SecretRef | None = Field(default=None, description="A bearer token that the receiver wants as well")
    honours_idempotency_key: bool = Field(default=True, description="The same key twice has one effect there; else nothing is sent twice blindly")
    ping: bool = Field(default=True, description='Preflight sends a signed {"type": "ping"}, which must be answered 2xx and do nothing')

    @model_validator(mode="after")
    def _have_their_places(self) -> Self:
        if bool(self.job_url) != bool(self.job_status_url):
            raise ValueError("needs both job_url and job_status_url, or neither")
        for name, wanted in (("deploy_url", None), ("status_url", "{service}"), ("job_url", None), ("job_status_url", "{job_id}")):
            address: str = getattr(self, name)
            places = _PLACE.findall(address)
            if address and wanted and places != [wanted]:
                raise ValueError(f"{name} must have {wanted} in it once, and nothing else in braces")
            if address and not wanted and places:
                raise ValueError(f"{name} must have nothing in braces")
        return self


class DeployTarget(TargetSettings):
    """What is deployed."""

    service: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,119}$", description="The service's name at the receiver", examples=["support-agent"])

    @property
    def subject(self) -> str:
        """What messages call it."""
        return f"service {self.service}"
