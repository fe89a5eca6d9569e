"""The lab's switches: what is wanted stands in the database, and a lab follows."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from rollbackhub.audit.actors import system_actor
from rollbackhub.audit.models import AuditEvent
from rollbackhub.common.errors import NotFound
from rollbackhub.lab.domain.seed import seed_lab
from rollbackhub.lab.enums import SwitchName
from rollbackhub.lab.envoy import GatewayMode
from rollbackhub.lab.metrics import MetricsMode
from rollbackhub.lab.models import LabSwitch
from rollbackhub.lab.switches import SwitchFollower, gateway_mode, metrics_mode, set_switch
from rollbackhub.lab.world import LabWorld
from rollbackhub.registry.models import Environment

ACTOR = system_actor("test")


class StandInWorld(LabWorld):
    """A world without processes: it notes what it is told, and can be slow to follow."""

    def __init__(self) -> None:
        super().__init__(hub_url="http://127.0.0.1:8000", base_port=20000, directory=Path("/nonexistent"), environments=("staging", "production"))
        self.gateway_ready = True
        self.metrics_answer = True
        self.told: list[tuple[str, str | bool]] = []

    def set_gateway_mode(self, environment: str, mode: GatewayMode) -> None:
        if self.gateway_modes[environment] != mode:
            self.gateway_modes[environment] = mode
            self.told.append((environment, mode))

    def set_metrics_mode(self, environment: str, mode: MetricsMode) -> bool:
        self.told.append((environment, mode))
        return self.metrics_answer

    def set_sticky_clients(self, environment: str, on: bool) -> bool:
        self.told.append((environment, on))
        return self.metrics_answer

    def gateway_is_ready(self, environment: str) -> bool:
        return self.gateway_ready


@pytest.fixture
def world(db: None) -> StandInWorld:
    world = StandInWorld()
    seed_lab(world)
    return world


def turn(name: SwitchName, *, on: bool, environment: str = "staging") -> LabSwitch:
    return set_switch(name=name, environment=environment, on=on, actor=ACTOR)


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        (SwitchName.FLAG_MOVED, GatewayMode.OWN_TABLE),
        (SwitchName.BAD_ROUTE, GatewayMode.CLUSTER_MISSING),
        (SwitchName.METRICS_DOWN, MetricsMode.DOWN),
        (SwitchName.METRICS_SILENT, MetricsMode.SILENT),
    ],
)
def test_follower_switch_turned_on_and_off_is_followed_in_its_environment(world: StandInWorld, name: SwitchName, mode: str) -> None:
    follower = SwitchFollower(world)
    switch = turn(name, on=True)
    assert switch.applied_at is None
    follower.follow()
    assert world.told == [("staging", mode)]
    assert LabSwitch.objects.get().applied_at is not None
    turn(name, on=False)
    follower.follow()
    assert world.told[1:] == [("staging", GatewayMode.FOLLOWING if isinstance(mode, GatewayMode) else MetricsMode.NORMAL)]


def test_follower_sticky_clients_are_followed_and_told_again_when_that_failed(world: StandInWorld) -> None:
    follower = SwitchFollower(world)
    turn(SwitchName.STICKY_CLIENTS, on=True, environment="production")
    world.metrics_answer = False
    follower.follow()
    assert LabSwitch.objects.get().applied_at is None
    world.metrics_answer = True
    follower.follow()
    follower.follow()
    assert world.told == [("production", True)] * 2
    assert LabSwitch.objects.get().applied_at is not None
    turn(SwitchName.STICKY_CLIENTS, on=False, environment="production")
    follower.follow()
    assert world.told[2:] == [("production", False)]


def test_follower_nothing_switched_tells_nothing(world: StandInWorld) -> None:
    follower = SwitchFollower(world)
    follower.follow()
    follower.follow()
    assert world.told == []


def test_follower_gateway_not_ready_is_not_called_applied(world: StandInWorld) -> None:
    follower = SwitchFollower(world)
    switch = turn(SwitchName.FLAG_MOVED, on=True)
    world.gateway_ready = False
    follower.follow()
    switch.refresh_from_db()
    assert switch.applied_at is None
    world.gateway_ready = True
    follower.follow()
    switch.refresh_from_db()
    assert switch.applied_at is not None


def test_follower_metrics_that_did_not_follow_are_told_again(world: StandInWorld) -> None:
    follower = SwitchFollower(world)
    switch = turn(SwitchName.METRICS_DOWN, on=True)
    world.metrics_answer = False
    follower.follow()
    switch.refresh_from_db()
    assert switch.applied_at is None
    world.metrics_answer = True
    follower.follow()
    follower.follow()
    assert world.told == [("staging", MetricsMode.DOWN)] * 2
    switch.refresh_from_db()
    assert switch.applied_at is not None


def test_switch_every_combination_has_one_mode() -> None:
    for size in range(len(SwitchName) + 1):
        for names in itertools.combinations(SwitchName, size):
            on = {name.value for name in names}
            assert (gateway_mode(on) == GatewayMode.FOLLOWING) == (not on & {"flag_moved", "bad_route"})
            assert (metrics_mode(on) == MetricsMode.NORMAL) == (not on & {"metrics_down", "metrics_silent"})
    assert gateway_mode({"flag_moved", "bad_route"}) == GatewayMode.OWN_TABLE
    assert metrics_mode({"metrics_down", "metrics_silent"}) == MetricsMode.DOWN


def test_switch_turned_is_recorded_once(world: StandInWorld) -> None:
    turn(SwitchName.FLAG_MOVED, on=True)
    turn(SwitchName.FLAG_MOVED, on=True)
    event = AuditEvent.objects.get(event="lab.switch_set")
    assert event.data == {"switch": "flag_moved", "environment": "staging", "on": True}
    assert LabSwitch.objects.count() == 1


def test_switch_unknown_name_or_environment_is_refused(world: StandInWorld) -> None:
    Environment.objects.create(slug="elsewhere", name="Elsewhere", kind="staging")
    for name, environment in (("nonsense", "staging"), ("flag_moved", "nowhere"), ("flag_moved", "elsewhere")):
        with pytest.raises(NotFound):
            set_switch(name=name, environment=environment, on=True, actor=ACTOR)
    assert not LabSwitch.objects.exists()


def test_switch_command_without_a_lab_sets_it_and_says_so(world: StandInWorld, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CommandError, match="no lab has followed"):
        call_command("lab_switch", "metrics_down", "on", "--environment", "production", "--wait", "0.2")
    assert LabSwitch.objects.get().is_on
    call_command("lab_switch", "metrics_down", "off", "--environment", "production", "--wait", "0")
    assert not LabSwitch.objects.get().is_on
    assert "when it runs" in capsys.readouterr().out


def test_switch_command_unknown_environment_is_one_sentence(world: StandInWorld) -> None:
    with pytest.raises(CommandError, match="no environment nowhere"):
        call_command("lab_switch", "metrics_down", "on", "--environment", "nowhere")
