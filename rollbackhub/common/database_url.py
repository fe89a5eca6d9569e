"""From a database URL to Django's settings."""

from __future__ import annotations

from typing import Any

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict, make_conninfo


def database_from_url(url: str, *, pool: bool) -> dict[str, Any]:
    """Django's database settings for a `postgresql://` URL (sockets and every libpq option included).

    An empty URL gives settings that fail at the first connection with libpq's own message: commands that need no database still run.
    Raises SystemExit when the URL cannot be read.
    """
    try:
        found = conninfo_to_dict(url) if url else {}
    except ProgrammingError as error:
        raise SystemExit(f"RollbackHub cannot start: DATABASE_URL cannot be read ({error}). It looks like postgresql://user:password@host:5432/name") from error
    settings: dict[str, Any] = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": found.pop("dbname", "rollbackhub"),
        "USER": found.pop("user", ""),
        "PASSWORD": found.pop("password", ""),
        "HOST": found.pop("host", ""),
        "PORT": str(found.pop("port", "")),
        "OPTIONS": {"connect_timeout": 3, **found},
    }
    if pool:
        settings["OPTIONS"]["pool"] = {"min_size": 1, "max_size": 20, "timeout": 5}
    return settings


def conninfo(settings: dict[str, Any]) -> str:
    """libpq's connection string for Django's settings; for connections that LISTEN."""
    parts = {"dbname": settings["NAME"], "user": settings["USER"], "password": settings["PASSWORD"], "host": settings["HOST"], "port": settings["PORT"]}
    # What the URL said beyond that (TLS and the like); the pool is Django's own.
    options = {key: value for key, value in settings["OPTIONS"].items() if key != "pool"}
    return make_conninfo(**options, **{key: value for key, value in parts.items() if value})
