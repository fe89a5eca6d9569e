"""The questions that analytics answer, one module each.

A module has

- `answer(wanted) -> Answer`: the answer under a filter, read through `domain/facts.py` (runs one by one) and `domain/rollups.py` (counts and
  percentiles from the monthly rollups);
- `BARE_SQL: str`: the statement that gives the numbers of the unfiltered answer straight from the tables of record, exactly and without a
  rollup (`percentile_cont` and all), as somebody would write it in psql. Several statements are joined by `;`. It takes no parameters.
  `make bench-analytics` times it beside the page, so it must give the same answer and no more: what the page does not show it does not compute.

`QUESTIONS` names them in the order in which pages and reviews show them. A module is loaded when it is asked for.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

QUESTIONS: tuple[str, ...] = (
    "durations",
    "segments",
    "hit_rate",
    "calibration",
    "decisions",
    "compliance",
    "findings",
    "retention",
    "dora",
    "exposure",
    "ways_out",
    "control",
)
"""Names of the modules. Their pages' addresses and words stand in `catalogue.py`."""


def question_module(name: str) -> ModuleType:
    """The module of a question. Raises KeyError for what is none."""
    if name not in QUESTIONS:
        raise KeyError(name)
    return import_module(f"{__name__}.{name}")
