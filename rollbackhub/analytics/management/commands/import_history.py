"""manage.py import_history FILE [--dry-run] [--zone Asia/Kolkata] [--note …] [--as USERNAME] [--json] | --template"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, NoReturn

from django.core.management.base import BaseCommand, CommandParser
from django.db import DatabaseError

from rollbackhub.analytics.domain.history_import import HistoryFile, import_history, preview_history, template_csv
from rollbackhub.common.csv_file import MAX_BYTES
from rollbackhub.common.errors import InvalidInput, RollbackHubError, Unavailable
from rollbackhub.common.sentences import counted
from rollbackhub.rollbacks.management.principal import actor_by_command_line, choose_account

DONE, REFUSED, COULD_NOT_RUN = 0, 1, 2


class Command(BaseCommand):
    """Imports past drills and rollbacks from a CSV file."""

    help = "Import past drills and rollbacks from a CSV file, all of it or nothing. Exit code 0: imported (or could be), 1: rows are wrong, 2: could not run."

    def add_arguments(self, parser: CommandParser) -> None:
        """The command line."""
        parser.add_argument("file", nargs="?", type=Path, metavar="FILE", help="the CSV file, in UTF-8")
        parser.add_argument("--dry-run", action="store_true", help="only say what each row would do, and write nothing")
        parser.add_argument("--zone", default="", help="the time zone of times that name none, e.g. Asia/Kolkata")
        parser.add_argument("--note", default="", help="where the file comes from")
        parser.add_argument("--as", dest="account", default="", metavar="USERNAME", help="the account that imports (ROLLBACKHUB_AS, else yours)")
        parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
        parser.add_argument("--template", action="store_true", help="print a file to fill in, and do nothing else")

    def handle(self, *args: Any, **options: Any) -> None:
        """Read, import, report."""
        if options["template"]:
            self.stdout.write(template_csv(), ending="")
            return
        as_json = options["json"]
        try:
            account, _ = choose_account(named=options["account"])
            wanted: dict[str, Any] = {"file": self._read(options), "account": account, "actor": actor_by_command_line(account)}
            if options["dry_run"]:
                preview = preview_history(**wanted)
                report: dict[str, Any] = {"rows": len(preview.rows), "importable": not preview.wrong, "problems": preview.problems}
                self._report(report, f"{counted(len(preview.rows), 'row')} could be imported. Nothing was written.", as_json=as_json)
            else:
                made = import_history(**wanted)
                self._report({"id": str(made.pk), "rows": made.rows, "problems": []}, f"Imported: {counted(made.rows, 'past run')}.", as_json=as_json)
        except RollbackHubError as error:
            self._refused(error, as_json=as_json)
        except DatabaseError as error:
            sentence = f"The database does not answer: {str(error).strip().splitlines()[0]}. Is `make up` running?"
            self._refused(Unavailable(sentence, code="database"), as_json=as_json)

    def _read(self, options: dict[str, Any]) -> HistoryFile:
        """The file. Raises InvalidInput."""
        path = options["file"]
        if path is None:
            raise InvalidInput("Name the file to import, or print one to fill in with --template.", code="no_file")
        try:
            with path.open("rb") as file:
                # One byte more than may be is enough to refuse it.
                content = file.read(MAX_BYTES + 1)
        except OSError as error:
            raise InvalidInput(f"{path} cannot be read: {error.strerror}.", code="no_file") from error
        return HistoryFile(content=content, name=path.name, zone=options["zone"], note=options["note"])

    def _report(self, report: dict[str, Any], done: str, *, as_json: bool) -> None:
        problems = report["problems"]
        if as_json:
            self.stdout.write(json.dumps(report, indent=2))
        elif problems:
            self._print(problems)
        else:
            self.stdout.write(done)
        sys.exit(REFUSED if problems else DONE)

    def _print(self, problems: list[dict[str, Any]]) -> None:
        for problem in problems:
            where = f"row {problem['row']}" + (f", {problem['column']}" if problem["column"] else "")
            self.stderr.write(f"{where}: {problem['sentence']}")

    def _refused(self, error: RollbackHubError, *, as_json: bool) -> NoReturn:
        problems: Any = error.extra.get("problems", [])
        if as_json:
            self.stdout.write(json.dumps({"error": {"code": error.code, "message": error.message}, "problems": problems}, indent=2))
        else:
            self._print(problems)
            self.stderr.write(error.message)
        sys.exit(REFUSED if problems else COULD_NOT_RUN)
