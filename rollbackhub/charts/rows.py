"""What figures are made of: plain rows, without a database behind them."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class SegmentBar:
    """One segment of a rollback: when it began after the decision, and how long it took (seconds)."""

    label: str
    start: float
    seconds: float
    ended: bool = True
    """Whether it came to its end; else it is as long as it was measured."""


@dataclass(frozen=True, slots=True)
class Mark:
    """An instant worth a line: its name, and seconds on the figure's axis."""

    label: str
    seconds: float


@dataclass(frozen=True, slots=True)
class TrafficPoint:
    """What share (0 to 1) of the traffic each version had at one instant (seconds on the figure's axis)."""

    seconds: float
    shares: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DrillPoint:
    """One drill that measured a rollback time (seconds). `at` is naive: the time on the viewer's clock."""

    at: dt.datetime
    seconds: float
    target_seconds: float | None
    change_type: str
    name: str
    verdict: str
    passed: bool
    url: str


@dataclass(frozen=True, slots=True)
class SeriesValue:
    """One look at a metric: seconds on the figure's axis, the value since the drain (None: no requests), and from how many requests it is."""

    seconds: float
    value: float | None
    requests: int
