"""manage.py readiness [ALIAS…] [--environment production] [--fail-on not_ready|at_risk] [--json]"""

from __future__ import annotations

import json
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import DatabaseError
from rich.console import Console
from rich.table import Table

from rollbackhub.common.errors import NotFound, RollbackHubError, Unavailable
from rollbackhub.readiness.domain.report import report_readiness
from rollbackhub.readiness.enums import ReadinessState
from rollbackhub.registry.domain.selectors import get_environment
from rollbackhub.routing.models import RoutingPolicy

FINE, NOT_FINE, COULD_NOT_TELL = 0, 1, 2
FAIL_ON = [ReadinessState.NOT_READY.value, ReadinessState.AT_RISK.value]


class Command(BaseCommand):
    """Says whether aliases could be rolled back now; fit to stop a CI."""

    help = "Could these aliases be rolled back now? Exit code 0: fine, 1: one is as bad as --fail-on says, 2: could not tell."

    def add_arguments(self, parser: CommandParser) -> None:
        """The command line."""
        parser.add_argument("aliases", nargs="*", metavar="ALIAS", help="the aliases (all of the environment)")
        parser.add_argument("--environment", default="production", help="their environment (production)")
        parser.add_argument("--fail-on", choices=FAIL_ON, help="exit with 1 when an alias is in this state or a worse one")
        parser.add_argument("--json", action="store_true", help="print one JSON object, and nothing else")

    def handle(self, *args: Any, **options: Any) -> None:
        """Judge afresh, and say so."""
        try:
            found = report_readiness(_policies(options["aliases"], options["environment"]))
        except RollbackHubError as error:
            self._could_not_tell(error, as_json=options["json"])
        except DatabaseError as error:
            sentence = f"The database does not answer: {str(error).strip().splitlines()[0]}. Is `make up` running?"
            self._could_not_tell(Unavailable(sentence, code="database"), as_json=options["json"])
        states = list(ReadinessState)
        bad = [row for row in found if options["fail_on"] and states.index(row["state"]) <= states.index(options["fail_on"])]
        if options["json"]:
            self.stdout.write(json.dumps({"aliases": found, "failed": [row["alias"] for row in bad]}, indent=2, default=_plain))
        else:
            self._show(found)
        sys.exit(NOT_FINE if bad else FINE)

    def _show(self, found: list[dict[str, Any]]) -> None:
        table = Table("Alias", "State", "Why, and what to do")
        for row in sorted(found, key=lambda row: (list(ReadinessState).index(row["state"]), row["alias"])):
            why = "\n".join(f"{reason['sentence']} {reason['remedy']}" for reason in row["reasons"]) or row["proof"]["in_words"]
            table.add_row(row["alias"], ReadinessState(row["state"]).label, why)
        console = Console(width=None if sys.stdout.isatty() else 160)
        with console.capture() as capture:
            console.print(table)
        self.stdout.write(capture.get())

    def _could_not_tell(self, error: RollbackHubError, *, as_json: bool) -> None:
        if as_json:
            self.stdout.write(json.dumps({"error": {"code": error.code, "message": error.message}}))
        else:
            self.stderr.write(error.message)
        sys.exit(COULD_NOT_TELL)


def _policies(aliases: list[str], environment: str) -> list[RoutingPolicy]:
    """In the order of the names. Raises NotFound."""
    place = get_environment(environment)
    found = RoutingPolicy.objects.filter(environment=place).select_related("environment", "artefact").order_by("alias")
    if aliases:
        found = found.filter(alias__in=aliases)
        missing = sorted(set(aliases) - {policy.alias for policy in found})
        if missing:
            raise NotFound(f"There is no alias {', '.join(missing)} in {environment}.", code="policy_not_found")
    policies = list(found)
    if not policies:
        raise NotFound(f"There is no alias in {environment} yet, so there is nothing to tell.", code="no_alias")
    return policies


def _plain(value: Any) -> str:
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
