"""Axes of months and of counts: one tick a month, and whole numbers only."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable
from typing import Any

MOST_TICKS = 12
FEW = 10
"""Up to so many plotly would set ticks at halves."""


def month_axis(months: Iterable[dt.date]) -> dict[str, Any]:
    """An axis with one tick for each of these months; for each second, third ... of them where there are many."""
    found = sorted(set(months))
    ticks = found[:: math.ceil(len(found) / MOST_TICKS) or 1]
    return {"title": {"text": "Month (UTC)"}, "type": "date", "tickvals": ticks, "ticktext": [f"{month:%b %Y}" for month in ticks]}


def count_ticks(highest: float) -> dict[str, Any]:
    """What an axis of counts up to this one takes besides, so that its ticks are whole numbers."""
    return {"tickformat": ",d", **({"tick0": 0, "dtick": 1} if highest <= FEW else {})}
