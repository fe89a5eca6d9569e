"""manage.py housekeeper"""

from __future__ import annotations

import signal
from typing import Any

from django.core.management.base import BaseCommand

from rollbackhub.common.heartbeat import start_heartbeat
from rollbackhub.common.housekeeping import Housekeeper


class Command(BaseCommand):
    """Runs the housekeeper until SIGTERM or SIGINT."""

    # Checks would load every page and the whole API, which takes seconds.
    requires_system_checks: list[str] = []
    help = "Does what is due by the clock: approval timers, the watch on held versions, incident records, planned drills, mails."

    def handle(self, *args: Any, **options: Any) -> None:
        """Run."""
        housekeeper = Housekeeper()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: housekeeper.stop())
        heartbeat = start_heartbeat("housekeeper", state=housekeeper.state)
        housekeeper.run()
        heartbeat.stop()
