"""Freezing answers: tables and figures as JSON that reads the same for ever, and the words of their cells."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rollbackhub.analytics.answer import Answer, Cell, Column, NamedFigure, Table, Unit
from rollbackhub.charts.content import as_content
from rollbackhub.common.durations import in_words

NUMBERS: tuple[Unit, ...] = ("seconds", "share", "count")
"""Units of which cells stand to the right."""


@dataclass(frozen=True, slots=True)
class FrozenCell:
    """A cell in words, and the path of a page when the row is about one."""

    text: str
    url: str
    is_number: bool


@dataclass(frozen=True, slots=True)
class FrozenTable:
    """A table as it is shown."""

    title: str
    headings: Sequence[tuple[str, bool]]
    """With whether its cells are numbers."""
    rows: Sequence[Sequence[FrozenCell]]


@dataclass(frozen=True, slots=True)
class FrozenFigure:
    """A figure as JSON values."""

    key: str
    title: str
    label: str
    content: dict[str, Any]


def freeze(answer: Answer) -> dict[str, Any]:
    """The answer as JSON values; its headline is kept beside them."""
    return {
        "tables": [_table(table) for table in answer.tables],
        "figures": [_figure(figure) for figure in answer.figures],
        "notes": list(answer.notes),
        "empty": answer.empty,
    }


def frozen_figures(content: dict[str, Any]) -> list[FrozenFigure]:
    """The figures of frozen content, in their order."""
    return [FrozenFigure(key=figure["key"], title=figure["title"], label=figure["label"], content=figure["figure"]) for figure in content.get("figures", [])]


def frozen_tables(content: dict[str, Any], *, zone: dt.tzinfo) -> list[FrozenTable]:
    """The tables of frozen content in words, instants in this zone."""
    return [_shown(table, zone) for table in content.get("tables", [])]


def cell_words(value: Any, unit: Unit, *, zone: dt.tzinfo) -> str:
    """A frozen cell in words: `4 min 10 s`, `83.3 %`, `1,204`, `3 Aug 2026, 14:05 CEST`. A dash for none."""
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if unit == "seconds":
        return in_words(float(value))
    if unit == "share":
        return f"{float(value) * 100:.1f} %"
    if unit == "instant":
        local = dt.datetime.fromisoformat(value).astimezone(zone)
        return f"{local.day} {local:%b %Y, %H:%M %Z}"
    if unit in ("day", "month"):
        day = dt.date.fromisoformat(value)
        return f"{day:%b %Y}" if unit == "month" else f"{day.day} {day:%b %Y}"
    if unit == "count":
        return f"{value:,}" if isinstance(value, int) else f"{value:,.2f}".rstrip("0").rstrip(".")
    return str(value)


def _shown(table: dict[str, Any], zone: dt.tzinfo) -> FrozenTable:
    hidden = table["url_column"]
    columns = [(index, column) for index, column in enumerate(table["columns"]) if index != hidden]
    rows = []
    for row in table["rows"]:
        url = str(row[hidden] or "") if hidden is not None else ""
        cells = [
            # The row's first cell names it, and leads to its page.
            FrozenCell(cell_words(row[index], column["unit"], zone=zone), url if place == 0 else "", column["unit"] in NUMBERS)
            for place, (index, column) in enumerate(columns)
        ]
        rows.append(cells)
    return FrozenTable(table["title"], [(column["heading"], column["unit"] in NUMBERS) for _, column in columns], rows)


def _table(table: Table) -> dict[str, Any]:
    return {
        "title": table.title,
        "columns": [_column(column) for column in table.columns],
        "rows": [[_cell(value) for value in row] for row in table.rows],
        "url_column": table.url_column,
    }


def _column(column: Column) -> dict[str, str]:
    return {"key": column.key, "heading": column.heading, "unit": column.unit}


def _figure(figure: NamedFigure) -> dict[str, Any]:
    return {"key": figure.key, "title": figure.title, "label": figure.label, "figure": as_content(figure.figure)}


def _cell(value: Cell) -> Any:
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).isoformat()
    return value.isoformat() if isinstance(value, dt.date) else value
