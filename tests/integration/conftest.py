"""One running hub and lab for each test file that asks for it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from pytest_django.plugin import DjangoDbBlocker

from tests.conftest import _django_on
from tests.databases import cloned_database, empty_broker, url_of
from tests.integration.hub import Lab, Observed, Staging, running_lab
from tests.integration.production import Alerted, Production, Releasing


@contextmanager
def _running(
    kind: type[Lab], *, template: str, blocker: DjangoDbBlocker, worker_id: str, folders: pytest.TempPathFactory, concurrency: int = 4
) -> Iterator[Lab]:
    name = f"test_{worker_id}_{kind.environment}"
    broker = os.environ["BROKER_URL"]
    empty_broker(broker)
    environment = {variable: url_of(variable, database=name) for variable in ("DATABASE_URL", "DATABASE_OWNER_URL")} | {"BROKER_URL": broker}
    with (
        blocker.unblock(),
        cloned_database(template=template, name=name),
        _django_on(name),
        running_lab(kind, environment=environment, folder=folders.mktemp("hub"), concurrency=concurrency) as running,
    ):
        yield running


@pytest.fixture(scope="module")
def staging(
    django_test_environment: None, database_template: str, django_db_blocker: DjangoDbBlocker, worker_id: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Staging]:
    """A hub and the lab's staging environment, with a committed database of their own."""
    with _running(Staging, template=database_template, blocker=django_db_blocker, worker_id=worker_id, folders=tmp_path_factory) as running:
        yield running


@pytest.fixture(scope="module")
def observed(
    django_test_environment: None, database_template: str, django_db_blocker: DjangoDbBlocker, worker_id: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Observed]:
    """The same, with a real Prometheus before its metrics."""
    with _running(Observed, template=database_template, blocker=django_db_blocker, worker_id=worker_id, folders=tmp_path_factory) as running:
        yield running


@pytest.fixture(scope="module")
def production_hub(
    django_test_environment: None, database_template: str, django_db_blocker: DjangoDbBlocker, worker_id: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Production]:
    """A hub and the lab's production environment, with a committed database of their own."""
    with _running(Production, template=database_template, blocker=django_db_blocker, worker_id=worker_id, folders=tmp_path_factory) as running:
        yield running


@pytest.fixture(scope="module")
def releasing(
    django_test_environment: None, database_template: str, django_db_blocker: DjangoDbBlocker, worker_id: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Releasing]:
    """A hub with production and staging: a release is rehearsed in one and shipped in the other."""
    with _running(Releasing, template=database_template, blocker=django_db_blocker, worker_id=worker_id, folders=tmp_path_factory) as running:
        running.begin_again()
        yield running


@pytest.fixture(scope="module")
def alerted(
    django_test_environment: None, database_template: str, django_db_blocker: DjangoDbBlocker, worker_id: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Alerted]:
    """The same with Prometheus and Alertmanager: alerts of production come to the hub."""
    with (
        _running(Alerted, template=database_template, blocker=django_db_blocker, worker_id=worker_id, folders=tmp_path_factory) as running,
        running.following(),
    ):
        yield running


@pytest.fixture
def production(production_hub: Production) -> Production:
    """The same, as the lab seeded it."""
    production_hub.begin_again()
    return production_hub
