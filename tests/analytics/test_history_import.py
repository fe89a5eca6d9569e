"""Past runs from a CSV file: shown row by row, then all of it or nothing, marked as imported, never proof, and taken back whole."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

import pytest
from django.core import signing

from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.accounts.models import User
from rollbackhub.analytics.domain import history_import
from rollbackhub.analytics.domain.history_import import (
    MAX_ROWS,
    HistoryFile,
    Preview,
    confirm_history,
    get_import,
    import_history,
    list_imported_runs,
    preview_history,
    take_back_import,
)
from rollbackhub.analytics.models import HistoryImport, ImportedRun, RunFact
from rollbackhub.audit.models import AuditEvent
from rollbackhub.common.csv_file import MAX_BYTES
from rollbackhub.common.errors import Conflict, Forbidden, InvalidInput, NotFound
from rollbackhub.readiness.domain.report import report_readiness
from rollbackhub.routing.models import RoutingPolicy
from tests.analytics.history_files import DRILL, GONE, ROLLBACK, csv_of, make_world
from tests.databases import FreshDatabase
from tests.factories.fixtures import Cast, make_cast
from tests.factories.registry import ArtefactFactory
from tests.threads import at_once

FILE = csv_of(DRILL, ROLLBACK, GONE)


@pytest.fixture
def policy(db: None) -> RoutingPolicy:
    """The world that the files are about; production's alias."""
    return make_world()


def preview(account: User, content: bytes, **file: str) -> Preview:
    """What a file would bring in."""
    return preview_history(file=HistoryFile(content=content, name="past.csv", **file), account=account, actor=actor_of(account))


def bring_in(account: User, content: bytes, **file: str) -> HistoryImport:
    """Import it."""
    return import_history(file=HistoryFile(content=content, name="past.csv", **file), account=account, actor=actor_of(account))


def problems(account: User, content: bytes, **file: str) -> list[tuple[int, str, str]]:
    """Row, column and sentence of all that is wrong."""
    return [(row.number, problem.column, problem.sentence) for row in preview(account, content, **file).rows for problem in row.problems]


def test_preview_says_what_each_row_is_and_writes_nothing(policy: RoutingPolicy, cast: Cast) -> None:
    shown = preview(cast.lead, FILE)
    assert [(row.number, row.run and row.run.kind, row.place and row.place.policy is not None) for row in shown.rows] == [
        (2, "drill", True),
        (3, "rollback", True),
        (4, "drill", False),
    ]
    assert shown.counts == {"drill": 2, "rollback": 1}
    assert shown.token
    assert not HistoryImport.objects.exists()
    assert not RunFact.objects.exists()
    assert not AuditEvent.objects.exists()


def test_confirm_imports_what_was_shown_with_its_audit_record(policy: RoutingPolicy, cast: Cast) -> None:
    made = confirm_history(token=preview(cast.lead, FILE, note="From the wiki").token, account=cast.lead, actor=actor_of(cast.lead))
    assert (made.file_name, made.rows, made.note, made.imported_by) == ("past.csv", 3, "From the wiki", cast.lead)
    drill, rollback, gone = [run.run_fact for run in list_imported_runs(made)]
    assert drill.policy is not None
    assert rollback.imported is not None
    assert (drill.source, drill.kind, drill.alias, drill.policy.environment.slug, drill.rollback_seconds) == ("imported", "drill", "reasoner", "staging", 240.0)
    assert (rollback.policy, rollback.artefact, rollback.team, rollback.change_type) == (policy, policy.artefact, policy.artefact.team, "model")
    assert (rollback.at, rollback.month) == (dt.datetime(2026, 3, 14, 1, 31, tzinfo=dt.UTC), dt.date(2026, 3, 1))
    assert (rollback.detect_seconds, rollback.authorise_seconds, rollback.hit, rollback.exposure) == (360.0, 540.0, False, 18200)
    assert (rollback.authority, rollback.authorised_how, rollback.outcome, rollback.execution) == ("on_call", "own", "verified", None)
    assert rollback.imported.reference == "INC-204"
    assert (gone.policy, gone.artefact.slug, gone.verdict, gone.rollback_seconds) == (None, "summary-prompt", "failed", None)
    (event,) = AuditEvent.objects.all()
    assert (event.event, event.actor_label, event.subject_id) == ("history.imported", "Lee Lead", str(made.pk))
    assert event.data == {"file_name": "past.csv", "sha256": made.digest, "rows": 3, "by_kind": {"drill": 2, "rollback": 1}}


def test_imported_run_is_never_proof(policy: RoutingPolicy, cast: Cast) -> None:
    staging = RoutingPolicy.objects.get(environment__slug="staging")
    before = [report["proof"] | {"rollbackable": report["rollbackable"]} for report in report_readiness([policy, staging])]
    bring_in(cast.lead, csv_of({**DRILL, "decided_at": "2026-11-20T10:00:00Z"}, ROLLBACK))
    assert RunFact.objects.filter(policy__in=[policy, staging], verdict="passed").count() == 2
    after = [report["proof"] | {"rollbackable": report["rollbackable"]} for report in report_readiness([policy, staging])]
    assert [(proof["state"], proof["run"], proof["rollbackable"]) for proof in after] == [("missing", None, False)] * 2
    assert after == before


def test_same_file_twice_is_refused_by_its_digest(policy: RoutingPolicy, cast: Cast) -> None:
    made = bring_in(cast.lead, FILE)
    for act in (preview, bring_in):
        with pytest.raises(Conflict) as refused:
            act(cast.admin, FILE, zone="Europe/Berlin")
        assert refused.value.code == "history_imported_already"
        assert refused.value.extra["import_id"] == str(made.pk)
    assert RunFact.objects.count() == 3


def test_same_run_in_another_file_is_named_with_its_row(policy: RoutingPolicy, cast: Cast) -> None:
    bring_in(cast.lead, FILE)
    other = csv_of({**DRILL, "decided_at": "2026-04-02T10:00:00Z"}, {**ROLLBACK, "decided_at": "2026-03-14T02:31:00+01:00", "note": "told again"})
    assert problems(cast.lead, other) == [(3, "decided_at", "This run is here already: its kind, alias, environment and decision. Take the row out.")]


def test_same_run_twice_in_one_file_names_the_first_row(policy: RoutingPolicy, cast: Cast) -> None:
    ((row, column, sentence),) = problems(cast.lead, csv_of(DRILL, {**DRILL, "decided_at": "2026-03-02T11:00:00+01:00"}))
    assert (row, column) == (3, "decided_at")
    assert "Row 2 tells of the same run" in sentence


@pytest.mark.parametrize(
    ("changes", "column", "sentence"),
    [
        ({"environment": "moon"}, "environment", "There is no environment moon; there are: production, staging."),
        ({"environment": ""}, "environment", "Say in which environment it ran"),
        ({"alias": ""}, "alias", "Say of which alias it was."),
        ({"alias": "a b"}, "alias", "An alias has no spaces"),
        ({"alias": "x" * 121}, "alias", "120 characters at most"),
        ({"alias": "older"}, "artefact", "There is no alias older in staging any more, or not yet: name its artefact."),
        ({"artefact": "unknown"}, "artefact", "There is no artefact unknown."),
        ({"artefact": "summary-prompt"}, "artefact", "reasoner is an alias of reasoner-model, not of summary-prompt."),
        ({"kind": "rollback"}, "environment", "staging is not production: what ran there was a drill or a rehearsal."),
        ({"environment": "production"}, "environment", "production is production: what ran there was a rollback or a roll-forward, not a drill."),
        ({"kind": "rehearsal", "environment": "production"}, "environment", "not a drill."),
    ],
)
def test_row_whose_place_is_wrong_is_named(changes: dict[str, str], column: str, sentence: str, policy: RoutingPolicy, cast: Cast) -> None:
    ((row, found, said),) = problems(cast.lead, csv_of(GONE, DRILL | changes))
    assert (row, found) == (3, column)
    assert sentence in said


def test_row_of_another_width_is_named(policy: RoutingPolicy, cast: Cast) -> None:
    text = b"kind,alias,environment,decided_at,verdict\ndrill,reasoner,staging,2026-03-02T10:00:00Z,failed,too,many\ndrill\n"
    assert [(row, column) for row, column, _ in problems(cast.lead, text)] == [(2, ""), (3, "")]


def test_file_with_one_wrong_row_brings_in_nothing_and_tells_every_row(policy: RoutingPolicy, cast: Cast) -> None:
    content = csv_of(DRILL, {**ROLLBACK, "verdict": "great"}, {**GONE, "artefact": ""})
    shown = preview(cast.lead, content)
    assert (shown.token, [row.number for row in shown.wrong]) == ("", [3, 4])
    with pytest.raises(InvalidInput) as refused:
        bring_in(cast.lead, content)
    assert refused.value.code == "history_refused"
    assert list(refused.value.fields) == ["row 3", "row 4"]
    assert refused.value.extra["problems"] == shown.problems
    assert not HistoryImport.objects.exists()
    assert not AuditEvent.objects.exists()


def test_nothing_is_left_when_writing_the_facts_fails(policy: RoutingPolicy, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(**kwargs: Any) -> None:
        raise RuntimeError("the database is gone")

    monkeypatch.setattr(history_import, "record", broken)
    with pytest.raises(RuntimeError, match="the database is gone"):
        bring_in(cast.lead, FILE)
    assert not HistoryImport.objects.exists()
    assert not ImportedRun.objects.exists()
    assert not RunFact.objects.exists()


@pytest.mark.parametrize("cell", ["=HYPERLINK(1)", "+1", "-1", "@SUM(A1)", "=cmd|' /C calc'!A0", "<script>alert(1)</script>"])
def test_cell_that_looks_like_a_formula_stays_the_text_that_it_is(cell: str, policy: RoutingPolicy, cast: Cast) -> None:
    made = bring_in(cast.lead, csv_of({**DRILL, "reference": cell, "note": cell}))
    run = made.runs.get()
    assert (run.reference, run.note) == (cell, cell)


@pytest.mark.parametrize(
    "change", [lambda content: b"\xef\xbb\xbf" + content, lambda content: content.replace(b"\n", b"\r\n"), lambda content: content.replace(b",", b";")]
)
def test_file_as_spreadsheets_write_it(change: Any, policy: RoutingPolicy, cast: Cast) -> None:
    content = change(FILE)
    made = confirm_history(token=preview(cast.lead, content).token, account=cast.lead, actor=actor_of(cast.lead))
    assert made.rows == 3
    with pytest.raises(Conflict):
        preview(cast.lead, content)


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        (b"", "file_empty", "Its first row names the columns: kind, alias"),
        (csv_of(), "file_empty", "Put one row for each past drill or rollback under it."),
        (FILE.decode().encode("utf-16"), "wrong_encoding", "UTF-16"),
        (csv_of({**DRILL, "note": "grün"}).decode().encode("latin-1"), "wrong_encoding", "not UTF-8 (line 2)"),
        (b"kind,alias,environment,decided_at\n", "wrong_columns", "no column verdict"),
        (b"kind,alias,environment,decided_at,verdict,mood\n", "wrong_columns", "columns that mean nothing here: mood"),
        (csv_of(*[DRILL] * (MAX_ROWS + 1)), "too_many_rows", "more than 5,000 rows. Split it by years"),
        (b"x" * (MAX_BYTES + 1), "file_too_large", "more than 1 MB. Split it by years"),
    ],
)
def test_file_that_cannot_be_read_is_refused_in_words(content: bytes, code: str, words: str, policy: RoutingPolicy, cast: Cast) -> None:
    with pytest.raises(InvalidInput) as refused:
        preview(cast.lead, content)
    assert refused.value.code == code
    assert words in refused.value.message


def test_zone_that_is_none_is_refused(policy: RoutingPolicy, cast: Cast) -> None:
    with pytest.raises(InvalidInput) as refused:
        preview(cast.lead, FILE, zone="Middle/Earth")
    assert (refused.value.code, list(refused.value.fields)) == ("zone_unknown", ["zone"])
    local = csv_of({**DRILL, "decided_at": "2026-03-02 10:00"})
    bring_in(cast.lead, local, zone="Asia/Kolkata")
    assert RunFact.objects.get().at == dt.datetime(2026, 3, 2, 4, 30, tzinfo=dt.UTC)


def test_confirm_after_the_world_has_changed_imports_nothing_and_names_the_row(policy: RoutingPolicy, cast: Cast) -> None:
    token = preview(cast.lead, FILE).token
    bring_in(cast.admin, csv_of(ROLLBACK))
    with pytest.raises(InvalidInput) as refused:
        confirm_history(token=token, account=cast.lead, actor=actor_of(cast.lead))
    assert list(refused.value.fields) == ["row 3"]
    assert RunFact.objects.count() == 1


def test_confirm_takes_only_what_this_account_was_shown(policy: RoutingPolicy, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    token = preview(cast.lead, FILE).token
    forged = signing.dumps([cast.lead.pk, FILE.decode(), False, "x", "", ""], salt="something else", compress=True)
    for bad in ("", "nonsense", token[:-3] + "abc", forged):
        with pytest.raises(InvalidInput) as refused:
            confirm_history(token=bad, account=cast.lead, actor=actor_of(cast.lead))
        assert refused.value.code == "preview_missing"
    with pytest.raises(InvalidInput, match="made by somebody else"):
        confirm_history(token=token, account=cast.admin, actor=actor_of(cast.admin))
    monkeypatch.setattr(history_import, "PREVIEW_SECONDS", dt.timedelta(seconds=-1))
    with pytest.raises(InvalidInput) as refused:
        confirm_history(token=token, account=cast.lead, actor=actor_of(cast.lead))
    assert refused.value.code == "preview_expired"
    assert not RunFact.objects.exists()


@pytest.mark.parametrize("name", ["on_call", "leadership", "auditor", "stranger"])
def test_import_is_for_those_who_may_configure(name: str, policy: RoutingPolicy, cast: Cast) -> None:
    token, other = preview(cast.lead, FILE).token, getattr(cast, name)
    for act in (preview, bring_in):
        with pytest.raises(Forbidden):
            act(other, FILE)
    with pytest.raises(Forbidden):
        confirm_history(token=token, account=other, actor=actor_of(other))
    assert not RunFact.objects.exists()


def test_import_is_taken_back_whole_and_the_record_stays(policy: RoutingPolicy, cast: Cast) -> None:
    kept = bring_in(cast.lead, csv_of({**DRILL, "decided_at": "2026-01-02T10:00:00Z"}))
    made = bring_in(cast.lead, FILE)
    take_back_import(import_id=made.pk, account=cast.lead, actor=actor_of(cast.lead), reason="The clock of that wiki was wrong")
    assert list(HistoryImport.objects.all()) == [kept]
    assert list(kept.runs.values_list("run_fact", flat=True)) == [RunFact.objects.get().pk]
    event = AuditEvent.objects.get(event="history.import_taken_back")
    assert event.data == {"file_name": "past.csv", "sha256": made.digest, "rows": 3, "reason": "The clock of that wiki was wrong"}
    with pytest.raises(NotFound, match=rf"^This import was taken back by Lee Lead on {event.at:%Y-%m-%d at %H:%M} UTC\."):
        take_back_import(import_id=made.pk, account=cast.lead, actor=actor_of(cast.lead), reason="once more")
    with pytest.raises(NotFound, match=r"^There is no such import\.$"):
        get_import(uuid.uuid4())
    assert bring_in(cast.lead, FILE).rows == 3, "what was taken back may come in again"


@pytest.mark.parametrize("name", ["on_call", "auditor", "admin", "stranger"])
def test_import_is_taken_back_by_a_lead_alone(name: str, policy: RoutingPolicy, cast: Cast) -> None:
    made, other = bring_in(cast.lead, FILE), getattr(cast, name)
    with pytest.raises(Forbidden):
        take_back_import(import_id=made.pk, account=other, actor=actor_of(other), reason="because I can")
    assert RunFact.objects.count() == 3


@pytest.mark.parametrize("reason", ["", "  ", "no", "x" * 301])
def test_import_is_not_taken_back_without_a_reason(reason: str, policy: RoutingPolicy, cast: Cast) -> None:
    made = bring_in(cast.lead, FILE)
    with pytest.raises(InvalidInput) as refused:
        take_back_import(import_id=made.pk, account=cast.lead, actor=actor_of(cast.lead), reason=reason)
    assert list(refused.value.fields) == ["reason"]
    assert RunFact.objects.count() == 3


def test_run_of_the_lab_is_one_of_the_lab(policy: RoutingPolicy, cast: Cast) -> None:
    ArtefactFactory(slug="lab-model", is_lab=True)
    bring_in(cast.lead, csv_of(DRILL, {**GONE, "artefact": "lab-model"}))
    assert dict(RunFact.objects.values_list("alias", "is_lab")) == {"reasoner": False, "summariser": True}


def test_largest_file_takes_a_fixed_number_of_queries(policy: RoutingPolicy, cast: Cast, django_assert_max_num_queries: Any) -> None:
    start = dt.datetime(2022, 1, 1, tzinfo=dt.UTC)
    rows = [{**DRILL, "decided_at": (start + dt.timedelta(hours=number)).isoformat()} for number in range(MAX_ROWS)]
    content = csv_of(*[{name: row[name] for name in row if name in DRILL} for row in rows])
    with django_assert_max_num_queries(40):
        made = bring_in(cast.lead, content)
    assert RunFact.objects.filter(imported__history_import=made).count() == MAX_ROWS


def test_two_files_of_the_same_run_at_once_bring_it_in_once(fresh_database: FreshDatabase) -> None:
    people = make_cast()
    make_world()
    files = [csv_of(DRILL, {**GONE, "note": str(number)}) for number in range(4)]
    results = at_once(4, lambda index: bring_in(people.lead, files[index]))
    assert RunFact.objects.count() == 2
    assert sorted(type(result).__name__ for result in results) == ["HistoryImport", "InvalidInput", "InvalidInput", "InvalidInput"]
