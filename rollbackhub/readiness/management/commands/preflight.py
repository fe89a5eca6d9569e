"""manage.py preflight [--environment production] [--json]"""

from __future__ import annotations

import getpass
import json
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import DatabaseError
from rich.console import Console
from rich.table import Table

from rollbackhub.audit.actors import system_actor
from rollbackhub.common import clock
from rollbackhub.common.errors import RollbackHubError, Unavailable
from rollbackhub.readiness.domain.preflight import claim_run, request_run, run_preflight
from rollbackhub.readiness.domain.preflight_selectors import list_open_findings
from rollbackhub.readiness.models import PreflightFinding, PreflightRun

NOTHING_FOUND, FOUND, COULD_NOT_RUN = 0, 1, 2
WAIT_SECONDS = 240.0
LOOK_SECONDS = 0.2
WIDTH = 180
"""Columns of the table where the terminal says nothing of its own."""


class Command(BaseCommand):
    """Runs the continuous preflight now."""

    help = "Check every live path now, without acting. Exit code 0: nothing found, 1: findings, 2: could not run (all of it)."

    def add_arguments(self, parser: CommandParser) -> None:
        """The command line."""
        parser.add_argument("--environment", help="this environment only")
        parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run, print, exit."""
        try:
            runs = self._run(options["environment"])
            findings = list(list_open_findings(environments=[run.pk for run in runs]))
        except RollbackHubError as error:
            self._could_not_run(error, as_json=options["json"])
        except DatabaseError as error:
            sentence = f"The database does not answer: {str(error).strip().splitlines()[0]}. Is `make up` running?"
            self._could_not_run(Unavailable(sentence, code="database"), as_json=options["json"])
        if options["json"]:
            report = {"runs": [_run_report(run) for run in runs], "findings": [_finding_report(finding) for finding in findings]}
            self.stdout.write(json.dumps(report, indent=2))
        else:
            self._print(runs, findings)
        skipped = any(run.skipped for run in runs)
        sys.exit(FOUND if findings else COULD_NOT_RUN if skipped else NOTHING_FOUND)

    def _run(self, environment: str | None) -> list[PreflightRun]:
        """Run each environment here, or wait for the process that is at it."""
        runs = request_run(environment=environment, actor=system_actor(f"command line ({getpass.getuser()})"))
        return [self._run_one(run) for run in runs]

    def _run_one(self, run: PreflightRun) -> PreflightRun:
        asked_at, deadline = clock.now(), clock.monotonic() + WAIT_SECONDS
        while True:
            claim = claim_run(environment_id=run.pk)
            if claim is not None:
                run_preflight(claim)
            found = PreflightRun.objects.select_related("environment").get(pk=run.pk)
            if found.finished_at is not None and found.started_at is not None and found.started_at >= asked_at:
                return found
            if clock.monotonic() >= deadline:
                raise Unavailable(f"The preflight of {run.environment.slug} did not end within {WAIT_SECONDS:g} s.", code="preflight_not_ended")
            clock.sleep(LOOK_SECONDS)

    def _print(self, runs: list[PreflightRun], findings: list[PreflightFinding]) -> None:
        if findings:
            table = Table("Environment", "Alias", "Code", "Subject", "Expected", "Found", "First seen (UTC)")
            for finding in findings:
                alias = finding.policy.alias if finding.policy else "(all)"
                first = f"{finding.first_seen_at:%Y-%m-%d %H:%M}"
                table.add_row(finding.environment.slug, alias, finding.code, finding.subject, finding.expected, finding.found, first)
            console = Console(width=None if sys.stdout.isatty() else WIDTH, markup=False, emoji=False, highlight=False)
            with console.capture() as captured:
                console.print(table)
            self.stdout.write(captured.get())
        for run in runs:
            for line in run.skipped:
                self.stderr.write(f"{run.environment.slug}, not checked: {line}")
            count = sum(finding.environment_id == run.pk for finding in findings)
            self.stdout.write(f"{run.environment.slug}: {run.paths} {'path' if run.paths == 1 else 'paths'} checked, {count or 'no'} open findings.")
        if not runs:
            self.stdout.write("There is no environment with an alias yet.")

    def _could_not_run(self, error: RollbackHubError, *, as_json: bool) -> None:
        if as_json:
            self.stdout.write(json.dumps({"error": {"code": error.code, "message": error.message, **error.extra}}, default=str))
        else:
            self.stderr.write(error.message)
        sys.exit(COULD_NOT_RUN)


def _run_report(run: PreflightRun) -> dict[str, Any]:
    return {
        "environment": run.environment.slug,
        "state": run.state,
        "started_at": run.started_at.isoformat() if run.started_at else None,
        "finished_at": run.finished_at.isoformat() if run.finished_at else None,
        "paths": run.paths,
        "skipped": run.skipped,
    }


def _finding_report(finding: PreflightFinding) -> dict[str, Any]:
    return {
        "environment": finding.environment.slug,
        "alias": finding.policy.alias if finding.policy else None,
        "check": finding.check_name,
        "code": finding.code,
        "subject": finding.subject,
        "expected": finding.expected,
        "found": finding.found,
        "remedy": finding.remedy,
        "first_seen_at": finding.first_seen_at.isoformat(),
        "last_seen_at": finding.last_seen_at.isoformat(),
    }
