"""The drill programme on a running hub: its housekeeper is killed, doubled, or away for a day; each planned drill starts once or is marked missed."""

from __future__ import annotations

import datetime as dt
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from drills.domain.plans import make_plan
from drills.enums import OPEN_STATES, PlannedState
from drills.models import Drill, DrillPlan, PlannedDrill
from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.accounts.enums import Role
from rollbackhub.accounts.models import User
from rollbackhub.audit.models import AuditEvent
from rollbackhub.common import clock
from rollbackhub.common.models import ProcessHeartbeat
from rollbackhub.lab.catalogue import SMART_REASONER, SUPPORT_ANSWER
from rollbackhub.registry.models import Artefact
from tests.factories.accounts import UserFactory
from tests.integration.hub import PLAIN_CHECKS, Staging
from tests.lab.worlds import eventually

ALIASES = (SMART_REASONER.alias, SUPPORT_ANSWER.alias)


@pytest.fixture(scope="module")
def lead(staging: Staging) -> User:
    """Who makes the plans. What verifies is quick."""
    Artefact.objects.update(checks=PLAIN_CHECKS)
    found: User = UserFactory(username="programme-lead", roles=[Role.PLATFORM_LEAD])
    return found


@pytest.fixture(autouse=True)
def _settled(staging: Staging) -> Iterator[None]:
    """What one test leaves does not run into the next."""
    yield
    staging.hub.forget_failpoints()
    # What is open first: nothing new starts while what runs comes to its end.
    PlannedDrill.objects.filter(state__in=OPEN_STATES).delete()
    staging.settle()


def planned_for(lead: User, staging: Staging, name: str, alias: str = ALIASES[0], *, ago: dt.timedelta = dt.timedelta()) -> PlannedDrill:
    """A planned drill of an alias whose time came so long ago; it is caught up for 24 hours. Nobody is told of others of its plan."""
    plan = make_plan(name=name, owner=lead, policy=staging.policy(alias), cadence="quarterly", user=lead, actor=actor_of(lead))
    first, *others = PlannedDrill.objects.filter(plan=plan).order_by("slot")
    PlannedDrill.objects.filter(pk__in=[other.pk for other in others]).delete()
    at = clock.now() - ago
    PlannedDrill.objects.filter(pk=first.pk).update(starts_at=at, latest_at=at + dt.timedelta(hours=24))
    return first


def ended(planned: PlannedDrill) -> PlannedDrill:
    """The same when it has its result."""

    def is_over() -> bool:
        planned.refresh_from_db()
        return planned.state in (PlannedState.PASSED, PlannedState.FAILED, PlannedState.MISSED)

    eventually(is_over, within=90, what=f"an end of {planned}")
    return planned


def assert_started_once(*planned: PlannedDrill) -> None:
    """One drill for each, and one event that says so."""
    for found in planned:
        assert Drill.objects.filter(idempotency_key=f"planned:{found.pk}").count() == 1
        assert AuditEvent.objects.filter(event="planned_drill.started", subject_id=str(found.pk)).count() == 1
        assert (found.state, found.why) == (PlannedState.PASSED, "")


@contextmanager
def second_housekeeper(staging: Staging) -> Iterator[None]:
    """One more, beside the hub's own."""
    process = subprocess.Popen([sys.executable, "manage.py", "housekeeper"], env=os.environ | staging.hub.environment, stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: ProcessHeartbeat.objects.filter(name="housekeeper", pid=process.pid, ended_at=None).exists(), within=60, what="a second housekeeper")
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)


@pytest.mark.parametrize("point", ["planned-claimed", "planned-started"])
def test_housekeeper_that_is_killed_between_claim_and_start_leaves_it_to_the_next(staging: Staging, lead: User, point: str) -> None:
    hub = staging.hub
    restarts = hub.housekeeper.restarts
    hub.arm(point, alias=ALIASES[0], lines=["kill self"])
    planned = planned_for(lead, staging, point)
    assert_started_once(ended(planned))
    assert hub.fired_at(point, alias=ALIASES[0]) is not None
    assert hub.housekeeper.restarts > restarts


def test_two_housekeepers_start_each_drill_once(staging: Staging, lead: User) -> None:
    with second_housekeeper(staging):
        planned = [planned_for(lead, staging, f"two housekeepers, {alias}", alias) for alias in ALIASES]
        assert_started_once(*map(ended, planned))


def test_hub_that_was_down_for_a_day_catches_up_or_says_what_was_missed(staging: Staging, lead: User) -> None:
    hub = staging.hub
    hub.kill_whole()
    try:
        missed = planned_for(lead, staging, "yesterday", ago=dt.timedelta(hours=25))
        caught_up = [planned_for(lead, staging, f"today, {alias}", alias, ago=dt.timedelta(hours=20)) for alias in ALIASES]
    finally:
        hub.start_whole()
    staging.wait_gateways()
    assert_started_once(*map(ended, caught_up))
    assert ended(missed).state == PlannedState.MISSED
    assert missed.why.startswith("RollbackHub did not run from ")
    assert not Drill.objects.filter(idempotency_key=f"planned:{missed.pk}").exists()
    assert DrillPlan.objects.filter(owner=lead).count() >= 3
