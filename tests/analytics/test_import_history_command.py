"""`manage.py import_history`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from rollbackhub.analytics.history_rules import COLUMNS
from rollbackhub.analytics.models import HistoryImport, RunFact
from rollbackhub.audit.models import AuditEvent
from tests.analytics.history_files import DRILL, GONE, ROLLBACK, csv_of, make_world
from tests.factories.fixtures import Cast


@pytest.fixture
def run(cast: Cast, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run the command on a file of these bytes: exit code, output, errors."""
    make_world()

    def call(content: bytes | None, *arguments: str, account: str = "lead") -> tuple[int, str, str]:
        path = tmp_path / "past.csv"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(SystemExit) as ended:
            call_command("import_history", str(path), "--as", account, *arguments)
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return call


def test_dry_run_then_import(run: Any) -> None:
    content = csv_of(DRILL, ROLLBACK, GONE)
    assert run(content, "--dry-run")[:2] == (0, "3 rows could be imported. Nothing was written.\n")
    assert not HistoryImport.objects.exists()
    assert run(content, "--note", "From the wiki")[:2] == (0, "Imported: 3 past runs.\n")
    made = HistoryImport.objects.get()
    assert (made.file_name, made.note, RunFact.objects.count()) == ("past.csv", "From the wiki", 3)
    assert AuditEvent.objects.get().actor_label.startswith("Lee Lead by command line")
    code, _, said = run(content)
    assert code == 2
    assert "This very file was imported on" in said


@pytest.mark.parametrize("arguments", [(), ("--dry-run",)])
def test_wrong_rows_are_named_and_nothing_is_imported(arguments: tuple[str, ...], run: Any) -> None:
    code, _, said = run(csv_of(DRILL, {**ROLLBACK, "verdict": "great"}), *arguments)
    assert code == 1
    assert "row 3, verdict: great is none of passed" in said
    assert not HistoryImport.objects.exists()


def test_json_has_every_problem(run: Any) -> None:
    code, out, _ = run(csv_of({**ROLLBACK, "verdict": "great"}), "--json")
    report = json.loads(out)
    assert (code, report["error"]["code"], [(problem["row"], problem["column"]) for problem in report["problems"]]) == (1, "history_refused", [(2, "verdict")])
    code, out, _ = run(csv_of(DRILL), "--json")
    assert (code, json.loads(out)["rows"]) == (0, 1)


def test_account_that_may_not_and_file_that_is_not_there(run: Any) -> None:
    assert run(csv_of(DRILL), account="oncall")[0] == 2
    assert run(csv_of(DRILL), account="nobody")[0] == 2
    assert not RunFact.objects.exists()


def test_file_that_is_not_there(run: Any) -> None:
    code, _, said = run(None)
    assert code == 2
    assert "past.csv cannot be read: No such file or directory." in said


def test_stated_zone(run: Any) -> None:
    assert run(csv_of({**DRILL, "decided_at": "2026-03-02 10:00"}), "--zone", "Asia/Kolkata")[0] == 0
    assert RunFact.objects.get().at.isoformat() == "2026-03-02T04:30:00+00:00"


def test_template_is_printed_without_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("import_history", "--template")
    assert capsys.readouterr().out.startswith(",".join(COLUMNS))
