"""One real server over a database of its own, and one browser, for all browser tests of a session."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connections
from playwright.sync_api import Browser, Playwright, sync_playwright
from pytest_django.plugin import DjangoDbBlocker

from rollbackhub.analytics.catalogue import QUESTIONS
from rollbackhub.analytics.domain.follow import follow_what_was_missed
from rollbackhub.executions.models import StepAttempt
from rollbackhub.readiness.domain.compute import compute_readiness
from tests.browser.long_names import make_long_names
from tests.browser.visits import Visitor
from tests.dashboard.alert_world import make_alerts
from tests.dashboard.analytics_world import make_history
from tests.dashboard.mechanism_world import MechanismWorld, addresses_of_mechanisms, make_mechanism_world
from tests.dashboard.notification_world import addresses_of_notifications, make_notifications
from tests.dashboard.postmortem_world import addresses_of_postmortems, make_postmortems
from tests.dashboard.programme_world import Programme, addresses_of_programme, make_programme
from tests.dashboard.rollback_world import make_rollbacks
from tests.dashboard.test_pages import addresses_of
from tests.dashboard.world import World, make_drill, make_world
from tests.databases import cloned_database, point_django_at, url_of
from tests.executions.verifications import keep_verification
from tests.factories.fixtures import Cast, make_cast
from tests.ports import free_port

CHROMIUM_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@dataclass(frozen=True)
class Site:
    """A running RollbackHub with a world in it."""

    url: str
    world: World
    mechanisms: MechanismWorld
    programme: Programme
    cast: Cast
    addresses: dict[str, str]
    """Every page, by a short name."""


@pytest.fixture(scope="session")
def site(
    django_test_environment: None, database_template: str, django_db_blocker: DjangoDbBlocker, worker_id: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """Its web process is a real one; nothing else runs, so what the world says is running stays as it is."""
    name = f"test_{worker_id}_site"
    var: Path = tmp_path_factory.mktemp("site")
    with django_db_blocker.unblock(), cloned_database(template=database_template, name=name):
        before = connections["default"].settings_dict["NAME"]
        point_django_at(name)
        cast, world = make_cast(), make_world()
        rollbacks = {f"rollback-{name}": f"/rollbacks/{rollback.pk}/" for name, rollback in make_rollbacks().items()}
        compute_readiness()  # what comes after it is not judged yet
        mechanisms = make_mechanism_world()
        verified = make_drill(world.prompt, ago=dt.timedelta(days=1))
        keep_verification(verified, StepAttempt.objects.get(execution=verified, key="verify"), rate=0.03)
        programme = make_programme(world)
        make_history()
        follow_what_was_missed()
        addresses = {
            "analytics": "/analytics/",
            **{f"analytics-{question.slug}": f"/analytics/{question.slug}/" for question in QUESTIONS},
            "analytics-none": "/analytics/durations/?period=days&since=2020-01-01&until=2020-01-31",
            **addresses_of_programme(programme),
            "drill-verified": f"/drills/{verified.pk}/",
            "checks": "/registry/artefacts/reasoner-model/checks/",
            **addresses_of(world),
            **make_long_names(world.staging),
            "rollbacks": "/rollbacks/",
            **rollbacks,
            **addresses_of_mechanisms(mechanisms),
            **addresses_of_postmortems(make_postmortems()),
            **addresses_of_notifications(make_notifications()),
            **make_alerts(),
        }
        point_django_at(before)
        with serve(name, var) as url, django_db_blocker.block():
            yield Site(url=url, world=world, mechanisms=mechanisms, programme=programme, cast=cast, addresses=addresses)


@contextmanager
def serve(name: str, var: Path) -> Iterator[str]:
    """A real web process over a database; its address."""
    urls = {variable: url_of(variable, database=name) for variable in ("DATABASE_URL", "DATABASE_OWNER_URL")}
    port = free_port()
    environment = os.environ | urls | {"ROLLBACKHUB_VAR": str(var), "PORT": str(port), "GATEWAY_LIVE_SECONDS": "3600", "SECRET_KEY": settings.SECRET_KEY}
    with (var / "web.log").open("w") as log:
        command = [sys.executable, "-m", "uvicorn", "rollbackhub.asgi:application", "--host", "127.0.0.1", "--port", str(port), "--log-level", "warning"]
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
        try:
            _wait_for(f"http://127.0.0.1:{port}/accounts/login/", process, var / "web.log")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Until the server answers. Fails with its log when it ends, or after a minute."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                if answer.status == 200:
                    return
        except OSError:  # refused, or not answered within the time: the machine may have much to do
            time.sleep(0.2)
    pytest.fail(f"The web process did not come up:\n{log.read_text()}")


@pytest.fixture(scope="module")
def browser(site: Site) -> Iterator[Browser]:
    """Debian's Chromium. Not for the whole session: while it is open this thread has an event loop, which Django and asyncio refuse to share.

    It opens after the site, which needs Django's connections.
    """
    with sync_playwright() as playwright:
        browser = chromium(playwright)
        yield browser
        browser.close()


def chromium(playwright: Playwright) -> Browser:
    """Debian's."""
    path = shutil.which("chromium")
    if path is None:
        pytest.fail("Chromium is missing: apt-get install chromium")
    return playwright.chromium.launch(executable_path=path, args=CHROMIUM_FLAGS)


@pytest.fixture(scope="session")
def sign_ins() -> dict[str, Any]:
    """Who has signed in already, with their cookies."""
    return {}


@pytest.fixture(scope="module")
def visitor(browser: Browser, site: Site, sign_ins: dict[str, Any]) -> Visitor:
    """Opens pages as people of the cast."""
    return Visitor(browser, site.url, sign_ins)
