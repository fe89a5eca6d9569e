"""The programme's world: aliases that can be drilled, and a clock that stands where a test puts it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest

from drills.domain.plans import make_plan
from drills.models import DrillPlan, PlannedDrill
from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.common import clock
from rollbackhub.routing.models import RoutingPolicy
from tests.factories.fixtures import Cast, cast
from tests.routing.conftest import policy, seed_policy

__all__ = ["cast", "policy", "seed_policy"]

BERLIN = "Europe/Berlin"


class Clock:
    """The product's clock, set by the test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.at = dt.datetime(2026, 12, 1, 7, 0, tzinfo=dt.UTC)
        monkeypatch.setattr(clock, "now", lambda: self.at)

    def set(self, year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> dt.datetime:
        """An instant in UTC."""
        self.at = dt.datetime(year, month, day, hour, minute, tzinfo=dt.UTC)
        return self.at

    def move(self, **by: float) -> dt.datetime:
        """On, by hours and so on."""
        self.at += dt.timedelta(**by)
        return self.at


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Tuesday, 1 December 2026, 7:00 UTC."""
    return Clock(monkeypatch)


Plan = Callable[..., DrillPlan]


@pytest.fixture
def plan(cast: Cast, policy: RoutingPolicy) -> Plan:
    """A plan of smart-reasoner by the platform lead: `plan(cadence="monthly")`."""

    def make(**values: Any) -> DrillPlan:
        target = {} if "artefact" in values else {"policy": policy}
        given = {"name": "Reasoner", "owner": cast.on_call, "cadence": "monthly", "user": cast.lead, "actor": actor_of(cast.lead), **target, **values}
        return make_plan(**given)

    return make


def drills_of(plan: DrillPlan) -> list[PlannedDrill]:
    """In their order."""
    return list(PlannedDrill.objects.filter(plan=plan).order_by("slot"))


def first(plan: DrillPlan) -> PlannedDrill:
    """The one of the earliest slot."""
    return drills_of(plan)[0]


def utc(year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> dt.datetime:
    """An instant."""
    return dt.datetime(year, month, day, hour, minute, tzinfo=dt.UTC)
