"""What a question of analytics is answered with: figures, the tables behind them, and what they say in a sentence.

Each question is one module in `rollbackhub/analytics/questions/` with one function, `answer(wanted) -> Answer`. Pages, CSV files, reviews
and the benchmark all take it from there.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from plotly.graph_objects import Figure

Unit = Literal["text", "seconds", "share", "count", "instant", "day", "month"]
"""How a cell is written: seconds (`4 min 10 s`), share (0 to 1, as per cent), instants in the reader's zone."""

Cell = str | int | float | bool | dt.date | dt.datetime | None


@dataclass(frozen=True, slots=True)
class AnalyticsFilter:
    """What is counted. Empty: all. `since` and `until` are days in UTC, the first one within and the last one without."""

    since: dt.date | None = None
    until: dt.date | None = None
    team: str = ""
    environment: str = ""
    change_type: str = ""
    alias: str = ""
    with_lab: bool = True
    """Whether what the lab made is counted, too."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: its name in a CSV file, its heading, and how its cells are written."""

    key: str
    heading: str
    unit: Unit = "text"


@dataclass(frozen=True, slots=True)
class Table:
    """The numbers behind a figure. `url_column`: index of a cell that holds the path of the page that the row is about; it is not shown itself."""

    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    url_column: int | None = None


@dataclass(frozen=True, slots=True)
class NamedFigure:
    """A figure with its title and a sentence for those who cannot see it."""

    key: str
    title: str
    label: str
    figure: Figure
    table: int | None = None
    """Index of the table with its numbers, where that is not the table of the figure's own place."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer. `headline` says the finding in one sentence with its numbers, small n included; `notes` say how it was reckoned.

    Without anything to count, `figures` and `tables` are empty and `empty` says what would fill them.
    """

    headline: str
    figures: Sequence[NamedFigure] = ()
    tables: Sequence[Table] = ()
    notes: Sequence[str] = ()
    empty: str = ""
    extra: dict[str, float] = field(default_factory=dict)
    """Single numbers that reviews quote, by name."""
