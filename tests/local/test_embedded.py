"""The embedded servers themselves."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
import redis

from rollbackhub.local import embedded
from rollbackhub.local.embedded import OWNER_ROLE, SUPERUSER, Postgres, Valkey, socket_folder
from rollbackhub.local.server_user import CannotStart


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that nobody else may enter."""
    with tempfile.TemporaryDirectory(prefix="rbt-", dir="/tmp") as name:
        yield Path(name)


@contextmanager
def started(server: Postgres | Valkey) -> Iterator[None]:
    server.start()
    try:
        yield
    finally:
        server.stop()


def test_postgres_in_a_private_folder_starts_durable_and_keeps_its_data(folder: Path) -> None:
    postgres = Postgres(folder / "pg", folder / "s", folder / "log")
    with started(postgres), psycopg.connect(postgres.url(OWNER_ROLE), autocommit=True) as owner:
        owner.execute("CREATE TABLE kept AS SELECT 1 AS number")
        settings = "SELECT current_setting('fsync'), current_setting('synchronous_commit'), current_setting('listen_addresses')"
        assert owner.execute(settings).fetchone() == ("on", "on", "")
        assert owner.execute("SELECT rolsuper, rolcreatedb FROM pg_roles WHERE rolname = current_user").fetchone() == (False, False)
        with pytest.raises(psycopg.errors.InsufficientPrivilege), psycopg.connect(postgres.url()) as app:
            app.execute("SELECT * FROM kept")
    assert folder.stat().st_mode & 0o777 == 0o700, "permissions of what is above are left alone"
    with started(postgres), psycopg.connect(postgres.url(OWNER_ROLE)) as owner:
        assert owner.execute("SELECT number FROM kept").fetchone() == (1,)


def test_postgres_with_a_lock_file_of_another_process_starts(folder: Path) -> None:
    postgres = Postgres(folder / "pg", folder / "s", folder / "log", durable=False)
    with started(postgres):
        pass
    # As after a reboot: the number belongs to somebody else now.
    (folder / "pg" / "postmaster.pid").write_text(f"{os.getpid()}\n{folder / 'pg'}\n")
    with started(postgres), psycopg.connect(postgres.url()) as app:
        assert app.execute("SELECT 1").fetchone() == (1,)


def test_postgres_beside_an_orphaned_one_ends_that_first(folder: Path) -> None:
    orphan = Postgres(folder / "pg", folder / "s", folder / "log", durable=False)
    successor = Postgres(folder / "pg", folder / "s", folder / "log", durable=False)
    with started(orphan):
        assert orphan.process is not None
        with started(successor), psycopg.connect(successor.url()) as app:
            assert orphan.process.wait(10) == 0
            assert app.execute("SELECT 1").fetchone() == (1,)


def test_postgres_that_cannot_start_says_why(folder: Path) -> None:
    postgres = Postgres(folder / "pg", folder / "s", folder / "log", durable=False)
    with started(postgres):
        pass
    (folder / "pg" / "postgresql.conf").write_text("nonsense = here\n")
    with pytest.raises(CannotStart, match=r'PostgreSQL ended while starting.*unrecognized configuration parameter "nonsense"'):
        postgres.start()


def test_valkey_keeps_what_it_was_given_and_ends_an_orphan(folder: Path) -> None:
    orphan = Valkey(folder / "valkey", folder / "v", folder / "log")
    with started(orphan):
        with redis.Redis(unix_socket_path=str(orphan.socket)) as client:
            client.set("kept", "1")
        successor = Valkey(folder / "valkey", folder / "v", folder / "log")
        with started(successor), redis.Redis(unix_socket_path=str(successor.socket)) as client:
            assert orphan.process is not None
            assert orphan.process.wait(10) == 0
            assert client.get("kept") == b"1"


def test_servers_below_a_long_path_have_short_sockets_and_leave_none(folder: Path) -> None:
    deep = folder / ("a-name-that-is-rather-long-" * 4)
    deep.mkdir()
    postgres = Postgres(deep / "pg", deep / "s", deep / "log", durable=False)
    broker = Valkey(deep / "valkey", deep / "v", deep / "valkey-log")
    with started(postgres), started(broker):
        assert len(str(postgres.sockets / ".s.PGSQL.5432")) < embedded.SOCKET_PATH_LIMIT
        with psycopg.connect(postgres.url(SUPERUSER)) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        sockets = [postgres.sockets, broker.sockets]
        assert all(path.parent == Path("/tmp") for path in sockets)
    assert not any(path.exists() for path in sockets)


def test_short_folder_of_somebody_else_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "SHORT_FOLDERS", folder)
    preferred = folder / ("long-" * 30)
    found = socket_folder(preferred, longest_name="x")
    found.rmdir()
    found.symlink_to("/etc")
    with pytest.raises(CannotStart, match="belongs to another user"):
        socket_folder(preferred, longest_name="x")
