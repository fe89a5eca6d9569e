"""What the story says at its end: each path by segments, what was exposed, and which of it was measured, played or only told."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.table import Table

from rollbackhub.common import clock
from rollbackhub.executions.enums import Segment
from rollbackhub.lab.story.teller import Line, Pause, in_clock
from rollbackhub.rollbacks.domain.selectors import segments_of_rollback
from rollbackhub.rollbacks.models import Rollback

CLOCK = (Segment.DETECT, Segment.DECIDE, Segment.AUTHORISE, Segment.EXECUTE, Segment.PROPAGATE, Segment.DRAIN, Segment.VERIFY)

MEASURED = (
    "gateways, flips, acknowledgements, traffic, counters, the alert (Prometheus, Alertmanager), the hub's incident, proposal, rollback, verification"
    " and draft, and every instant of the column measured"
)
PLAYED = "what people did: the confirmation, the mended flag, the drills; by this command, on the real hub, and on the record as played"
SIMULATED = "the minutes of the column simulated (nothing happened in them but the lab's traffic), the users with their feedback, and what models answer"


@dataclass(frozen=True, slots=True)
class SegmentTold:
    """A segment of a path, in seconds: without the real time of its pauses, and what these stand for."""

    segment: Segment
    measured: float
    simulated: float

    @property
    def told(self) -> float:
        """Both together: how long it takes in the story."""
        return self.measured + self.simulated


@dataclass(frozen=True, slots=True)
class Exposure:
    """Requests that the bad version answered."""

    counted: int | None
    """By the hub, from its preflight to the drain."""
    estimated: int | None
    """By the hub, from the detection to its preflight."""
    basis: str
    not_played: int
    """What it would have answered in the simulated minutes that did not pass, at its rate since the harm began."""


@dataclass(frozen=True, slots=True)
class PathReport:
    """One path, told."""

    name: str
    title: str
    proof: str
    segments: list[SegmentTold]
    exposure: Exposure
    findings: list[str]
    outcome: str
    restored_within: float
    """From the decision to the restoration, as told, in seconds."""
    timeline_lines: int
    hand_written_lines: int
    addresses: dict[str, str]
    lines: list[Line] = field(repr=False)

    @property
    def told(self) -> float:
        """From the beginning of the harm to the verification, in seconds of the story."""
        return sum(segment.told for segment in self.segments)


def segments_told(rollback: Rollback, *, began_at: dt.datetime, pauses: Sequence[Pause]) -> list[SegmentTold]:
    """The clock of a rollback from the beginning of the harm on. A pause's real seconds are taken out where they fell, and what it stands for is put in."""
    hub = {found.segment: found.seconds for found in segments_of_rollback(rollback)}
    # What the hub calls detect lasts from the detection to the decision: people decide in it. Before, the alert's own time passes.
    measured = {**hub, Segment.DETECT: clock.seconds_between(began_at, rollback.detected_at), Segment.DECIDE: hub.get(Segment.DETECT)}
    found = []
    for segment in CLOCK:
        own = [pause for pause in pauses if pause.segment == segment]
        seconds = (measured.get(segment) or 0.0) - sum(pause.real for pause in own)
        found.append(SegmentTold(segment, max(0.0, seconds), sum(pause.told for pause in own)))
    return found


def restored_within(segments: Sequence[SegmentTold]) -> float:
    """From the decision to the restoration, in seconds of the story."""
    counted = (Segment.AUTHORISE, Segment.EXECUTE, Segment.PROPAGATE, Segment.DRAIN)
    return sum(segment.told for segment in segments if segment.segment in counted)


def table_of(paths: Sequence[PathReport]) -> Table:
    """Both paths beside each other."""
    table = Table(title="SIMULATION: the segments of each path (minutes:seconds)", title_justify="left")
    table.add_column("Segment")
    for path in paths:
        for column in ("measured", "simulated", "together"):
            table.add_column(f"{path.name}\n{column}", justify="right")
    for index, segment in enumerate(CLOCK):
        cells = [cell for path in paths for cell in _cells(path.segments[index])]
        table.add_row(segment.label, *cells, end_section=segment == CLOCK[-1])
    table.add_row("Harm to verified", *(cell for path in paths for cell in _sums(path.segments)))
    table.add_row("Decided to restored", *(cell for path in paths for cell in ("", "", _minutes(path.restored_within))), end_section=True)
    table.add_row("Exposed, counted by the hub", *(cell for path in paths for cell in (_number(path.exposure.counted), "", "")))
    table.add_row("Exposed before, estimated", *(cell for path in paths for cell in (_number(path.exposure.estimated), "", "")))
    table.add_row("Not played, at that rate", *(cell for path in paths for cell in ("", _number(path.exposure.not_played), "")))
    return table


def as_json(paths: Sequence[PathReport], *, compression: int) -> dict[str, Any]:
    """The same for programs. Times are seconds."""
    return {
        "simulation": True,
        "compression": compression,
        "measured": MEASURED,
        "played": PLAYED,
        "simulated": SIMULATED,
        "paths": [
            {
                "name": path.name,
                "title": path.title,
                "proof": path.proof,
                "outcome": path.outcome,
                "segments": [
                    {"segment": found.segment.value, "measured": _rounded(found.measured), "simulated": _rounded(found.simulated), "told": _rounded(found.told)}
                    for found in path.segments
                ],
                "told_seconds": _rounded(path.told),
                "restored_within_seconds": _rounded(path.restored_within),
                "exposure": asdict(path.exposure),
                "findings": path.findings,
                "timeline_lines": path.timeline_lines,
                "hand_written_lines": path.hand_written_lines,
                "addresses": path.addresses,
                "lines": [
                    {"what": line.what.value, "told": _rounded(line.told), "real": _rounded(line.real), "sentence": line.sentence} for line in path.lines
                ],
            }
            for path in paths
        ],
    }


def _cells(found: SegmentTold) -> tuple[str, str, str]:
    return _minutes(found.measured), _minutes(found.simulated) if found.simulated else "", _minutes(found.told)


def _sums(found: Sequence[SegmentTold]) -> tuple[str, str, str]:
    return tuple(_minutes(sum(getattr(segment, name) for segment in found)) for name in ("measured", "simulated", "told"))  # type: ignore[return-value]


def _minutes(seconds: float) -> str:
    """`0:41.3`: a flip takes tenths of a second."""
    if seconds >= 3600:
        return in_clock(seconds)
    return f"{int(seconds) // 60}:{seconds % 60:04.1f}"


def _number(count: int | None) -> str:
    return "not known" if count is None else f"{count:,}"


def _rounded(seconds: float) -> float:
    return round(seconds, 3)
