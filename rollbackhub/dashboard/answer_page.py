"""An answer of analytics as a page shows it, and as files hold it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils import timezone

from rollbackhub.analytics.answer import Answer, Cell, Column, Table, Unit
from rollbackhub.charts.content import as_content
from rollbackhub.common.durations import in_words
from rollbackhub.dashboard.figures import PageFigure
from rollbackhub.dashboard.templatetags.hub import full_time, percent

TABLE_ROWS = 100
"""A table on the page has at most this many rows; its file has all."""
NUMBERS: tuple[Unit, ...] = ("seconds", "share", "count")


@dataclass(frozen=True, slots=True)
class ShownCell:
    """A cell in words; `url`: where it leads."""

    words: str
    is_number: bool
    url: str = ""


@dataclass(frozen=True, slots=True)
class ShownTable:
    """A table on the page. `number`: its place in the answer, from 1, as in the address of its file."""

    number: int
    title: str
    headings: Sequence[tuple[str, bool]]
    """Each with whether its cells are numbers."""
    rows: Sequence[Sequence[ShownCell]]
    count: int
    """Of all rows, those that only the file has included."""

    @property
    def is_cut(self) -> bool:
        """Whether the file has more."""
        return self.count > len(self.rows)


@dataclass(frozen=True, slots=True)
class Shown:
    """A figure with its table behind it; or one of both alone."""

    title: str
    figure: PageFigure | None
    table: ShownTable | None


def shown_parts(answer: Answer) -> list[Shown]:
    """The figures in their order, each with the table of its numbers behind it; tables that belong to no figure stand alone after them."""
    tables = [_shown(table, number=number) for number, table in enumerate(answer.tables, start=1)]
    behind = [place if figure.table is None else figure.table for place, figure in enumerate(answer.figures)]
    parts = [
        Shown(
            title=figure.title,
            figure=PageFigure(f"figure-{figure.key}", as_content(figure.figure), figure.label),
            table=tables[place] if place < len(tables) else None,
        )
        for figure, place in zip(answer.figures, behind, strict=True)
    ]
    return [*parts, *(Shown(table.title, None, table) for place, table in enumerate(tables) if place not in behind)]


def _shown(table: Table, *, number: int) -> ShownTable:
    shown = _shown_columns(table)
    return ShownTable(
        number=number,
        title=table.title,
        headings=[(column.heading, column.unit in NUMBERS) for _, column in shown],
        rows=[_shown_row(row, shown, table.url_column) for row in table.rows[:TABLE_ROWS]],
        count=len(table.rows),
    )


def _shown_columns(table: Table) -> list[tuple[int, Column]]:
    return [(index, column) for index, column in enumerate(table.columns) if index != table.url_column]


def _shown_row(row: Sequence[Cell], shown: Sequence[tuple[int, Column]], url_column: int | None) -> list[ShownCell]:
    url = row[url_column] if url_column is not None else None
    cells = [ShownCell(cell_words(row[index], column.unit), column.unit in NUMBERS) for index, column in shown]
    if url and cells:
        cells[0] = ShownCell(cells[0].words, cells[0].is_number, str(url))
    return cells


def cell_words(value: Cell, unit: Unit) -> str:
    """A cell as people read it: durations in words, shares in percent, instants in the reader's zone."""
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dt.datetime):
        return str(full_time(value)) if unit == "instant" else _day(timezone.localtime(value).date(), unit)
    if isinstance(value, dt.date):
        return _day(value, unit)
    if isinstance(value, int | float):
        return _number(value, unit)
    return value


def _day(value: dt.date, unit: Unit) -> str:
    return f"{value:%b %Y}" if unit == "month" else f"{value.day} {value:%b %Y}"


def _number(value: float, unit: Unit) -> str:
    if unit == "seconds":
        return in_words(float(value))
    if unit == "share":
        return str(percent(float(value)))
    return f"{value:,}" if isinstance(value, int) else f"{value:,.2f}".rstrip("0").rstrip(".")


def csv_header(table: Table) -> list[str]:
    """The names of the columns in a file, the address of a row's page included where the table names it."""
    return [column.key for column in table.columns]


def csv_rows(table: Table) -> Iterator[list[Any]]:
    """All rows as numbers and ISO dates: seconds, shares from 0 to 1, instants in UTC."""
    units = [column.unit for column in table.columns]
    for row in table.rows:
        yield [_csv_value(value, unit) for value, unit in zip(row, units, strict=False)]


def _csv_value(value: Cell, unit: Unit) -> Any:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).isoformat()
    if isinstance(value, dt.date):
        return f"{value:%Y-%m}" if unit == "month" else value.isoformat()
    return value
