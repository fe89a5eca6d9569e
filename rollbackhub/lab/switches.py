"""Setting the lab's switches, and having a running lab follow them."""

from __future__ import annotations

import logging

from django.db import transaction

from rollbackhub.audit.actors import Actor
from rollbackhub.audit.domain.record import record
from rollbackhub.common import clock
from rollbackhub.common.errors import NotFound
from rollbackhub.lab.enums import SwitchName
from rollbackhub.lab.envoy import GatewayMode
from rollbackhub.lab.metrics import MetricsMode
from rollbackhub.lab.models import LabSwitch
from rollbackhub.lab.world import LabWorld
from rollbackhub.registry.models import Environment

logger = logging.getLogger(__name__)


def set_switch(*, name: str, environment: str, on: bool, actor: Actor) -> LabSwitch:
    """Want a fault in an environment (its slug), or want it gone. The lab follows within a second; `applied_at` says when it has.

    Raises NotFound for a switch or an environment that the lab does not have.
    """
    if name not in SwitchName.values:
        raise NotFound(f"There is no lab switch {name}. There are: {', '.join(SwitchName.values)}.", code="switch_not_found")
    with transaction.atomic():
        found = Environment.objects.filter(slug=environment, is_lab=True).first()
        if found is None:
            raise NotFound(f"The lab has no environment {environment}. It plays staging and production once it has run.", code="environment_not_found")
        switch, created = LabSwitch.objects.select_for_update().get_or_create(environment=found, name=name)
        if not created and switch.is_on == on:
            return switch
        switch.is_on, switch.changed_at, switch.applied_at = on, clock.now(), None
        switch.save(update_fields=["is_on", "changed_at", "applied_at"])
        record(
            event="lab.switch_set", actor=actor, subject_type="environment", subject_id=found.pk, data={"switch": name, "environment": environment, "on": on}
        )
        return switch


def gateway_mode(on: set[str]) -> GatewayMode:
    """How a gateway runs with these switches on: a moved flag hides a bad route."""
    if SwitchName.FLAG_MOVED in on:
        return GatewayMode.OWN_TABLE
    return GatewayMode.CLUSTER_MISSING if SwitchName.BAD_ROUTE in on else GatewayMode.FOLLOWING


def metrics_mode(on: set[str]) -> MetricsMode:
    """How the metrics endpoint behaves with these switches on: down hides silent."""
    if SwitchName.METRICS_DOWN in on:
        return MetricsMode.DOWN
    return MetricsMode.SILENT if SwitchName.METRICS_SILENT in on else MetricsMode.NORMAL


class SwitchFollower:
    """Makes a world be as the switches say."""

    def __init__(self, world: LabWorld) -> None:
        self._world = world
        # The traffic process is started with these.
        self._metrics_in_force = dict(world.metrics_modes)
        self._sticky_in_force = dict(world.sticky_clients)

    def follow(self) -> None:
        """Read the switches once and follow them. What does not work now is tried again at the next call. Raises DatabaseError."""
        switches = list(LabSwitch.objects.select_related("environment").filter(environment__slug__in=self._world.environments))
        for environment in self._world.environments:
            mine = [switch for switch in switches if switch.environment.slug == environment]
            followed = self._follow(environment, {switch.name for switch in mine if switch.is_on})
            waiting = [switch for switch in mine if switch.applied_at is None]
            if followed and waiting and self._world.gateway_is_ready(environment):
                self._say_applied(waiting)

    def _follow(self, environment: str, on: set[str]) -> bool:
        self._world.set_gateway_mode(environment, gateway_mode(on))
        return self._follow_metrics(environment, metrics_mode(on)) and self._follow_clients(environment, SwitchName.STICKY_CLIENTS in on)

    def _follow_metrics(self, environment: str, wanted: MetricsMode) -> bool:
        if self._metrics_in_force.get(environment) != wanted:
            if not self._world.set_metrics_mode(environment, wanted):
                return False
            self._metrics_in_force[environment] = wanted
            logger.info("the metrics endpoint of %s: %s", environment, wanted)
        return True

    def _follow_clients(self, environment: str, wanted: bool) -> bool:
        if self._sticky_in_force.get(environment) != wanted:
            if not self._world.set_sticky_clients(environment, wanted):
                return False
            self._sticky_in_force[environment] = wanted
            logger.info("the clients' sessions in %s %s", environment, "hold" if wanted else "have ended")
        return True

    @staticmethod
    def _say_applied(switches: list[LabSwitch]) -> None:
        for switch in switches:
            # Not when it was turned again meanwhile.
            LabSwitch.objects.filter(pk=switch.pk, is_on=switch.is_on, changed_at=switch.changed_at).update(applied_at=clock.now())
