"""The lab's own first drill."""

from __future__ import annotations

from pathlib import Path

import pytest

from drills.models import Drill
from rollbackhub.common import clock
from rollbackhub.lab.domain.first_drill import is_first_drill_wanted, start_first_drill
from rollbackhub.lab.domain.seed import seed_lab
from rollbackhub.lab.world import LabWorld
from rollbackhub.registry.models import Environment
from rollbackhub.routing.models import Gateway, RoutingState

pytestmark = pytest.mark.django_db


@pytest.fixture
def staging() -> Environment:
    seed_lab(LabWorld(hub_url="http://127.0.0.1:8000", base_port=20000, directory=Path("/nonexistent"), environments=("staging",)))
    return Environment.objects.get(slug="staging")


def gateway_at(staging: Environment, number: int) -> Gateway:
    return Gateway.objects.create(environment=staging, node_id="staging-gateway-1", applied_number=number, last_seen_at=clock.now())


def present_number(staging: Environment) -> int:
    return RoutingState.objects.get(environment=staging).number


def test_first_drill_without_gateways_waits(staging: Environment) -> None:
    assert is_first_drill_wanted()
    assert start_first_drill() is None


def test_first_drill_gateway_with_older_routes_waits(staging: Environment) -> None:
    gateway_at(staging, present_number(staging) - 1)
    assert start_first_drill() is None


def test_first_drill_acknowledged_gateway_starts_one_marked_as_the_labs(staging: Environment) -> None:
    gateway_at(staging, present_number(staging))
    drill = start_first_drill()
    assert drill is not None
    assert drill.execution.requested_by_label == "lab"
    assert drill.execution.is_lab
    assert drill.execution.bad_version.label == "claude-sonnet-4-6"
    assert not is_first_drill_wanted()


def test_first_drill_twice_starts_one(staging: Environment) -> None:
    gateway_at(staging, present_number(staging))
    first, second = start_first_drill(), start_first_drill()
    assert first == second
    assert Drill.objects.count() == 1
