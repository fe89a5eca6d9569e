"""`manage.py recount_analytics`: reckon the rollups anew from the facts."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from rollbackhub.analytics.domain.recount import recount
from rollbackhub.analytics.models import RunCell, RunFact, RunHistogram
from rollbackhub.common.sentences import counted

SHOWN = 20


class Command(BaseCommand):
    """Exit code 0: all is equal, or was mended; 1: something differs, with `--check`."""

    help = "Reckon the rollups of analytics anew from the facts, say what differs, and mend it."

    def add_arguments(self, parser: CommandParser) -> None:
        """`--check` changes nothing."""
        parser.add_argument("--check", action="store_true", help="only say what differs")

    def handle(self, *args: Any, **options: Any) -> None:
        """Compare, mend, print."""
        found = recount(mend=not options["check"])
        if not found:
            cells, histograms = counted(RunCell.objects.count(), "cell"), counted(RunHistogram.objects.count(), "histogram")
            self.stdout.write(f"The rollups say what the facts say: {counted(RunFact.objects.count(), 'run')} in {cells} and {histograms}.")
            return
        rows = f"{counted(len(found), 'row')} of the rollups"
        if options["check"]:
            verb = "differs" if len(found) == 1 else "differ"
            self.stdout.write(f"{rows} {verb} from the facts. Mend it: manage.py recount_analytics")
        else:
            verb = "differed and was" if len(found) == 1 else "differed and were"
            self.stdout.write(f"{rows} {verb} mended.")
        for difference in found[:SHOWN]:
            self.stdout.write(f"  {difference}")
        if len(found) > SHOWN:
            self.stdout.write(f"  and {len(found) - SHOWN:,} more")
        if options["check"]:
            sys.exit(1)
