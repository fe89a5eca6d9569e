"""Databases for tests: one migrated template per server, and clones of it, which take milliseconds."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit

import psycopg
import pytest
import redis
from django.core.management import call_command
from django.db import connections
from django.db.backends.postgresql.base import DatabaseWrapper
from psycopg import sql

from rollbackhub.common.database_url import database_from_url

NEEDED = ("DATABASE_URL", "DATABASE_OWNER_URL", "BROKER_URL")
SERVER_SETTINGS = ("NAME", "USER", "PASSWORD", "HOST", "PORT")
TEMPLATE_LOCK = 7_302_118
ROOT = Path(__file__).resolve().parent.parent


def require_servers() -> None:
    """End the test run with one sentence when it was started without servers."""
    missing = [name for name in NEEDED if not os.environ.get(name)]
    if missing:
        pytest.exit(
            f"{', '.join(missing)} not set: run the tests as `make test`, or `.venv/bin/python -m rollbackhub.local.with_servers .venv/bin/pytest …`",
            returncode=4,
        )


def url_of(variable: str, *, database: str) -> str:
    """The URL in this environment variable, leading to another database of the same server."""
    return urlunsplit(urlsplit(os.environ[variable])._replace(path=f"/{database}"))


def broker_of_worker(worker: str) -> str:
    """The broker's URL with a number of its own for each pytest worker, so that none takes another's tasks."""
    url = os.environ["BROKER_URL"]
    parts = urlsplit(url)
    number = int(re.sub(r"\D", "", worker) or 0) + 1
    if "virtual_host" in parse_qs(parts.query):
        query = {key: values[-1] for key, values in parse_qs(parts.query).items()} | {"virtual_host": str(number)}
        # Not urlunsplit: it takes the empty host of redis+socket:///… away.
        return f"{url.partition('?')[0]}?{urlencode(query)}"
    return urlunsplit(parts._replace(path=f"/{number}"))


def empty_broker(url: str) -> None:
    """Forget every task that waits there."""
    parts = urlsplit(url)
    number = int(parse_qs(parts.query).get("virtual_host", [parts.path.strip("/") or "0"])[-1])
    is_socket = parts.scheme == "redis+socket"
    client = redis.Redis(unix_socket_path=parts.path, db=number) if is_socket else redis.Redis.from_url(url)
    with client:
        client.flushdb()


@contextmanager
def owner_session() -> Iterator[psycopg.Connection]:
    """A connection outside of Django that may create and drop databases."""
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"], autocommit=True) as connection:
        yield connection


def point_django_at(name: str) -> None:
    """Have both of Django's connections use this database from now on."""
    for alias in ("default", "owner"):
        connections[alias].close()
        cast(DatabaseWrapper, connections[alias]).close_pool()
        connections[alias].settings_dict["NAME"] = name


@contextmanager
def django_at(url: str, *, owner_url: str) -> Iterator[None]:
    """Have both of Django's connections use another server meanwhile."""
    before = {}
    for alias, wanted in (("default", url), ("owner", owner_url)):
        settings = connections[alias].settings_dict
        connections[alias].close()
        cast(DatabaseWrapper, connections[alias]).close_pool()
        before[alias] = {key: settings[key] for key in SERVER_SETTINGS}
        found = database_from_url(wanted, pool=False)
        settings.update({key: found[key] for key in SERVER_SETTINGS})
    try:
        yield
    finally:
        for alias, values in before.items():
            connections[alias].close()
            cast(DatabaseWrapper, connections[alias]).close_pool()
            connections[alias].settings_dict.update(values)


def migrated_template() -> str:
    """The name of the migrated database that all others are copied from; the first who needs it makes it."""
    name = f"test_template_{_migrations_hash()}"
    making = f"{name}_making"
    with owner_session() as owner:
        owner.execute("SELECT pg_advisory_lock(%s)", [TEMPLATE_LOCK])
        if owner.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone() is None:
            owner.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(making)))
            owner.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(making)))
            point_django_at(making)
            call_command("migrate", verbosity=0)
            point_django_at(name)
            owner.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(making), sql.Identifier(name)))
    return name


def _migrations_hash() -> str:
    found = hashlib.sha256()
    paths = [*ROOT.glob("*/migrations/*.py"), *ROOT.glob("rollbackhub/*/migrations/*.py"), *ROOT.glob("rollbackhub/*/models.py")]
    for path in sorted([*paths, ROOT / "rollbackhub/common/grants.py", ROOT / "requirements.txt"]):
        found.update(path.read_bytes())
    return found.hexdigest()[:12]


@contextmanager
def cloned_database(*, template: str, name: str) -> Iterator[str]:
    """A copy of the template with the application role's right to connect; dropped afterwards, whoever is still connected."""
    app_role = connections["default"].settings_dict["USER"]
    drop_database(name)
    with owner_session() as owner:
        identifier = sql.Identifier(name)
        owner.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(identifier, sql.Identifier(template)))
        owner.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(identifier))
        owner.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(identifier, sql.Identifier(app_role)))
    try:
        yield name
    finally:
        drop_database(name)


def drop_database(name: str) -> None:
    """Drop it when it exists."""
    with owner_session() as owner:
        owner.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


@dataclass(frozen=True)
class FreshDatabase:
    """A database of one test's own."""

    name: str
    url: str
    """Application role."""
    owner_url: str
    broker_url: str
    env: dict[str, str] = field(repr=False)
    """The whole environment for a subprocess that should work on this database and broker."""
