"""What an attacker with the rights of a superuser can do to the log: the triggers are switched off for the session."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from django.db import transaction

from rollbackhub.audit.actors import system_actor
from rollbackhub.audit.domain.record import record
from tests.databases import FreshDatabase, url_of


@contextmanager
def superuser(database: FreshDatabase) -> Iterator[psycopg.Connection[Any]]:
    """A connection for which no trigger and no foreign key holds."""
    with psycopg.connect(url_of("DATABASE_SUPERUSER_URL", database=database.name), autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        yield connection


def write_events(count: int) -> list[int]:
    """Record and commit some events, one transaction each; answers their ids."""
    ids = []
    for number in range(count):
        with transaction.atomic():
            ids.append(record(event="test.happened", actor=system_actor("test"), subject_type="test", subject_id=number, data={"number": number}).pk)
    return ids
