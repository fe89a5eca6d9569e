"""manage.py lab"""

from __future__ import annotations

import signal
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from rollbackhub.common.errors import RollbackHubError
from rollbackhub.common.heartbeat import start_heartbeat
from rollbackhub.lab.envoy import EnvoyMissing
from rollbackhub.lab.ports import PortTaken
from rollbackhub.lab.runner import LabRunner, world_from_config


class Command(BaseCommand):
    """Runs the lab until SIGTERM or SIGINT; it starts and supervises its children."""

    # Checks would load every page and the whole API, which takes seconds and has nothing to do with the lab.
    requires_system_checks: list[str] = []
    help = "A small real staging world: two gateways (Envoy), two model servers, and simulated users."

    def handle(self, *args: Any, **options: Any) -> None:
        """Run."""
        runner = LabRunner(world_from_config(settings.CONFIG))
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: runner.stop())
        start_heartbeat("lab")
        try:
            runner.run()
        except (PortTaken, EnvoyMissing, RollbackHubError) as error:
            raise CommandError(str(error), returncode=1) from error
