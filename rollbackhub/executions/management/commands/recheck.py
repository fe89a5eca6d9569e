"""manage.py recheck EXECUTION"""

from __future__ import annotations

import sys
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser

from rollbackhub.common.errors import RollbackHubError
from rollbackhub.executions.domain.recheck import recheck_execution


class Command(BaseCommand):
    """Judges a verification again from its kept samples."""

    help = "Judge an execution's verification again, from the samples that it kept. Exit code 0: the same verdicts, 1: others, 2: nothing to judge."

    def add_arguments(self, parser: CommandParser) -> None:
        """The command line."""
        parser.add_argument("execution", type=UUID, help="the execution's id: a drill's, or that of a rollback's alias")

    def handle(self, *args: Any, **options: Any) -> None:
        """Judge, compare, say."""
        try:
            found = recheck_execution(options["execution"])
        except RollbackHubError as error:
            raise CommandError(error.message, returncode=2) from error
        if not found:
            self.stderr.write("This execution kept no looks of a verification.")
            sys.exit(2)
        for attempt in found:
            ended = str(attempt.verdict) if attempt.verdict is not None else "not by its checks alone"
            self.stdout.write(f"Step {attempt.attempt.key}, attempt {attempt.attempt.number}: {attempt.looks} looks, ended: {ended}.")
            for outcome in attempt.outcomes:
                self.stdout.write(f"  {outcome.name}: {outcome.verdict}. {outcome.sentence}")
            for line in attempt.differing:
                self.stdout.write(f"  Not the same: {line}")
            recorded = {result.check_name: result for result in attempt.kept}
            for outcome in attempt.outcomes:
                result = recorded.get(outcome.name)
                if result is not None and (result.verdict, result.sentence) != (outcome.verdict, outcome.sentence):
                    self.stdout.write(f"  Recorded otherwise: {result.check_name}: {result.verdict}. {result.sentence}")
            self.stdout.write("  The same as recorded." if attempt.agrees else "  NOT the same as recorded.")
        sys.exit(0 if all(attempt.agrees for attempt in found) else 1)
