"""Versions from a CSV file: shown first with what is wrong in each row, then all of it or nothing.

The file is read by common/csv_file.py (encoding, columns, width of rows), the rows are tried and imported by django-import-export, and each goes through
`register_version`. What a person confirms is the signed preview, so that it is exactly what they saw.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import tablib
from django.core import signing
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db import connection, transaction
from import_export.fields import Field
from import_export.instance_loaders import BaseInstanceLoader
from import_export.resources import Resource
from import_export.results import Result, RowResult

from rollbackhub.accounts.models import User
from rollbackhub.accounts.rules import Capability, require
from rollbackhub.audit.actors import Actor
from rollbackhub.audit.domain.record import record
from rollbackhub.common.csv_file import CsvFile, Line, decode_csv, read_csv
from rollbackhub.common.errors import Conflict, InvalidInput
from rollbackhub.registry.domain.versions import register_version
from rollbackhub.registry.models import Artefact, Version

COLUMNS = ("artefact", "label", "digest", "uri", "changelog", "eval_reference", "author", "parent")
NEEDED = ("artefact", "label")
MAX_ROWS = 1000
ADVICE = "Split it, or use the API."
PREVIEW_SECONDS = 3600
"""How long a preview can be confirmed."""

NEW, SAME, WRONG = "new", "same", "wrong"
"""What a row does: registers a version, names one that is registered already, or cannot be imported."""

_SALT = "registry.version_import"
_LOCK = 0x52484956
"""Imports go one after the other: two that name the same versions in another order would wait for each other."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong in a row: the column (empty: the row as a whole), and what to do."""

    column: str
    sentence: str


@dataclass(frozen=True, slots=True)
class ImportRow:
    """One row of the file: its number as a spreadsheet counts (the header is row 1), its cells by column, and what it does."""

    number: int
    values: dict[str, str]
    action: str
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class Preview:
    """What a file would do."""

    rows: list[ImportRow]
    token: str
    """The signed preview, to confirm with; empty while a row is wrong or nothing is new."""

    @property
    def counts(self) -> dict[str, int]:
        """How many rows do what."""
        return {action: sum(1 for row in self.rows if row.action == action) for action in (NEW, SAME, WRONG)}


def preview_import(*, content: bytes, account: User, actor: Actor) -> Preview:
    """Try a file: every row is registered and everything is taken back.

    Raises Forbidden, InvalidInput (what no row can be read from: encoding, size, columns).
    """
    require(user=account, capability=Capability.REGISTER)
    return _preview(decode_csv(content, advice=ADVICE), account=account, actor=actor)


def confirm_import(*, token: str, account: User, actor: Actor) -> list[ImportRow]:
    """Import what a preview showed, all of it or nothing; answers its rows.

    Raises Forbidden, InvalidInput (`preview_missing`: not a preview of this account; `preview_expired`), Conflict `preview_outdated` (a row
    would do something else by now: nothing was imported).
    """
    require(user=account, capability=Capability.REGISTER)
    text, shown = _read_token(token, account)
    with transaction.atomic():
        rows = _run(text, account=account, actor=actor, keep=True)
        if _outcome(rows) != shown:
            raise Conflict(
                "The registry has changed since you looked: the file would do something else now. Nothing was imported; look at it again.",
                code="preview_outdated",
            )
        record(
            event="versions.imported",
            actor=actor,
            subject_type="version_import",
            subject_id=hashlib.sha256(text.encode()).hexdigest(),
            data={"new": sum(1 for row in rows if row.action == NEW), "known_already": sum(1 for row in rows if row.action == SAME)},
        )
    return rows


def preview_again(*, token: str, account: User, actor: Actor) -> Preview:
    """The preview of the same file as it would be now. Raises as `confirm_import` does for its token."""
    require(user=account, capability=Capability.REGISTER)
    text, _ = _read_token(token, account)
    return _preview(text, account=account, actor=actor)


def _preview(text: str, *, account: User, actor: Actor) -> Preview:
    rows = _run(text, account=account, actor=actor, keep=False)
    importable = any(row.action == NEW for row in rows) and all(row.action != WRONG for row in rows)
    token = signing.dumps([account.pk, text, _outcome(rows)], salt=_SALT, compress=True) if importable else ""
    return Preview(rows=rows, token=token)


def _read_token(token: str, account: User) -> tuple[str, str]:
    try:
        owner, text, shown = signing.loads(token, salt=_SALT, max_age=PREVIEW_SECONDS)
    except signing.SignatureExpired as error:
        raise InvalidInput("This preview is more than an hour old. Upload the file again.", code="preview_expired") from error
    except signing.BadSignature as error:
        raise InvalidInput("The preview of this import is missing. Upload the file again.", code="preview_missing") from error
    if owner != account.pk:
        raise InvalidInput("This preview was made by somebody else. Upload the file yourself.", code="preview_missing")
    return text, shown


def _outcome(rows: Sequence[ImportRow]) -> str:
    shown = [[row.number, row.action, row.values, [[problem.column, problem.sentence] for problem in row.problems]] for row in rows]
    return hashlib.sha256(json.dumps(shown, sort_keys=True).encode()).hexdigest()


def _run(text: str, *, account: User, actor: Actor, keep: bool) -> list[ImportRow]:
    """Every row's outcome; with `keep` what they do stays if none is wrong."""
    file = read_csv(text, columns=COLUMNS, needed=NEEDED, max_rows=MAX_ROWS, row_is="version", advice=ADVICE)
    header, lines = file.header, file.lines
    resource = _VersionResource(file=file, account=account, actor=actor)
    # As many cells as the header has: rows of another width are refused by their row, so what is cut or filled here is never used.
    dataset = tablib.Dataset(*[(*line.cells, *[""] * len(header))[: len(header)] for line in lines], headers=header)
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        result: Result = resource.import_data(dataset, dry_run=not keep, use_transactions=True, rollback_on_validation_errors=True)
    # The library collects what was raised; what is no mistake of the file goes on as what it is.
    for error in [*result.base_errors, *(error for row in result.rows for error in row.errors)]:
        raise error.error
    return [
        ImportRow(number=line.number, values=resource.values_of(line), action=_action(row), problems=_problems(row))
        for line, row in zip(lines, result.rows, strict=True)
    ]


def _action(row: RowResult) -> str:
    return {RowResult.IMPORT_TYPE_NEW: NEW, RowResult.IMPORT_TYPE_SKIP: SAME, RowResult.IMPORT_TYPE_INVALID: WRONG}[row.import_type]


def _problems(row: RowResult) -> tuple[Problem, ...]:
    if row.validation_error is None:
        return ()
    found = row.validation_error.message_dict
    return tuple(Problem("" if column == NON_FIELD_ERRORS else column, sentence) for column, sentences in found.items() for sentence in sentences)


class _VersionResource(Resource):
    """How django-import-export reads a row: nothing is saved but through `register_version`."""

    artefact = Field(column_name="artefact")
    label = Field(column_name="label")

    class Meta:
        import_id_fields = NEEDED
        instance_loader_class = BaseInstanceLoader
        skip_diff = True
        report_skipped = True

    def __init__(self, *, file: CsvFile, account: User, actor: Actor) -> None:
        super().__init__()
        self.file, self.lines, self.account, self.actor = file, file.lines, account, actor
        slugs = {self.values_of(line)["artefact"] for line in self.lines}
        self.artefacts = {artefact.slug: artefact for artefact in Artefact.objects.filter(slug__in=slugs)}
        self.first_rows: dict[tuple[str, str], int] = {}
        self.rows_of: dict[tuple[str, str], int] = {}
        """The first row of each version, the rows below the present one among them."""
        for line in self.lines:
            values = self.values_of(line)
            self.rows_of.setdefault((values["artefact"], values["label"]), line.number)

    def values_of(self, line: Line) -> dict[str, str]:
        """A row's cells by column."""
        return self.file.values_of(line, COLUMNS)

    def before_import_row(self, row: dict[str, str], **kwargs: Any) -> None:
        """What is wrong with the row as a row. Raises ValidationError."""
        line = self.lines[kwargs["row_number"] - 1]
        values = self.values_of(line)
        if wrong := self.file.width_problem(line):
            raise ValidationError({NON_FIELD_ERRORS: [wrong]})
        if not values["artefact"]:
            raise ValidationError({"artefact": ["Say of which artefact it is a version."]})
        if values["artefact"] not in self.artefacts:
            raise ValidationError({"artefact": [f"There is no artefact {values['artefact'][:60]}. Use its short name, as in its page's address."]})
        first = self.first_rows.setdefault((values["artefact"], values["label"]), line.number)
        if values["label"] and first != line.number:
            raise ValidationError({"label": [f"Row {first} names the same version. Take one of the two out."]})

    def get_or_init_instance(self, instance_loader: Any, row: dict[str, str]) -> tuple[Version, bool]:
        """A blank one: `register_version` finds out what is there."""
        return Version(), True

    def import_instance(self, instance: Version, row: dict[str, str], **kwargs: Any) -> None:
        """Nothing: the row is read as it is saved."""

    def validate_instance(self, instance: Version, import_validation_errors: Any = None, validate_unique: bool = True) -> None:
        """Nothing: `register_version` does."""

    def save_instance(self, instance: Version, is_create: bool, row: dict[str, str], **kwargs: Any) -> None:
        """Register. Raises ValidationError by column."""
        values = self.values_of(self.lines[kwargs["row_number"] - 1])
        artefact = self.artefacts[values.pop("artefact")]
        try:
            version, created = register_version(artefact=artefact, is_strategic=False, account=self.account, actor=self.actor, **values)
        except InvalidInput as error:
            raise ValidationError(error.fields | self._parent_in_the_file(artefact, values, kwargs["row_number"])) from error
        except Conflict as error:
            raise ValidationError({"label": [error.message]}) from error
        instance.pk, instance.label, instance.artefact = version.pk, version.label, artefact
        self.created = created

    def _parent_in_the_file(self, artefact: Artefact, values: dict[str, str], row_number: int) -> dict[str, list[str]]:
        """What is wrong with a parent that is not registered, and stands in another row of the file: rows are taken from top to bottom."""
        parent, own = values["parent"], self.lines[row_number - 1].number
        at = self.rows_of.get((artefact.slug, parent), own)
        if at == own or not parent or Version.objects.filter(artefact=artefact, label=parent).exists():
            return {}
        if at > own:
            return {"parent": [f"{parent} stands further down, in row {at}. Put the row of a parent above those of the versions made from it."]}
        return {"parent": [f"{parent} stands in row {at}, which cannot be imported. Mend that row first."]}

    def after_import_row(self, row: dict[str, str], row_result: RowResult, **kwargs: Any) -> None:
        """One that is registered already is no new one."""
        row_result.import_type = RowResult.IMPORT_TYPE_NEW if self.created else RowResult.IMPORT_TYPE_SKIP
