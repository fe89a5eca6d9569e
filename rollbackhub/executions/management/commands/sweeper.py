"""manage.py sweeper"""

from __future__ import annotations

import signal
from typing import Any

from django.core.management.base import BaseCommand

from rollbackhub.common.heartbeat import start_heartbeat
from rollbackhub.executions.sweeper import Sweeper


class Command(BaseCommand):
    """Runs the sweeper until SIGTERM or SIGINT."""

    # Checks would load every page and the whole API, which takes seconds.
    requires_system_checks: list[str] = []
    help = "Calls workers for executions that are due, and runs those that nobody claims."

    def handle(self, *args: Any, **options: Any) -> None:
        """Run."""
        sweeper = Sweeper()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: sweeper.stop())
        heartbeat = start_heartbeat("sweeper", state=sweeper.state)
        sweeper.run()
        heartbeat.stop()
