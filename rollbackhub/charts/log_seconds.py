"""A logarithmic axis of durations, with round times as its ticks."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from rollbackhub.common.durations import in_words

TICKS = (0.01, 0.1, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0, 604800.0, 2592000.0, 31536000.0)
LEAST = 0.01
"""Seconds below this are drawn there: a logarithm of nothing cannot be drawn."""
DAY = 86400.0


def drawn(seconds: float) -> float:
    """Where a duration stands on the axis."""
    return max(seconds, LEAST)


def log_axis(seconds: Iterable[float], *, title: str) -> dict[str, Any]:
    """An axis that holds these durations."""
    values = [drawn(value) for value in seconds] or [1.0, 600.0]
    low, high = min(values) / 1.6, max(values) * 1.6
    inner = [tick for tick in TICKS if low <= tick <= high]
    # Fewer than two ticks say nothing of a scale: the ends stand there instead.
    shown = inner if len(inner) > 1 else sorted({min(values), *inner, max(values)})
    return {
        "title": {"text": f"{title} (logarithmic)"},
        "type": "log",
        "range": [math.log10(low), math.log10(high)],
        "tickvals": shown,
        "ticktext": [_tick(value) for value in shown],
    }


def _tick(seconds: float) -> str:
    days = seconds / DAY
    return f"{days:g} d" if days >= 1 and days == round(days) else in_words(seconds)
