"""Which looks count: those after the drain, each once, in the source's order, from the last counter reset on."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from rollbackhub.common.sentences import counted
from rollbackhub.verification.judge.evidence import Evidence, InvalidEvidence, Look


@dataclass(frozen=True, slots=True)
class Grown:
    """What a source counted from a run's first look to this one. A run ends where the counter starts anew."""

    at_source: dt.datetime
    run: int
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class CountedLooks:
    """The growth at each look that counts, in order; which looks do not count; and sentences that say so."""

    grown: tuple[Grown, ...]
    before_drain: int
    duplicates: int
    absent: int
    resets: int
    skew_seconds: float | None
    notes: tuple[str, ...]

    @property
    def last_run(self) -> int:
        return self.grown[-1].run if self.grown else 0


def count_looks(looks: Sequence[Look], *, drained_at: dt.datetime) -> CountedLooks:
    """Sort the looks out. `drained_at` is by the hub's clock. Raises `InvalidEvidence` for looks of several kinds.

    - A look counts when **both** clocks say that it was taken at or after `drained_at`. With a source that is slow, looks wait as long as it is
      slow. A source whose times are ahead of the hub's is fast: its times are set back by the most that was seen until then, so that a reading of
      before the drain stays out however late it is fetched.
    - Looks with the same source time are one reading, however often it was fetched; the first fetch is its time at the hub.
    - A reading below the one before is a reset: it and all before it do not count, and becomes what later looks are compared with.
    - Growth is from the first reading of a run: a series that was born after the drain counts from its first look, not from zero.
    """
    if drained_at.tzinfo is None:
        raise InvalidEvidence("The instant of the drain needs a time zone.")
    if len({type(look.evidence) for look in looks if look.evidence is not None}) > 1:
        raise InvalidEvidence("The looks are of several kinds: all are counts, or all histograms, or all samples.")
    ordered = sorted(looks, key=lambda look: (look.at_source, look.evidence is None, look.at_hub, look.evidence.sort_key if look.evidence else ()))
    once = list({look.at_source: look for look in reversed(ordered)}.values())[::-1]
    late = _after_drain(once, drained_at)
    present = [look for look in late if look.evidence is not None]

    grown: list[Grown] = []
    first: Evidence | None = None
    previous: Evidence | None = None
    run, reset_at, forgotten = 0, None, 0
    for position, look in enumerate(present):
        evidence = look.evidence
        assert evidence is not None
        if first is None or previous is None:
            first = evidence
        elif not evidence.follows(previous):  # type: ignore[arg-type]  # all are of one kind, as seen above
            first, run, reset_at, forgotten = evidence, run + 1, look.at_source, position
        grown.append(Grown(look.at_source, run, evidence.since(first)))  # type: ignore[arg-type]
        previous = evidence

    before_drain, duplicates, absent = len(once) - len(late), len(ordered) - len(once), len(late) - len(present)
    notes = []
    if before_drain:
        notes.append(f"{counted(before_drain, 'look')} stamped before the drain, by the source's clock or by ours, did not count.")
    if duplicates:
        notes.append(f"{counted(duplicates, 'look')} repeated a reading and did not count again.")
    if absent:
        notes.append(f"The series was absent at {counted(absent, 'look')}; it counts from its first look on.")
    if reset_at:
        notes.append(f"The counter started anew at {reset_at.astimezone(dt.UTC):%H:%M:%S} UTC: that look and the {forgotten:,} before it do not count.")
    skews = sorted((look.at_source - look.at_hub).total_seconds() for look in ordered)
    return CountedLooks(tuple(grown), before_drain, duplicates, absent, run, skews[len(skews) // 2] if skews else None, tuple(notes))


def _after_drain(readings: Sequence[Look], drained_at: dt.datetime) -> list[Look]:
    """The readings that both clocks place at or after the drain, in the same order."""
    ahead, late = dt.timedelta(0), set()
    for look in sorted(readings, key=lambda look: look.at_hub):
        ahead = max(ahead, look.at_source - look.at_hub)
        if look.at_source - ahead >= drained_at:
            late.add(look.at_source)
    return [look for look in readings if look.at_source in late]
