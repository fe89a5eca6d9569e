"""Control limits of a series, and what signals in it. Pure: no database."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Literal

LEAST_DRILLS = 8
"""Fewer say nothing about what is usual."""

RUN_LENGTH = 9
"""So many in a row on one side of the centre do not come by chance (Nelson's rule 2): once in 256 times."""

SIGMAS = 3

D2 = 1.128
"""The mean moving range of two normal values is so many standard deviations (Shewhart's d2 for n = 2)."""

ROUNDING = 1e-9
"""Values that differ by this share or less are equal: they went through logarithms."""

Side = Literal["slower", "faster"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What is usual, in seconds: the centre (the median) and the limits of three sigma around its logarithm."""

    low: float
    centre: float
    high: float


@dataclass(frozen=True, slots=True)
class Signal:
    """Something that is not usual: by Nelson's rule 1 or 2, at these places of the series (the last is where it showed), and on which side."""

    rule: Literal[1, 2]
    side: Side
    first: int
    last: int


def control_limits(seconds: Sequence[float]) -> Limits:
    """Of an individuals chart on the logarithm of the seconds (each above 0), the spread taken from the mean moving range.

    Durations are skewed: on their own scale the lower limit would lie below zero and the upper one would be passed by chance too often. The centre is
    the median: one drill that took an hour would lift a mean so far that all the others stand in a row below it.
    Raises ValueError for fewer than LEAST_DRILLS values.
    """
    if len(seconds) < LEAST_DRILLS:
        raise ValueError(f"a control chart takes {LEAST_DRILLS} values at least")
    logs = [math.log(value) for value in seconds]
    centre = median(logs)
    sigma = sum(abs(after - before) for before, after in pairwise(logs)) / (len(logs) - 1) / D2
    return Limits(math.exp(centre - SIGMAS * sigma), math.exp(centre), math.exp(centre + SIGMAS * sigma))


def signals_in(seconds: Sequence[float], limits: Limits) -> list[Signal]:
    """What signals, the oldest first.

    Rule 1: one value beyond a limit. Rule 2: nine or more in a row on one side of the centre, told once. (L. S. Nelson, The Shewhart control
    chart: tests for special causes, Journal of Quality Technology 16, 1984; the Western Electric handbook of 1956 has eight in a row.)
    """
    found: list[Signal] = []
    for place, value in enumerate(seconds):
        if value > limits.high * (1 + ROUNDING):
            found.append(Signal(1, "slower", place, place))
        elif value < limits.low * (1 - ROUNDING):
            found.append(Signal(1, "faster", place, place))
    start, side = 0, _side(seconds[0], limits) if seconds else None
    for place in range(1, len(seconds) + 1):
        here = _side(seconds[place], limits) if place < len(seconds) else None
        if here != side or here is None:
            if side is not None and place - start >= RUN_LENGTH:
                found.append(Signal(2, side, start, place - 1))
            start, side = place, here
    return sorted(found, key=lambda signal: (signal.last, signal.rule))


def _side(value: float, limits: Limits) -> Side | None:
    if abs(value - limits.centre) <= limits.centre * ROUNDING:
        return None
    return "slower" if value > limits.centre else "faster"
