"""manage.py lab_switch NAME on|off [--environment staging]"""

from __future__ import annotations

import argparse
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from rollbackhub.audit.actors import system_actor
from rollbackhub.common import clock
from rollbackhub.common.errors import RollbackHubError
from rollbackhub.lab.enums import SwitchName
from rollbackhub.lab.models import LabSwitch
from rollbackhub.lab.switches import set_switch


class Command(BaseCommand):
    """Turns a fault of the lab on or off and waits until the lab has followed."""

    # Checks would load every page and the whole API, which takes seconds and has nothing to do with the lab.
    requires_system_checks: list[str] = []
    help = "Put a fault into the lab, or take it out: " + "; ".join(f"{name.value} ({name.label})" for name in SwitchName)

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Arguments."""
        parser.add_argument("name", choices=SwitchName.values, metavar="NAME", help=", ".join(SwitchName.values))
        parser.add_argument("state", choices=["on", "off"])
        parser.add_argument("--environment", default="staging")
        parser.add_argument("--wait", type=float, default=10, metavar="SECONDS", help="how long to wait for the lab to follow (10; 0: do not wait)")

    def handle(self, *args: Any, **options: Any) -> None:
        """Exit code 0 when the lab has followed (or was not waited for), 1 when not."""
        name, environment, on = options["name"], options["environment"], options["state"] == "on"
        try:
            switch = set_switch(name=name, environment=environment, on=on, actor=system_actor("command line"))
        except RollbackHubError as error:
            raise CommandError(error.message) from error
        deadline = clock.monotonic() + options["wait"]
        while switch.applied_at is None and clock.monotonic() < deadline:
            clock.sleep(0.1)
            switch = LabSwitch.objects.get(pk=switch.pk)
        if switch.applied_at is None and options["wait"] > 0:
            raise CommandError(f"{name} in {environment} is set to {options['state']}, but no lab has followed within {options['wait']:g} s. Is it running?")
        self.stdout.write(f"{name} in {environment} is {options['state']}" + ("." if switch.applied_at else " (the lab follows when it runs)."))
