"""The lab's main process: seeds the registry, runs the world, follows the switches, starts the first drill."""

from __future__ import annotations

import logging
import threading

from django.db import DatabaseError, InterfaceError, connection

from rollbackhub.common import clock
from rollbackhub.common.config import Config
from rollbackhub.common.errors import RollbackHubError
from rollbackhub.lab.catalogue import ENVIRONMENTS
from rollbackhub.lab.domain.alerting import ensure_alert_hook
from rollbackhub.lab.domain.first_drill import is_first_drill_wanted, start_first_drill
from rollbackhub.lab.domain.seed import seed_lab
from rollbackhub.lab.ports import require_free
from rollbackhub.lab.switches import SwitchFollower
from rollbackhub.lab.world import LabWorld

logger = logging.getLogger(__name__)

LOOK_SECONDS = 0.4
RETRY_SECONDS = 5.0


def world_from_config(config: Config) -> LabWorld:
    """The whole lab, as the settings say."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(config.host, config.host)
    return LabWorld(
        hub_url=f"http://[{host}]:{config.port}" if ":" in host else f"http://{host}:{config.port}",
        base_port=config.lab_base_port,
        directory=config.var / "lab",
        environments=ENVIRONMENTS,
        requests_per_second=config.lab_requests_per_second,
        parts=config.lab_parts,
    )


class LabRunner:
    """Runs until it is stopped. The world goes on while the database is away; seeds and switches wait for it."""

    def __init__(self, world: LabWorld) -> None:
        self._world = world
        self._follower = SwitchFollower(world)
        self._stop = threading.Event()
        self._first_drill_wanted = True
        self._alert_hook_wanted = True
        self._try_drill_at = 0.0

    def stop(self) -> None:
        """Ask it to end."""
        self._stop.set()

    def run(self) -> None:
        """Run until stopped. Raises PortTaken, EnvoyMissing, and Conflict when the registry has other things under the lab's names."""
        require_free(self._world.ports_used)
        for name, why in self._world.missing_parts.items():
            logger.info("the lab's part %s does not run: %s", name, why)
        self._world.prepare()
        if not self._seed():
            return
        with self._world:
            logger.info(
                "the lab plays %s at %g requests/s; users, load and feedback are simulated, gateways, flips and counters are real",
                " and ".join(self._world.environments),
                self._world.requests_per_second,
            )
            while not self._stop.wait(LOOK_SECONDS):
                self._world.follow_parts()
                try:
                    self._follower.follow()
                    self._consider_alert_hook()
                    self._consider_first_drill()
                except (DatabaseError, InterfaceError) as error:
                    self._database_away(error)

    def _seed(self) -> bool:
        """Seed as soon as the database answers and is migrated. False when it was stopped before."""
        while not self._stop.is_set():
            try:
                made = seed_lab(self._world)
            except (DatabaseError, InterfaceError) as error:
                self._database_away(error)
            else:
                logger.info("the lab's registry: %s", ", ".join(made) or "as it was")
                return True
        return False

    def _database_away(self, error: Exception) -> None:
        logger.warning("the database does not answer (%s); trying again", (str(error).strip() or type(error).__name__).splitlines()[0])
        connection.close()
        self._stop.wait(1.0)

    def _consider_alert_hook(self) -> None:
        if self._alert_hook_wanted and ensure_alert_hook(self._world):
            self._alert_hook_wanted = False

    def _consider_first_drill(self) -> None:
        if not self._first_drill_wanted or clock.monotonic() < self._try_drill_at:
            return
        self._first_drill_wanted = is_first_drill_wanted()
        if not self._first_drill_wanted:
            return
        if not self._world.is_ready():
            return
        try:
            drill = start_first_drill()
        except RollbackHubError as error:
            self._try_drill_at = clock.monotonic() + RETRY_SECONDS
            logger.warning("the lab's first drill cannot start yet: %s", error.message)
            return
        if drill is not None:
            self._first_drill_wanted = False
            logger.info("the lab started its first drill: %s", drill.pk)
