"""`manage.py sequencer`."""

from __future__ import annotations

import signal
from typing import Any

from django.core.management.base import BaseCommand

from rollbackhub.audit.sequencer import Sequencer
from rollbackhub.common.heartbeat import start_heartbeat


class Command(BaseCommand):
    """Runs the sequencer until SIGTERM or SIGINT."""

    # Checks would load every page and the whole API, which takes seconds.
    requires_system_checks: list[str] = []
    help = "Gives each committed audit event its place in the Merkle log, within seconds."
    # It starts also while the database is away, and waits for it.
    requires_migrations_checks = False

    def handle(self, *args: Any, **options: Any) -> None:
        """Run."""
        sequencer = Sequencer()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: sequencer.stop())
        heartbeat = start_heartbeat("sequencer", state=sequencer.state)
        sequencer.run()
        heartbeat.stop()
