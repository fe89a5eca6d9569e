"""manage.py drill ALIAS [--environment staging] [--json]"""

from __future__ import annotations

import getpass
import json
import sys
from typing import Any, NoReturn

from django.core.management.base import BaseCommand, CommandParser
from django.db import DatabaseError
from rich.console import Console
from rich.live import Live

from drills.domain.selectors import drill_report, get_drill
from drills.domain.transitions import start_drill
from drills.models import Drill
from rollbackhub.audit.actors import system_actor
from rollbackhub.common import clock
from rollbackhub.common.errors import Conflict, InvalidInput, NotFound, RollbackHubError, Unavailable
from rollbackhub.common.verdict import Verdict
from rollbackhub.executions.domain.transitions import request_cancel
from rollbackhub.executions.enums import ExecutionState
from rollbackhub.executions.progress import progress_table
from rollbackhub.registry.models import Version
from rollbackhub.routing.models import RoutingPolicy

PASSED, NOT_PASSED, COULD_NOT_RUN = 0, 1, 2
LOOK_SECONDS = 0.2


def _lost_sight(drill: Drill, said: str) -> Unavailable:
    """It is in the database, so whoever comes back takes it up."""
    sentence = (
        f"The drill was accepted, and cannot be followed any more: the database does not answer ({said})."
        f" When the hub is back (`make up`), it goes on by itself: drill {drill.pk}, /drills/{drill.pk}/."
    )
    return Unavailable(sentence, code="not_followed", drill_id=str(drill.pk), url=f"/drills/{drill.pk}/")


class Command(BaseCommand):
    """Runs a drill and follows it to its end."""

    help = "Drill the rollback of an alias. Exit code 0: passed, 1: not passed, 2: could not run."

    def add_arguments(self, parser: CommandParser) -> None:
        """The command line."""
        parser.add_argument("alias", help="the alias, e.g. smart-reasoner")
        parser.add_argument("--environment", default="staging", help="its environment (staging)")
        parser.add_argument("--bad-version", default="", help="the version to take out (the one in canary)")
        parser.add_argument("--note", default="", help="why, for the record")
        parser.add_argument("--json", action="store_true", help="print one JSON object at the end, and nothing else")
        parser.add_argument("--wait", type=float, default=60, help="seconds to wait for another execution on the alias to end (60; 0: do not wait)")
        parser.add_argument("--start-within", type=float, default=20, help="seconds in which somebody must pick it up (20)")

    def handle(self, *args: Any, **options: Any) -> None:
        """Start, follow, report."""
        accepted: Drill | None = None
        try:
            accepted = self._start(options)
            drill = self._follow(accepted, quiet=options["json"], start_within=options["start_within"])
            report = drill_report(drill)
        except RollbackHubError as error:
            self._could_not_run(error, as_json=options["json"])
        except DatabaseError as error:
            said = (str(error).strip() or type(error).__name__).splitlines()[0]
            sentence = f"The database does not answer: {said}. Is `make up` running?"
            self._could_not_run(_lost_sight(accepted, said) if accepted else Unavailable(sentence, code="database"), as_json=options["json"])
        if options["json"]:
            self.stdout.write(json.dumps(report, indent=2, default=str))
        else:
            self.stdout.write(f"{drill.execution.get_verdict_display() or drill.execution.get_state_display()}: {drill.execution.outcome}")
        sys.exit(PASSED if drill.execution.verdict == Verdict.PASSED else NOT_PASSED)

    def _start(self, options: dict[str, Any]) -> Drill:
        policy = (
            RoutingPolicy.objects.select_related("environment", "artefact").filter(alias=options["alias"], environment__slug=options["environment"]).first()
        )
        if policy is None:
            known = (
                ", ".join(f"{alias} in {environment}" for alias, environment in RoutingPolicy.objects.values_list("alias", "environment__slug")) or "none yet"
            )
            raise NotFound(f"There is no alias {options['alias']} in {options['environment']}. There are: {known}.", code="policy_not_found")
        bad_version = None
        if options["bad_version"]:
            bad_version = Version.objects.filter(artefact=policy.artefact, label=options["bad_version"]).first()
            if bad_version is None:
                raise InvalidInput(f"{options['bad_version']} is not a version of {policy.artefact.slug}.", code="version_not_in_policy")
        return self._start_when_free(policy, bad_version=bad_version, note=options["note"], wait_seconds=options["wait"])

    def _start_when_free(self, policy: RoutingPolicy, *, bad_version: Version | None, note: str, wait_seconds: float) -> Drill:
        """Start the drill; while another execution holds the alias, wait for its end."""
        actor = system_actor(f"command line ({getpass.getuser()})")
        deadline = clock.monotonic() + wait_seconds
        told = False
        while True:
            try:
                return start_drill(policy=policy, actor=actor, user=None, bad_version=bad_version, note=note)
            except Conflict as conflict:
                if conflict.code != "already_running" or clock.monotonic() >= deadline:
                    raise
                if not told:
                    self.stderr.write(f"{conflict.message} Waiting up to {wait_seconds:g} s.")
                    told = True
            clock.sleep(LOOK_SECONDS)
            policy.refresh_from_db()

    def _follow(self, drill: Drill, *, quiet: bool, start_within: float) -> Drill:
        """Look until it ends. One that nobody picks up in time is cancelled."""
        began = clock.monotonic()
        console = Console(stderr=True, quiet=quiet)
        with Live(console=console, auto_refresh=False, transient=False) as live:
            while True:
                drill = get_drill(drill.pk)
                execution = drill.execution
                if not quiet:
                    live.update(progress_table(execution), refresh=True)
                if not execution.is_active or execution.state == ExecutionState.NEEDS_HUMAN:
                    return drill
                if execution.state == ExecutionState.QUEUED and clock.monotonic() - began > start_within:
                    request_cancel(execution_id=execution.pk, actor=system_actor("command line"), reason="nobody picked it up")
                    sentence = (
                        f"Nobody picked the drill up within {start_within:g} s, so it was cancelled. Are the worker and the sweeper of `make up` running?"
                    )
                    raise Unavailable(sentence, code="not_picked_up")
                clock.sleep(LOOK_SECONDS)

    def _could_not_run(self, error: RollbackHubError, *, as_json: bool) -> NoReturn:
        if as_json:
            self.stdout.write(json.dumps({"error": {"code": error.code, "message": error.message, **error.extra}}, default=str))
        else:
            self.stderr.write(error.message)
        sys.exit(COULD_NOT_RUN)
