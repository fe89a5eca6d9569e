"""manage.py recheck EXECUTION"""

from __future__ import annotations

import sys
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser

from rollbackhub.common.errors import RollbackHubError
from rollbackhub.executions.domain.recheck import list_not_kept, recheck_execution


class Command(BaseCommand):
    """Judges a verification again from its kept samples."""

    help = "Judge an execution's verification again, from the samples that it kept. Exit code 0: the same verdicts, 1: others, 2: not all can be judged."

    def add_arguments(self, parser: CommandParser) -> None:
        """The command line."""
        parser.add_argument("execution", type=UUID, help="the execution's id: a drill's, or that of a rollback's alias")

    def handle(self, *args: Any, **options: Any) -> None:
        """Judge, compare, say."""
        try:
            found = recheck_execution(options["execution"])
            without = list_not_kept(options["execution"])
        except RollbackHubError as error:
            raise CommandError(error.message, returncode=2) from error
        for lost in without:
            self.stderr.write(
                f"Step {lost.attempt.key}, attempt {lost.attempt.number}: recorded as passed, and it kept no looks: it ran before RollbackHub kept"
                " what such a step sees. Nobody can recompute it; this is what was recorded."
            )
            for result in lost.kept:
                self.stderr.write(f"  {result.check_name}: {result.verdict}. {result.sentence}")
        if not found and not without:
            self.stderr.write("This execution kept no looks of a verification.")
        if not found:
            sys.exit(2)
        for attempt in found:
            ended = str(attempt.verdict) if attempt.verdict is not None else "not by its checks alone"
            self.stdout.write(f"Step {attempt.attempt.key}, attempt {attempt.attempt.number}: {attempt.looks} looks, ended: {ended}.")
            for outcome in attempt.outcomes:
                self.stdout.write(f"  {outcome.name}: {outcome.verdict}. {outcome.sentence}")
            for line in attempt.differing:
                self.stdout.write(f"  Not the same: {line}")
            for result in attempt.otherwise:
                self.stdout.write(f"  Recorded otherwise: {result.check_name}: {result.verdict}. {result.sentence}")
            for result in attempt.reworded:
                self.stdout.write(f"  Recorded in other words: {result.check_name}: {result.verdict}. {result.sentence}")
            self.stdout.write("  The same as recorded." if attempt.agrees else "  NOT the same as recorded.")
        sys.exit(1 if not all(attempt.agrees for attempt in found) else 2 if without else 0)
