"""Past drills and rollbacks from a CSV file: shown first with what is wrong in each row, then all of it or nothing; and taken back whole.

What comes in is counted by analytics and marked as imported wherever it is listed. It is never proof of a path: proof is read from executions, and an
imported run has none.
"""

from __future__ import annotations

import csv
import datetime as dt
import hashlib
import io
import uuid
import zoneinfo
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from django.core import signing
from django.db import connection, transaction
from django.db.models import QuerySet

from rollbackhub.accounts.models import User
from rollbackhub.accounts.rules import Capability, require
from rollbackhub.analytics.enums import IN_PRODUCTION, REHEARSED, RunKind, RunSource
from rollbackhub.analytics.history_rules import COLUMNS, NEEDED, PastRun, Problem, example_rows, read_row
from rollbackhub.analytics.models import HistoryImport, ImportedRun, RunFact
from rollbackhub.audit.actors import Actor
from rollbackhub.audit.domain.listing import list_events
from rollbackhub.audit.domain.record import record
from rollbackhub.common import clock
from rollbackhub.common.csv_file import CsvFile, Line, decode_csv, read_csv
from rollbackhub.common.errors import Conflict, InvalidInput, NotFound
from rollbackhub.common.sentences import counted
from rollbackhub.registry.enums import EnvironmentKind
from rollbackhub.registry.models import Artefact, Environment
from rollbackhub.routing.models import RoutingPolicy

MAX_ROWS = 5000
MAX_REASON, MIN_REASON = 300, 3
PREVIEW_SECONDS = 3600
"""How long a preview can be confirmed."""

_ADVICE = "Split it by years and import one after the other."
_SALT = "analytics.history_import"
_TAKEN_BACK = "history.import_taken_back"
_LOCK = 0x52484849
"""Imports go one after the other: two files that tell of the same run must see each other."""
_LONGEST_NAME = HistoryImport._meta.get_field("file_name").max_length or 0
_LONGEST_NOTE = HistoryImport._meta.get_field("note").max_length or 0
_LONGEST_ALIAS = RunFact._meta.get_field("alias").max_length or 0


@dataclass(frozen=True, slots=True)
class HistoryFile:
    """A file as it was sent, and what is said of it. `zone`: IANA name of the times that name none; empty: each names its own."""

    content: bytes
    name: str = ""
    zone: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """What a run was of. `policy` is None for an alias that is no more."""

    environment: Environment
    artefact: Artefact
    policy: RoutingPolicy | None
    alias: str


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """One row of a file: its number as a spreadsheet counts, its cells by column, and what is wrong with it."""

    number: int
    values: Mapping[str, str]
    run: PastRun | None
    place: Place | None
    problems: Sequence[Problem] = ()


@dataclass(frozen=True, slots=True)
class Preview:
    """What a file would bring in."""

    rows: Sequence[HistoryRow]
    digest: str
    token: str = ""
    """The signed preview, to confirm with; empty while a row is wrong."""

    @property
    def wrong(self) -> list[HistoryRow]:
        """The rows that cannot be imported."""
        return [row for row in self.rows if row.problems]

    @property
    def problems(self) -> list[dict[str, int | str]]:
        """Row, column and sentence of all that is wrong."""
        return [{"row": row.number, "column": problem.column, "sentence": problem.sentence} for row in self.wrong for problem in row.problems]

    @property
    def counts(self) -> dict[RunKind, int]:
        """How many runs of each kind it brings, without those that are none."""
        found = Counter(row.run.kind for row in self.rows if row.run is not None and not row.problems)
        return {kind: found[kind] for kind in RunKind if found[kind]}


def preview_history(*, file: HistoryFile, account: User, actor: Actor) -> Preview:
    """What a file would bring in; nothing is written.

    Raises Forbidden, InvalidInput (what no row can be read from: encoding, size, columns, zone), Conflict `history_imported_already`.
    """
    require(user=account, capability=Capability.CONFIGURE)
    preview = _read(file)
    if preview.wrong:
        return preview
    text = decode_csv(file.content, advice=_ADVICE)
    sealed = [account.pk, text, file.content.startswith(b"\xef\xbb\xbf"), file.name, file.zone, file.note]
    return Preview(preview.rows, preview.digest, signing.dumps(sealed, salt=_SALT, compress=True))


def confirm_history(*, token: str, account: User, actor: Actor) -> HistoryImport:
    """Import what a preview showed, all of it or nothing.

    Raises Forbidden, InvalidInput (`preview_missing`, `preview_expired`; `history_refused`: a row has become wrong since), Conflict.
    """
    require(user=account, capability=Capability.CONFIGURE)
    try:
        owner, text, marked, name, zone, note = signing.loads(token, salt=_SALT, max_age=PREVIEW_SECONDS)
    except signing.SignatureExpired as error:
        raise InvalidInput("This preview is more than an hour old. Upload the file again.", code="preview_expired") from error
    except signing.BadSignature as error:
        raise InvalidInput("The preview of this import is missing. Upload the file again.", code="preview_missing") from error
    if owner != account.pk:
        raise InvalidInput("This preview was made by somebody else. Upload the file yourself.", code="preview_missing")
    content = (b"\xef\xbb\xbf" if marked else b"") + text.encode()
    return import_history(file=HistoryFile(content=content, name=name, zone=zone, note=note), account=account, actor=actor)


def import_history(*, file: HistoryFile, account: User, actor: Actor) -> HistoryImport:
    """Bring a file in, all of it or nothing, in one transaction with its audit record.

    Raises Forbidden, InvalidInput (as `preview_history`, and `history_refused` with every wrong row in `fields` and `problems`),
    Conflict `history_imported_already`.
    """
    require(user=account, capability=Capability.CONFIGURE)
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        preview = _read(file)
        if preview.wrong:
            raise _refusal(preview)
        made = HistoryImport.objects.create(
            file_name="".join(character for character in file.name if character.isprintable())[:_LONGEST_NAME] or "history.csv",
            digest=preview.digest,
            rows=len(preview.rows),
            note=file.note.strip(),
            imported_by=account,
        )
        runs = [
            ImportedRun(history_import=made, row=row.number, reference=row.values["reference"], note=row.values["note"].replace("\r\n", "\n"))
            for row in preview.rows
        ]
        ImportedRun.objects.bulk_create(runs, batch_size=1000)
        RunFact.objects.bulk_create([_fact(row, imported) for row, imported in zip(preview.rows, runs, strict=True)], batch_size=1000)
        record(
            event="history.imported",
            actor=actor,
            subject_type="history_import",
            subject_id=made.pk,
            data={
                "file_name": made.file_name,
                "sha256": made.digest,
                "rows": made.rows,
                "by_kind": {str(kind): count for kind, count in preview.counts.items()},
            },
        )
    return made


def take_back_import(*, import_id: uuid.UUID, account: User, actor: Actor, reason: str) -> HistoryImport:
    """Take an import back, whole: its runs are counted no more. The audit log keeps that it was there.

    Raises Forbidden (a lead decides it), NotFound, InvalidInput for a reason that says nothing.
    """
    require(user=account, capability=Capability.LEAD)
    reason = reason.strip()
    if not MIN_REASON <= len(reason) <= MAX_REASON:
        sentence = f"Say why, in {MIN_REASON} to {MAX_REASON} characters."
        raise InvalidInput(sentence, fields={"reason": [sentence]})
    with transaction.atomic():
        found = HistoryImport.objects.select_for_update().filter(pk=import_id).first()
        if found is None:
            raise _not_found(import_id)
        record(
            event=_TAKEN_BACK,
            actor=actor,
            subject_type="history_import",
            subject_id=found.pk,
            data={"file_name": found.file_name, "sha256": found.digest, "rows": found.rows, "reason": reason},
        )
        kept = found.pk
        found.delete()
        found.pk = kept
    return found


def list_imports() -> QuerySet[HistoryImport]:
    """Every import that stands, the newest first, with who made it."""
    return HistoryImport.objects.select_related("imported_by").order_by("-imported_at", "-pk")


def get_import(import_id: uuid.UUID) -> HistoryImport:
    """One import. Raises NotFound. One query."""
    found = list_imports().filter(pk=import_id).first()
    if found is None:
        raise _not_found(import_id)
    return found


def list_imported_runs(history_import: HistoryImport) -> QuerySet[ImportedRun]:
    """Its rows in the order of the file, each with its fact (None when its alias was deleted since). One query."""
    return history_import.runs.select_related("run_fact__environment", "run_fact__artefact").order_by("row")


def count_kinds(history_import: HistoryImport) -> dict[RunKind, int]:
    """How many runs of each kind an import holds. One query."""
    found = Counter(RunFact.objects.filter(imported__history_import=history_import).values_list("kind", flat=True))
    return {kind: found[kind] for kind in RunKind if found[kind]}


def template_csv() -> str:
    """A file to fill in: the header and two example rows."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, COLUMNS)
    writer.writeheader()
    writer.writerows(example_rows())
    return buffer.getvalue()


def _not_found(import_id: uuid.UUID) -> NotFound:
    """Of an import that is no more the audit log knows who took it back, and when. One query."""
    events, _ = list_events(event=_TAKEN_BACK, subject_type="history_import", subject_id=str(import_id), size=1)
    sentence = "There is no such import."
    for event in events:
        sentence = f"This import was taken back by {event.actor_label} on {event.at:%Y-%m-%d at %H:%M} UTC. Its file may be imported again."
    return NotFound(sentence, code="history_import_not_found")


def _refusal(preview: Preview) -> InvalidInput:
    fields: dict[str, list[str]] = {}
    for row in preview.wrong:
        fields[f"row {row.number}"] = [f"{problem.column}: {problem.sentence}" if problem.column else problem.sentence for problem in row.problems]
    sentence = f"{len(preview.wrong):,} of {counted(len(preview.rows), 'row')} cannot be imported, so none is. Mend them and send the file again."
    return InvalidInput(sentence, code="history_refused", fields=fields, problems=preview.problems)


def _read(file: HistoryFile) -> Preview:
    """Every row of a file, with what is wrong. Raises InvalidInput, Conflict. Five queries for any number of rows."""
    zone = _zone(file.zone)
    if len(file.note.strip()) > _LONGEST_NOTE:
        sentence = f"The note may have {_LONGEST_NOTE} characters at most."
        raise InvalidInput(sentence, fields={"note": [sentence]})
    digest = hashlib.sha256(file.content).hexdigest()
    text = decode_csv(file.content, advice=_ADVICE)
    known = HistoryImport.objects.filter(digest=digest).first()
    if known is not None:
        raise Conflict(
            f"This very file was imported on {known.imported_at:%Y-%m-%d}, as {known.file_name}. Nothing was imported again.",
            code="history_imported_already",
            import_id=str(known.pk),
            url=f"/analytics/import/{known.pk}/",
        )
    table = read_csv(text, columns=COLUMNS, needed=NEEDED, max_rows=MAX_ROWS, row_is="past drill or rollback", advice=_ADVICE)
    reader = _Reader(table, zone=zone)
    return Preview(rows=[reader.read(line) for line in table.lines], digest=digest)


def _zone(name: str) -> zoneinfo.ZoneInfo | None:
    if not name:
        return None
    if name not in zoneinfo.available_timezones():
        sentence = f"There is no time zone {name[:60]}. Use an IANA name such as Asia/Kolkata, or leave it empty when each time names its own."
        raise InvalidInput(sentence, code="zone_unknown", fields={"zone": [sentence]})
    return zoneinfo.ZoneInfo(name)


@dataclass
class _Reader:
    """Reads rows against what there is; all of it is looked up once."""

    table: CsvFile
    zone: zoneinfo.ZoneInfo | None
    now: dt.datetime = field(default_factory=clock.now)

    def __post_init__(self) -> None:
        rows = {line.number: self.table.values_of(line, COLUMNS) for line in self.table.lines}
        self.values = rows
        self.environments = {environment.slug: environment for environment in Environment.objects.all()}
        self.artefacts = {
            artefact.slug: artefact for artefact in Artefact.objects.select_related("team").filter(slug__in={row["artefact"] for row in rows.values()})
        }
        policies = RoutingPolicy.objects.select_related("artefact__team").filter(alias__in={row["alias"] for row in rows.values()})
        self.policies = {(policy.environment_id, policy.alias): policy for policy in policies}
        self.read_rows = {number: read_row(row, zone=self.zone, now=self.now) for number, row in rows.items()}
        instants = {run.at for run, _ in self.read_rows.values() if run is not None}
        self.known = set(RunFact.objects.filter(at__in=instants).values_list("kind", "environment_id", "alias", "at"))
        self.first_rows: dict[tuple[str, int, str, dt.datetime], int] = {}

    def read(self, line: Line) -> HistoryRow:
        """One row."""
        values = self.values[line.number]
        wide = self.table.width_problem(line)
        if wide:
            return HistoryRow(line.number, values, None, None, [Problem("", wide)])
        run, wrong = self.read_rows[line.number]
        problems: list[Problem] = []
        place = self._place(values, problems)
        if place is not None and values["kind"].lower() in IN_PRODUCTION and place.environment.kind != EnvironmentKind.PRODUCTION:
            problems.append(Problem("environment", f"{place.environment.slug} is not production: what ran there was a drill or a rehearsal."))
        if place is not None and values["kind"].lower() in REHEARSED and place.environment.kind == EnvironmentKind.PRODUCTION:
            problems.append(Problem("environment", f"{place.environment.slug} is production: what ran there was a rollback or a roll-forward, not a drill."))
        problems += wrong
        if run is not None and place is not None and not problems:
            key = (str(run.kind), place.environment.pk, place.alias, run.at)
            first = self.first_rows.setdefault(key, line.number)
            if first != line.number:
                problems.append(
                    Problem("decided_at", f"Row {first} tells of the same run: its kind, alias, environment and decision. Take one of the two out.")
                )
            elif key in self.known:
                problems.append(Problem("decided_at", "This run is here already: its kind, alias, environment and decision. Take the row out."))
        return HistoryRow(line.number, values, run, place, problems)

    def _place(self, values: Mapping[str, str], problems: list[Problem]) -> Place | None:
        """What the row is of; what is wrong with that goes to the problems."""
        alias, slug, environment = values["alias"], values["artefact"], self.environments.get(values["environment"])
        if environment is None:
            there = ", ".join(sorted(self.environments)) or "none yet"
            what = f"There is no environment {values['environment'][:60]}" if values["environment"] else "Say in which environment it ran"
            problems.append(Problem("environment", f"{what}; there are: {there}."))
        if not alias:
            problems.append(Problem("alias", "Say of which alias it was."))
        elif len(alias) > _LONGEST_ALIAS or not alias.isprintable() or any(character.isspace() for character in alias):
            problems.append(Problem("alias", f"An alias has no spaces and {_LONGEST_ALIAS} characters at most."))
        artefact = self.artefacts.get(slug)
        if slug and artefact is None:
            problems.append(Problem("artefact", f"There is no artefact {slug[:60]}. Use its short name, as in its page's address."))
        policy = self.policies.get((environment.pk, alias)) if environment is not None else None
        if policy is not None and artefact is not None and policy.artefact_id != artefact.pk:
            problems.append(
                Problem("artefact", f"{alias[:60]} is an alias of {policy.artefact.slug}, not of {slug[:60]}. Correct one, or leave the artefact empty.")
            )
        if policy is None and not slug and not problems and environment is not None:
            problems.append(Problem("artefact", f"There is no alias {alias[:60]} in {environment.slug} any more, or not yet: name its artefact."))
        if problems or environment is None:
            return None
        found = policy.artefact if policy is not None else artefact
        return None if found is None else Place(environment, found, policy, alias)


def _fact(row: HistoryRow, imported: ImportedRun) -> RunFact:
    run, place = row.run, row.place
    if run is None or place is None:
        raise ValueError(f"row {row.number} has problems")
    return RunFact(
        source=RunSource.IMPORTED,
        imported=imported,
        kind=run.kind,
        at=run.at,
        month=run.at.date().replace(day=1),
        environment=place.environment,
        team=place.artefact.team,
        artefact=place.artefact,
        policy=place.policy,
        alias=place.alias,
        change_type=place.artefact.change_type,
        verdict=run.verdict,
        outcome=run.outcome,
        authority=run.authority,
        authorised_how=run.authorised_how,
        rollback_seconds=run.rollback_seconds,
        target_seconds=run.target_seconds,
        hit=run.hit,
        exposure=run.exposure,
        is_lab=place.environment.is_lab or place.artefact.is_lab,
        **run.segments,
    )
