"""A storm of alerts against a whole running hub, the broker killed meanwhile: no post is lost, and no incident is opened twice.

With servers of this file's own, so that nobody else is disturbed.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from django.core.management import call_command
from pytest_django.plugin import DjangoDbBlocker

from rollbackhub.alerts.domain.receiving import MAX_BODY_BYTES
from rollbackhub.alerts.models import AlertPost, PostCount
from rollbackhub.local.embedded import OWNER_ROLE, Postgres, Valkey
from tests.alerts.storm import FINGERPRINTS, Account, account_of, prepare, storm, wait_processed
from tests.databases import django_at
from tests.factories.fixtures import Cast, make_cast
from tests.integration.hub import Hub
from tests.ports import free_port

POSTS = 500


@pytest.fixture(scope="module")
def hub(django_test_environment: None, django_db_blocker: DjangoDbBlocker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Hub, Valkey, Cast]]:
    """A hub with a PostgreSQL as durable as in production, and a Valkey that may be killed."""
    with tempfile.TemporaryDirectory(prefix="rbt-", dir="/tmp") as name:
        folder = Path(name)
        postgres = Postgres(folder / "pg", folder / "s", folder / "postgres.log")
        valkey = Valkey(folder / "valkey", folder / "v", folder / "valkey.log")
        running: Hub | None = None
        try:
            postgres.start()
            valkey.start()
            urls = {"DATABASE_URL": postgres.url(), "DATABASE_OWNER_URL": postgres.url(OWNER_ROLE), "BROKER_URL": valkey.url}
            with django_db_blocker.unblock(), django_at(urls["DATABASE_URL"], owner_url=urls["DATABASE_OWNER_URL"]):
                call_command("migrate", verbosity=0)
                cast = make_cast()
                running = Hub(environment=urls, port=free_port(size=2), folder=tmp_path_factory.mktemp("storm") / "var", concurrency=1)
                running.start()
                yield running, valkey, cast
        finally:
            if running is not None:
                running.stop()
            valkey.stop()
            postgres.stop()


@pytest.mark.slow
@pytest.mark.parametrize("broker", ["up", "killed"])
def test_storm_every_post_is_accounted_for(hub: tuple[Hub, Valkey, Cast], broker: str) -> None:
    running, valkey, cast = hub
    name = f"storm-{broker}"
    hook, path = prepare(cast, name=name)
    if broker == "killed":
        assert valkey.process is not None
        valkey.process.kill()
        valkey.process.wait()
    try:
        answers = asyncio.run(storm(f"{running.url}{path}", name=name, posts=POSTS, at_once=8))
        assert answers.statuses == {202: POSTS}
        wait_processed(hook)
    finally:
        if broker == "killed":
            valkey.start()
    assert account_of(hook, name=name) == Account(
        posts=POSTS, seen=POSTS, counted=POSTS, alerts=FINGERPRINTS, incidents=FINGERPRINTS, fired=FINGERPRINTS, problems=0
    )


def test_refusals_over_the_wire_store_nothing_but_a_count(hub: tuple[Hub, Valkey, Cast]) -> None:
    running, _, cast = hub
    hook, path = prepare(cast, name="refused")
    with httpx.Client(base_url=running.url, trust_env=False, timeout=30) as client:
        answers = [
            client.post(path, content=b" " * (MAX_BODY_BYTES + 1)).status_code,
            client.post(path, content=iter([b" " * MAX_BODY_BYTES, b"  "])).status_code,
            client.post(path, content=b"{").status_code,
            client.post(path, content=b"{}").status_code,
            client.post(f"{path}x", content=b"{}").status_code,
            client.post("/api/v1/hooks/standard/0b0e8f63-8a5e-4d8e-9d53-52dcd0c7b1a1", content=b"{}").status_code,
            client.get(path).status_code,
        ]
    assert answers == [413, 413, 400, 422, 404, 401, 405]
    assert not AlertPost.objects.filter(hook=hook).exists()
    counts = PostCount.objects.filter(hook=hook).values_list("counted", "count")
    assert {kind: sum(count for other, count in counts if other == kind) for kind, _ in counts} == {"too_large": 2, "malformed": 1, "unusable": 1}
    # A secret stands in no log of the web process.
    assert path.rpartition("/")[2] not in running.web.log.read_text()
