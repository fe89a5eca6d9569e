"""Who tells the story: lines with the story's time beside the real one, each labelled with what it is. Waiting is compressed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from rollbackhub.common import clock
from rollbackhub.executions.enums import Segment

PATIENT, FAST = 60, 600
"""So many simulated seconds pass in a real one while people are waited for."""


class Told(StrEnum):
    """What a line is."""

    SIMULATION = "SIMULATION"
    """Only told: minutes that people would spend. Nothing of it happened."""
    PLAYED = "PLAYED"
    """Done in a person's place, on the real hub or the lab."""
    MEASURED = "MEASURED"
    """Seen on the real systems, at the time at which it is told."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the story. Seconds since its path began: `told` in the story's time, `real` by the clock."""

    what: Told
    told: float
    real: float
    sentence: str


@dataclass(frozen=True, slots=True)
class Pause:
    """Simulated waiting: `told` seconds that took `real` ones, and the segment of the rollback's clock into which they fall."""

    segment: Segment
    told: float
    real: float
    sentence: str


class Teller:
    """Tells one path. The story's time is the real time, and what pauses stand for on top."""

    def __init__(self, *, compression: int, write: Callable[[str], None]) -> None:
        self.compression = compression
        self.lines: list[Line] = []
        self.pauses: list[Pause] = []
        self._write = write
        self._began = clock.monotonic()

    @property
    def real(self) -> float:
        """Seconds since the path began."""
        return clock.monotonic() - self._began

    @property
    def told(self) -> float:
        """The same in the story's time."""
        return self.real + sum(pause.told - pause.real for pause in self.pauses)

    def measured(self, sentence: str) -> None:
        """Tell what was seen."""
        self._say(Told.MEASURED, sentence)

    def played(self, sentence: str) -> None:
        """Tell what was done in a person's place."""
        self._say(Told.PLAYED, sentence)

    def pause(self, *, minutes: float, segment: Segment, sentence: str) -> Pause:
        """Let so many minutes of the story pass in a fraction of that time, and tell what they are spent with."""
        self._say(Told.SIMULATION, f"{minutes:g} minute{'' if minutes == 1 else 's'}: {sentence}")
        began = clock.monotonic()
        clock.sleep(minutes * 60 / self.compression)
        passed = Pause(segment, minutes * 60, clock.monotonic() - began, sentence)
        self.pauses.append(passed)
        return passed

    def _say(self, what: Told, sentence: str) -> None:
        line = Line(what, self.told, self.real, sentence)
        self.lines.append(line)
        self._write(f"{in_clock(line.told)}  {in_clock(line.real)}  {what:<10}  {sentence}")


def in_clock(seconds: float) -> str:
    """`0:12:30`."""
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
