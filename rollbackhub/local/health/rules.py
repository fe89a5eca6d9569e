"""From heartbeats and answers to a state and a sentence for each part. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

State = Literal["ok", "degraded", "down"]

SILENT_SECONDS = 8.0
"""A process that has not beaten for so long (it should every 2 s) does not count as alive."""
RECENT_SECONDS = 30.0
"""For so long an unexpected end is shown, even though the process was started again at once."""
LOST_SECONDS = 60.0
"""For so long a process that fell silent beside living ones of its kind is shown."""
AUDIT_LATE_SECONDS = 30.0
"""An event should have its place in the log within 10 s."""


@dataclass(frozen=True, slots=True)
class Beat:
    """A process's heartbeat row. Ages in seconds, by the database's clock."""

    name: str
    pid: int
    host: str
    age: float
    ended_ago: float | None = None
    ending: str = ""
    ended_well: bool = False
    canary_age: float | None = None
    failing: Sequence[str] = ()
    """The housekeeper's jobs that failed at their last turn."""

    @property
    def is_alive(self) -> bool:
        """Whether it was heard of lately and has not ended."""
        return self.ended_ago is None and self.age <= SILENT_SECONDS

    @property
    def died_lately(self) -> bool:
        """Whether it ended unasked a moment ago."""
        return self.ended_ago is not None and not self.ended_well and self.ended_ago <= RECENT_SECONDS

    @property
    def fell_silent(self) -> bool:
        """Whether it stopped beating a while ago and nobody knows why."""
        return self.ended_ago is None and SILENT_SECONDS < self.age <= LOST_SECONDS


@dataclass(frozen=True, slots=True)
class Part:
    """The state of one part."""

    status: State
    sentence: str
    seconds_since_heartbeat: float | None = None
    extra: Mapping[str, object] = field(default_factory=dict)

    def as_json(self) -> dict[str, object]:
        """As it stands in the answer."""
        since = self.seconds_since_heartbeat
        return {"status": self.status, "sentence": self.sentence, "seconds_since_heartbeat": None if since is None else round(since, 1), **self.extra}


def judge_process(*, name: str, beats: Sequence[Beat]) -> Part:
    """The state of all processes of a kind."""
    own = [beat for beat in beats if beat.name == name]
    alive = [beat for beat in own if beat.is_alive]
    troubled = sorted((beat for beat in own if beat.died_lately or beat.fell_silent), key=_trouble_age)
    extra: dict[str, object] = {"processes": len(alive)}
    canaries = [beat.canary_age for beat in alive if beat.canary_age is not None]
    if canaries:
        extra["seconds_since_canary"] = round(min(canaries), 1)
    if not alive:
        return Part(status="down", sentence=_missing_sentence(name, own), seconds_since_heartbeat=min((beat.age for beat in own), default=None), extra=extra)
    since = min(beat.age for beat in alive)
    if troubled:
        worst = troubled[0]
        again = "started again" if worst.ended_ago is not None else "others go on"
        return Part(status="degraded", sentence=f"{_trouble(worst)}; {again}.", seconds_since_heartbeat=since, extra=extra)
    failing = sorted({job for beat in alive for job in beat.failing})
    if failing:
        sentence = f"It runs, but some of its work fails ({', '.join(failing)}): see its log."
        return Part(status="degraded", sentence=sentence, seconds_since_heartbeat=since, extra=extra)
    sentence = "It runs." if len(alive) == 1 else f"{len(alive)} processes run."
    return Part(status="ok", sentence=sentence, seconds_since_heartbeat=since, extra=extra)


def _missing_sentence(name: str, own: Sequence[Beat]) -> str:
    if not own:
        return f"No {name} process has ever reported."
    last = min(own, key=_trouble_age)
    if last.ended_ago is not None and last.ended_well:
        return f"It was stopped {last.ended_ago:.0f} s ago."
    return f"{_trouble(last)}; none runs."


def _trouble(beat: Beat) -> str:
    who = f"Process {beat.pid} on {beat.host}"
    if beat.ended_ago is not None:
        return f"{who} {beat.ending or 'ended'} {beat.ended_ago:.0f} s ago"
    return f"{who} has not been heard of for {beat.age:.0f} s"


def _trouble_age(beat: Beat) -> float:
    return beat.age if beat.ended_ago is None else beat.ended_ago


def judge_audit(*, pending: int, oldest_seconds: float | None) -> Part:
    """The state of the audit log: how many events have no place in it yet, and since when."""
    extra = {"unsequenced": pending}
    if pending and oldest_seconds is not None and oldest_seconds > AUDIT_LATE_SECONDS:
        return Part(status="degraded", sentence=f"{pending} events wait for their place in the log, the oldest for {oldest_seconds:.0f} s.", extra=extra)
    return Part(status="ok", sentence=f"{pending} events wait for their place in the log." if pending else "Every event has its place in the log.", extra=extra)


def judge_whole(parts: Mapping[str, Part]) -> State:
    """The state of RollbackHub: down when nothing can be decided or carried out, degraded when any part is not well."""
    nothing_runs = all(parts[name].status == "down" for name in ("worker", "sweeper"))
    if parts["database"].status == "down" or nothing_runs:
        return "down"
    return "ok" if all(part.status == "ok" for part in parts.values()) else "degraded"
