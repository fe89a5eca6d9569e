"""What every test may use. Tests run as the application's database role, with the rights that it has in production."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import pytest
from django.conf import settings
from django.db import connections
from django.db.backends.postgresql.base import DatabaseWrapper
from pytest_django.plugin import DjangoDbBlocker
from whitenoise.middleware import WhiteNoiseMiddleware

from rollbackhub.celery import app as celery_app
from tests.databases import FreshDatabase, broker_of_worker, cloned_database, empty_broker, migrated_template, point_django_at, require_servers, url_of

pytest_plugins = ["tests.factories.fixtures", "tests.leaks"]


def pytest_configure(config: pytest.Config) -> None:
    """Give each pytest worker a broker number of its own."""
    if os.environ.get("BROKER_URL"):
        worker = os.environ.get("PYTEST_XDIST_WORKER", "master")
        os.environ["BROKER_URL"] = settings.CELERY_BROKER_URL = celery_app.conf.broker_url = broker_of_worker(worker)


@pytest.fixture(scope="session")
def database_template(django_db_blocker: DjangoDbBlocker) -> str:
    """The name of the migrated template database."""
    require_servers()
    with django_db_blocker.unblock():
        return migrated_template()


@pytest.fixture(scope="session")
def django_db_setup(django_test_environment: None, database_template: str, django_db_blocker: DjangoDbBlocker, worker_id: str) -> Iterator[None]:
    """pytest-django's own database: a clone of the template, for the tests that roll back what they did."""
    name = f"test_{worker_id}"
    with django_db_blocker.unblock(), cloned_database(template=database_template, name=name):
        point_django_at(name)
        with django_db_blocker.block():
            yield
        close_connections()


@pytest.fixture(scope="session", autouse=True)
def _static_files_found_once() -> Iterator[None]:
    """Each test client has middleware of its own; the 1,200 files are looked up for the first only, as in a server that starts once."""
    look, found = WhiteNoiseMiddleware.add_files_from_finders, dict[str, object]()

    def look_once(self: WhiteNoiseMiddleware) -> None:
        if not found:
            before = set(self.files)
            look(self)
            found.update({url: file for url, file in self.files.items() if url not in before})
        self.files.update(found)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WhiteNoiseMiddleware, "add_files_from_finders", look_once)
        yield


def close_connections() -> None:
    """End this thread's connections and the pool."""
    for alias in ("default", "owner"):
        connections[alias].close()
        cast(DatabaseWrapper, connections[alias]).close_pool()


@contextmanager
def _django_on(name: str) -> Iterator[None]:
    before = connections["default"].settings_dict["NAME"]
    point_django_at(name)
    try:
        yield
    finally:
        point_django_at(before)


@pytest.fixture
def fresh_database(
    django_test_environment: None, database_template: str, django_db_blocker: DjangoDbBlocker, worker_id: str, tmp_path: Path
) -> Iterator[FreshDatabase]:
    """A committed database of this test's own, for tests with several connections, threads or processes."""
    name = f"test_{worker_id}_fresh"
    broker = os.environ["BROKER_URL"]
    empty_broker(broker)
    urls = {variable: url_of(variable, database=name) for variable in ("DATABASE_URL", "DATABASE_OWNER_URL")}
    environment = os.environ | urls | {"BROKER_URL": broker, "ROLLBACKHUB_VAR": str(tmp_path / "var")}
    with django_db_blocker.unblock(), cloned_database(template=database_template, name=name), _django_on(name):
        yield FreshDatabase(name=name, url=urls["DATABASE_URL"], owner_url=urls["DATABASE_OWNER_URL"], broker_url=broker, env=environment)
