"""`manage.py verify_audit`: recompute the audit log."""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from rollbackhub.audit.domain.verify import LogReport, verify_log


class Command(BaseCommand):
    """Exit code 0: everything fits; 1: something does not, and the first such thing is named."""

    help = "Recompute the audit log from its events, name the first that does not fit, and say how many are not yet sequenced."

    def add_arguments(self, parser: CommandParser) -> None:
        """`--json` prints one object."""
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        """Verify, print, and exit."""
        report = verify_log()
        self.stdout.write(_as_json(report) if options["json"] else _as_text(report))
        if not report.ok:
            sys.exit(1)


def _as_json(report: LogReport) -> str:
    return json.dumps({"ok": report.ok, **dataclasses.asdict(report)})


def _as_text(report: LogReport) -> str:
    waiting = f"{report.not_sequenced} not yet sequenced."
    if report.misfit is None:
        root = f" Root {report.root_hash}." if report.root_hash else ""
        return f"The audit log verifies: {report.leaves} events, {report.tree_heads} tree heads.{root} {waiting}"
    found = report.misfit
    lines = [f"The audit log does NOT verify ({found.kind}). {report.leaves} events before it fit.", found.sentence]
    if found.expected:
        lines.append(f"Expected {found.expected}, found {found.found}.")
    return "\n".join([*lines, waiting])
