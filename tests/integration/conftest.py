"""One running hub and lab for each test file that asks for it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from pytest_django.plugin import DjangoDbBlocker

from tests.conftest import _django_on
from tests.databases import cloned_database, empty_broker, url_of
from tests.integration.hub import Staging, running_staging


@pytest.fixture(scope="module")
def staging(
    django_test_environment: None, database_template: str, django_db_blocker: DjangoDbBlocker, worker_id: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Staging]:
    """A hub and the lab's staging environment, with a committed database of their own."""
    name = f"test_{worker_id}_staging"
    broker = os.environ["BROKER_URL"]
    empty_broker(broker)
    environment = {variable: url_of(variable, database=name) for variable in ("DATABASE_URL", "DATABASE_OWNER_URL")} | {"BROKER_URL": broker}
    with (
        django_db_blocker.unblock(),
        cloned_database(template=database_template, name=name),
        _django_on(name),
        running_staging(environment=environment, folder=tmp_path_factory.mktemp("hub")) as running,
    ):
        yield running
