"""Round ticks for axes of seconds."""

from __future__ import annotations

import math

from rollbackhub.common.durations import in_words

_STEPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)


def ticks(largest: float, *, wanted: int = 6) -> tuple[list[float], list[str]]:
    """Places and words for an axis from 0 to `largest` seconds, at round times (5 s, 30 s, 5 min)."""
    step = next((step for step in _STEPS if largest / step <= wanted), _STEPS[-1] * math.ceil(largest / _STEPS[-1] / wanted))
    values = [round(step * index, 6) for index in range(math.floor(largest / step + 1e-9) + 1)]
    return values, ["0" if value == 0 else _tick(value, step) for value in values]


def _tick(value: float, step: float) -> str:
    if step < 1:
        return f"{value:.2f} s" if step < 0.1 else f"{value:.1f} s"
    return in_words(value) if value >= 60 else f"{value:g} s"
