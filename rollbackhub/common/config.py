"""Typed settings: every environment variable that RollbackHub reads, parsed once and strictly.

A value that cannot be parsed stops the process at once with the variable's name, instead of surprising somebody later.
"""

from __future__ import annotations

import json
import os
import secrets
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

BASE_DIR = Path(__file__).resolve().parents[2]

LAB_PARTS = ("git", "delta", "haproxy", "mlflow", "prometheus", "alertmanager")
"""Names of the lab's optional parts; what they are stands in `rollbackhub.lab.parts`."""
LAB_PORTS = 37
"""How many ports from LAB_BASE_PORT on belong to the lab; which is whose stands in `rollbackhub.lab.ports`."""

NOTIFY_SCHEMES = ("slack", "workflow", "workflows", "pagerduty", "opsgenie", "mailto", "mailtos", "json", "jsons", "discord", "mmost", "mmosts")
"""Slack, Teams, PagerDuty, Opsgenie, e-mail, webhooks, Discord, Mattermost."""
NEVER_NOTIFY_SCHEMES = frozenset({"dbus", "kde", "glib", "qt", "gnome", "macosx", "windows", "syslog", "growl", "file", "exec", "apprise", "apprises"})
"""Those that act on this machine instead of sending, or hand over to another Apprise."""

CommaSeparated = Annotated[list[str], NoDecode]
Networks = Annotated[list[IPv4Network | IPv6Network], NoDecode]


class Config(BaseSettings):
    """The environment of one process. Field names in capitals are the variables' names."""

    model_config = SettingsConfigDict(case_sensitive=False, extra="ignore", frozen=True)

    debug: bool = False
    secret_key: str = ""
    var: Path = Field(default=BASE_DIR / "var", validation_alias="ROLLBACKHUB_VAR")
    """Folder for everything this installation keeps on disk."""

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=1, le=65535)
    public_url: str = ""
    allowed_hosts: CommaSeparated = []
    csrf_trusted_origins: CommaSeparated = []

    database_url: str = ""
    """Application role. Empty: the embedded PostgreSQL that `make up` runs."""
    database_owner_url: str = ""
    """Role that owns the tables and runs migrations. Empty: the same as DATABASE_URL."""
    broker_url: str = ""

    email_host: str = ""
    """Mail server for notices. Empty: notices are on the pages only."""
    email_port: int = Field(default=25, ge=1, le=65535)
    email_host_user: str = ""
    email_host_password: str = Field(default="", repr=False)
    email_use_tls: bool = False
    email_from: str = "rollbackhub@localhost"

    lab: bool = True
    lab_base_port: int = Field(default=18100, ge=1024, le=65000)
    lab_parts: CommaSeparated = ["auto"]
    """Which optional parts the lab plays; `auto`: those that this machine has; `none` or empty: none."""
    lab_requests_per_second: float = Field(default=40, gt=0, le=2000)

    worker_concurrency: int = Field(default=4, ge=1, le=64)
    lease_seconds: float = Field(default=15, ge=1, le=600)
    sweep_seconds: float = Field(default=0.5, gt=0, le=60)
    wake_grace_seconds: float = Field(default=0.7, gt=0, le=60)
    """How long a published execution may stay unclaimed before the sweeper runs it itself."""

    preflight_seconds: float = Field(default=3600, ge=60, le=86400)
    """How often the continuous preflight looks at each environment; a tenth of it is jitter."""
    preflight_recheck_seconds: float = Field(default=60, ge=5, le=86400)
    """How soon it looks again after it found something, or could not check everything: what was mended closes soon."""

    xds_allowed_networks: Networks = Field(default=["127.0.0.0/8", "::1/128"], validate_default=True)
    xds_hold_seconds: float = Field(default=10, gt=0, le=35)
    gateway_live_seconds: float = Field(default=25, gt=0, le=3600)
    outbound_allowed_hosts: CommaSeparated = ["127.0.0.1", "localhost", "::1"]
    """Hosts that the hub may call (gateway admin, metrics endpoints, receivers of notifications whose host is somebody's choice)."""
    notify_allowed_schemes: CommaSeparated = list(NOTIFY_SCHEMES)
    """Kinds of addresses that notifications may go to, by Apprise's names."""
    notify_timeout_seconds: float = Field(default=10, ge=0.5, le=60)
    """How long one try to send a notification may take."""

    failpoints_dir: Path | None = None
    """Tests only: files here make the process kill or pause itself at named points."""

    @field_validator(
        "allowed_hosts", "csrf_trusted_origins", "outbound_allowed_hosts", "xds_allowed_networks", "lab_parts", "notify_allowed_schemes", mode="before"
    )
    @classmethod
    def _split_commas(cls, value: object) -> object:
        if isinstance(value, str):
            return [part.strip() for part in value.split(",") if part.strip()]
        return value

    @field_validator("notify_allowed_schemes")
    @classmethod
    def _sending_schemes(cls, names: list[str]) -> list[str]:
        names = [name.lower().removesuffix("://") for name in names]
        wrong = [name for name in names if name in NEVER_NOTIFY_SCHEMES or not name.isalnum()]
        if wrong:
            raise ValueError(f"{', '.join(wrong)} cannot be allowed: notifications go to other systems, by names such as {', '.join(NOTIFY_SCHEMES[:4])}")
        return names

    @field_validator("lab_parts")
    @classmethod
    def _known_parts(cls, names: list[str]) -> list[str]:
        unknown = [name for name in names if name not in (*LAB_PARTS, "auto", "none")]
        if unknown:
            raise ValueError(f"there is no part {', '.join(unknown)}; there are {', '.join(LAB_PARTS)}, auto and none")
        return [name for name in names if name != "none"]


def load_config() -> Config:
    """The process's configuration: environment first, then what a running `make up` left in var/run/servers.json.

    Raises SystemExit with one sentence per bad variable.
    """
    try:
        config = Config()
    except ValidationError as error:
        lines = [f"{'.'.join(str(part) for part in item['loc']).upper()}: {item['msg']}" for item in error.errors()]
        raise SystemExit("RollbackHub cannot start, these environment variables are wrong:\n  " + "\n  ".join(lines)) from error
    updates: dict[str, object] = {}
    running = config.var / "run" / "servers.json"
    if not config.database_url and running.exists():
        found = json.loads(running.read_text())
        updates = {key: found[key] for key in ("database_url", "database_owner_url", "broker_url") if key in found}
        for key in ("lease_seconds", "port", "lab_base_port"):
            if key in found and key.upper() not in os.environ:
                updates[key] = found[key]
    if not config.secret_key:
        updates["secret_key"] = _kept_secret_key(config.var)
    return config.model_copy(update=updates)


def _kept_secret_key(var: Path) -> str:
    """A key generated once per installation, readable by its owner only."""
    path = var / "secret_key"
    if not path.exists():
        var.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_urlsafe(64))
    return path.read_text().strip()
