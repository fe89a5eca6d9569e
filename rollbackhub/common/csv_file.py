"""Reading a CSV file that a person uploads: encoding, columns, and each row with its number in the spreadsheet. What is wrong is said in words."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from rollbackhub.common.errors import InvalidInput
from rollbackhub.common.sentences import counted

MAX_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Line:
    """One row that holds anything: its number as a spreadsheet counts (the header is row 1), and its cells."""

    number: int
    cells: list[str]


@dataclass(frozen=True, slots=True)
class CsvFile:
    """A file's header and rows."""

    header: list[str]
    lines: list[Line]

    def values_of(self, line: Line, columns: Sequence[str]) -> dict[str, str]:
        """A row's cells by column, without space around; those that it lacks are empty. Nothing is taken for a formula: cells are text."""
        cells = dict(zip(self.header, line.cells, strict=False))
        return {name: cells.get(name, "").strip() for name in columns}

    def width_problem(self, line: Line) -> str:
        """What to say of a row with another number of cells than the header; empty when it fits."""
        has, wanted = len(line.cells), len(self.header)
        if has == wanted:
            return ""
        advice = "Write the commas of empty cells, too." if has < wanted else "A text with a comma stands in quotes."
        return f"It has {counted(has, 'cell')}, the header has {wanted:,}. {advice}"


def decode_csv(content: bytes, *, advice: str) -> str:
    """The file's text. `advice` says what to do with one that is too large. Raises InvalidInput."""
    if len(content) > MAX_BYTES:
        raise InvalidInput(f"The file has more than 1 MB. {advice}", code="file_too_large")
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InvalidInput("The file is UTF-16. Save it as “CSV UTF-8” and upload it again.", code="wrong_encoding")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise InvalidInput(f"The file is not UTF-8 (line {line}). Save it as “CSV UTF-8” and upload it again.", code="wrong_encoding") from error
    if "\0" in text:
        raise InvalidInput("The file holds NUL characters, so it is no CSV. Export it as “CSV UTF-8” and upload it again.", code="wrong_encoding")
    return text


def read_csv(text: str, *, columns: Sequence[str], needed: Collection[str], max_rows: int, row_is: str, advice: str) -> CsvFile:
    """The header, and the rows that hold anything. `row_is` names what a row stands for; `advice` says what to do with too many. Raises InvalidInput."""
    first = text.split("\n", 1)[0]
    # Spreadsheets write semicolons where the comma is the decimal sign.
    delimiter = next((sign for sign in (",", ";", "\t") if sign in first), ",")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    header: list[str] = []
    lines: list[Line] = []
    number = 0
    try:
        for number, cells in enumerate(reader, 1):
            if number == 1:
                header = [name.strip().lower() for name in cells]
                _require_columns(header, columns=columns, needed=needed)
            elif any(cell.strip() for cell in cells):
                lines.append(Line(number, cells))
            if len(lines) > max_rows:
                raise InvalidInput(f"The file has more than {max_rows:,} rows. {advice}", code="too_many_rows")
    except csv.Error as error:
        sentence = f"Row {number + 1} cannot be read ({error}). A text with a comma, a quote or a line break stands in quotes, and quotes in it are doubled."
        raise InvalidInput(sentence, code="not_csv") from error
    if not header:
        raise InvalidInput(f"The file is empty. Its first row names the columns: {', '.join(columns)}.", code="file_empty")
    if not lines:
        raise InvalidInput(f"The file has a header and no rows. Put one row for each {row_is} under it.", code="file_empty")
    return CsvFile(header, lines)


def _require_columns(header: list[str], *, columns: Sequence[str], needed: Collection[str]) -> None:
    unknown = [name or "(a column without a name)" for name in header if name not in columns]
    missing = [name for name in needed if name not in header]
    twice = sorted({name for name in header if name and header.count(name) > 1})
    sentences = []
    if missing:
        sentences.append(f"It has no column {' and no column '.join(missing)}.")
    if unknown:
        sentences.append(f"It has columns that mean nothing here: {', '.join(name[:60] for name in unknown[:10])}. Take them out.")
    if twice:
        sentences.append(f"It has the column {', '.join(twice)} more than once.")
    if sentences:
        raise InvalidInput(f"{' '.join(sentences)} The first row names the columns: {', '.join(columns)}.", code="wrong_columns")
