"""manage.py tell_the_story [--fast] [--json]"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.db import DatabaseError
from psycopg_pool import PoolTimeout
from rich.console import Console

from rollbackhub.common.errors import RollbackHubError, Unavailable
from rollbackhub.lab.ports import Ports
from rollbackhub.lab.story.paths import rehearse, tell_drilled, tell_undrilled
from rollbackhub.lab.story.report import MEASURED, PLAYED, SIMULATED, PathReport, as_json, table_of
from rollbackhub.lab.story.settling import as_found, find_stage, make_calm, unproven
from rollbackhub.lab.story.stage import ALIAS, Stage, StoryFailed
from rollbackhub.lab.story.teller import FAST, PATIENT, Teller

TOLD, OTHERWISE, COULD_NOT_RUN = 0, 1, 2
WIDTH = 150


class Command(BaseCommand):
    """Plays the chapter's incident twice on the running lab: undrilled, and drilled."""

    # They load every page and cost a third of the start.
    requires_system_checks: list[str] = []
    help = (
        "SIMULATION on the lab: the chapter's 45 minutes without drills against the same incident with them. Real hub, gateways and alerts;"
        " people and their minutes are played. Exit code 0: told, 1: it went otherwise, 2: could not run or was refused."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """The command line."""
        parser.add_argument("--fast", action="store_true", help=f"compress people's minutes {FAST} : 1 instead of {PATIENT} : 1")
        parser.add_argument("--json", action="store_true", help="print one JSON object at the end, and nothing else")
        parser.add_argument("--on-call", default="", metavar="USERNAME", help="whose part is played: the on-call engineer (the first there is)")
        parser.add_argument("--lead", default="", metavar="USERNAME", help="whose part is played: the platform lead (the first there is)")

    def handle(self, *args: Any, **options: Any) -> None:
        """Look whether it may be played here, play it, put the lab back, and say how it was."""
        quiet, compression = options["json"], FAST if options["fast"] else PATIENT
        begun = False
        try:
            stage = find_stage(ports=Ports(settings.CONFIG.lab_base_port), on_call=options["on_call"], lead=options["lead"])
            begun = True
            paths = self._play(stage, compression=compression, quiet=quiet)
        except StoryFailed as failed:
            self._end(OTHERWISE, code="story_failed", sentence=f"It went otherwise than the story. {failed}", as_json=quiet)
        except RollbackHubError as error:
            sentence = f"It went otherwise than the story. {error.message}" if begun else error.message
            self._end(OTHERWISE if begun else COULD_NOT_RUN, code=error.code, sentence=sentence, as_json=quiet)
        except (DatabaseError, PoolTimeout) as error:
            said = (str(error).strip() or type(error).__name__).splitlines()[0]
            away = Unavailable(f"The database does not answer: {said}. Is `make up` running?", code="database")
            self._end(COULD_NOT_RUN, code=away.code, sentence=away.message, as_json=quiet)
        except KeyboardInterrupt:
            self._end(OTHERWISE, code="stopped", sentence="You stopped the story; the lab is as it was found.", as_json=quiet)
        if quiet:
            self.stdout.write(json.dumps(as_json(paths, compression=compression), indent=2))
            return
        console = Console(width=None if sys.stdout.isatty() else WIDTH)
        console.print(table_of(paths))
        for path in paths:
            places = ", ".join(f"{what} {address}" for what, address in path.addresses.items())
            self.stdout.write(f"{path.name}: {path.title}. {path.timeline_lines} lines of timeline, {path.hand_written_lines} written by hand. {places}")
        for heading, what in (("Measured", MEASURED), ("Played", PLAYED), ("Simulated", SIMULATED)):
            self.stdout.write(f"{heading}: {what}.")
        self.stdout.write("The lab is as it was found: weights, checks, switches and holds. What happened stays on the record.")

    def _play(self, stage: Stage, *, compression: int, quiet: bool) -> list[PathReport]:
        """Both paths, one after the other. Raises StoryFailed."""

        def write(text: str) -> None:
            if not quiet:
                self.stdout.write(text)
                self.stdout.flush()

        write(f"SIMULATION. {ALIAS} on the lab: hub, gateways and alerts are real; people are played, and {compression} of their minutes pass in one.")
        write(f"It takes some {4 if compression == FAST else 5} minutes. Parts played: {stage.on_call.username} (on call), {stage.lead.username} (lead).")
        write("story    real     what it is")
        paths: list[PathReport] = []
        with as_found(stage):
            for heading, tell in (("Undrilled", self._undrilled), ("Drilled", self._drilled)):
                write(f"\n{heading}")
                paths.append(tell(stage, lambda: Teller(compression=compression, write=write)))
        return paths

    @staticmethod
    def _undrilled(stage: Stage, begin: Callable[[], Teller]) -> PathReport:
        make_calm(stage, begin())
        with unproven(stage, begin()):
            return tell_undrilled(stage, begin())

    @staticmethod
    def _drilled(stage: Stage, begin: Callable[[], Teller]) -> PathReport:
        make_calm(stage, begin())
        rehearse(stage, begin())
        return tell_drilled(stage, begin())

    def _end(self, exit_code: int, *, code: str, sentence: str, as_json: bool) -> NoReturn:
        if as_json:
            self.stdout.write(json.dumps({"error": {"code": code, "message": sentence}}))
        else:
            self.stderr.write(sentence)
        sys.exit(exit_code)
