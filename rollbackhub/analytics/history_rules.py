"""How a row of a history file is read: what each column means, and what is wrong in words. Pure: no database."""

from __future__ import annotations

import datetime as dt
import math
import re
import zoneinfo
from collections.abc import Mapping
from dataclasses import dataclass, field

from rollbackhub.accounts.enums import Role
from rollbackhub.analytics.enums import IN_PRODUCTION, RunKind
from rollbackhub.common.clock import seconds_between
from rollbackhub.common.verdict import Verdict
from rollbackhub.rollbacks.enums import AuthorisedBy, RollbackState, RollForwardState
from rollbackhub.rollbacks.rules import LEVELS

NEEDED = ("kind", "alias", "environment", "decided_at", "verdict")
INSTANTS = ("detected_at", "decided_at", "authorised_at", "executed_at", "propagated_at", "drained_at", "restored_at", "verified_at")
"""In the order in which they come, but that draining may be seen before the last gateway has acknowledged."""
TEXTS = {"reference": 120, "note": 2000}
COLUMNS = (
    *("kind", "alias", "artefact", "environment"),
    *INSTANTS,
    *("rollback_seconds", "target_seconds", "verdict", "outcome", "authority", "authorised_how", "exposure"),
    *TEXTS,
)
OUTCOMES: dict[RunKind, tuple[str, ...]] = {
    RunKind.ROLLBACK: (
        RollbackState.VERIFIED,
        RollbackState.CLOSED,
        RollbackState.VERIFICATION_FAILED,
        RollbackState.UNDONE,
        RollbackState.CANCELLED,
        RollbackState.ROLLED_FORWARD,
    ),
    RunKind.ROLL_FORWARD: (RollForwardState.HELD, RollForwardState.FAILED),
}
"""How it may have ended. A drill or rehearsal ends with its verdict."""
EARLIEST = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
MAX_SECONDS = 366 * 86400.0
MAX_COUNT = 10**15
MAX_TARGET = 2**31 - 1
AGREE_SECONDS = 1.0
"""Within which a duration and the instants that it was reckoned from agree."""

_WRITE_TIME = "Write it like 2026-03-14T09:30:00+01:00, or like 2026-03-14 09:30 and state the file's time zone."
_INSTANT = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?) ?(Z|z|[+-]\d\d:?\d\d)?")
_WHOLE = re.compile(r"\d{1,18}")
_DECIMAL = re.compile(r"\d{1,12}(?:\.\d{1,9})?")


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong in a row: the column (empty: the row as a whole), and what to do."""

    column: str
    sentence: str


@dataclass(frozen=True, slots=True)
class PastRun:
    """What a row says, read. Seconds that its instants do not give are None."""

    kind: RunKind
    at: dt.datetime
    verdict: Verdict
    outcome: str
    rollback_seconds: float | None
    target_seconds: int | None
    authority: str
    authorised_how: str
    exposure: int | None
    segments: Mapping[str, float | None]
    """Seconds by the name of a fact's field (`detect_seconds`, …)."""

    @property
    def hit(self) -> bool | None:
        """Whether it was restored within its target; None: not measured, or no target is known."""
        if self.rollback_seconds is None or self.target_seconds is None:
            return None
        return self.rollback_seconds <= self.target_seconds


def read_row(values: Mapping[str, str], *, zone: zoneinfo.ZoneInfo | None, now: dt.datetime) -> tuple[PastRun | None, list[Problem]]:
    """A row's cells (by column, all of COLUMNS) as a run, or what is wrong with it. `zone`: of times that name none."""
    return _Row(values, zone, now).read()


@dataclass
class _Row:
    values: Mapping[str, str]
    zone: zoneinfo.ZoneInfo | None
    now: dt.datetime
    problems: list[Problem] = field(default_factory=list)

    def read(self) -> tuple[PastRun | None, list[Problem]]:
        kind = self._choice("kind", RunKind.values)
        verdict = self._choice("verdict", Verdict.values)
        instants = {name: self._instant(name) for name in INSTANTS}
        if not self.values["decided_at"]:
            self._say("decided_at", f"Say when it was decided. {_WRITE_TIME}")
        self._require_order(instants)
        seconds = self._rollback_seconds(instants)
        target = self._whole("target_seconds", least=1, most=MAX_TARGET)
        exposure = self._whole("exposure", least=0, most=MAX_COUNT)
        for name, longest in TEXTS.items():
            self._text(name, longest)
        authority = self._choice("authority", [role.value for role in LEVELS], needed=False)
        how = self._choice("authorised_how", AuthorisedBy.values, needed=False)
        run_kind = RunKind(kind) if kind else None
        outcome = self._outcome(run_kind, verdict)
        if run_kind is not None and run_kind not in IN_PRODUCTION:
            for name in ("detected_at", "authorised_at", "authority", "authorised_how", "exposure"):
                if self.values[name]:
                    self._say(name, f"A {run_kind.label.lower()} has none: only what was decided for production has. Leave it empty.")
        if verdict == Verdict.PASSED and seconds is None and not self._has("restored_at", "rollback_seconds"):
            self._say("restored_at", "A run that passed was restored. Say when, or how long it took in rollback_seconds.")
        at = instants["decided_at"]
        if self.problems or run_kind is None or at is None:
            return None, self.problems
        return (
            PastRun(
                kind=run_kind,
                at=at,
                verdict=Verdict(verdict),
                outcome=outcome,
                rollback_seconds=seconds,
                target_seconds=target,
                authority=authority,
                authorised_how=how,
                exposure=exposure,
                segments=_segments(run_kind, instants),
            ),
            [],
        )

    def _say(self, column: str, sentence: str) -> None:
        self.problems.append(Problem(column, sentence))

    def _has(self, *columns: str) -> bool:
        """Whether one of these holds something, also something wrong that was named already."""
        return any(self.values[name] for name in columns)

    def _choice(self, column: str, known: list[str], *, needed: bool = True) -> str:
        value = self.values[column].lower()
        if not value:
            if needed:
                self._say(column, f"Say one of {', '.join(known)}.")
            return ""
        if value not in known:
            self._say(column, f"{self.values[column][:60]} is none of {', '.join(known)}.")
            return ""
        return value

    def _instant(self, column: str) -> dt.datetime | None:
        text = self.values[column]
        if not text:
            return None
        found = _INSTANT.fullmatch(text)
        try:
            read = dt.datetime.fromisoformat(f"{found[1]}T{found[2]}{(found[3] or '').upper()}") if found else None
        except ValueError:
            read = None
        if read is None:
            self._say(column, f"{text[:60]} is no instant. {_WRITE_TIME}")
            return None
        if read.tzinfo is None:
            if self.zone is None:
                self._say(column, f"{text[:60]} names no time zone. Add its offset, e.g. {text[:30]}+01:00 or {text[:30]}Z, or state the file's time zone.")
                return None
            local = read.replace(tzinfo=self.zone)
            if local.astimezone(dt.UTC).astimezone(self.zone).replace(tzinfo=None) != read:
                self._say(column, f"{text[:60]} never was in {self.zone.key}: the clocks were put forward. Write it with its offset.")
                return None
            if local.utcoffset() != read.replace(tzinfo=self.zone, fold=1).utcoffset():
                self._say(column, f"{text[:60]} was twice in {self.zone.key}: the clocks were put back. Write it with its offset.")
                return None
            read = local
        try:
            read = read.astimezone(dt.UTC)
        except OverflowError:
            read = EARLIEST - dt.timedelta(days=1)
        if not EARLIEST <= read <= self.now:
            when = "has not come yet" if read > self.now else "lies before the year 2000"
            self._say(column, f"{text[:60]} {when}. History is what has happened since then.")
            return None
        return read

    def _require_order(self, instants: Mapping[str, dt.datetime | None]) -> None:
        before: tuple[str, dt.datetime] | None = None
        for name in INSTANTS:
            at = instants[name]
            if at is None or name == "drained_at":
                continue
            if before is not None and at < before[1]:
                self._say(name, f"It lies before {before[0]}. Which of the two is right?")
            else:
                before = (name, at)
        drained = instants["drained_at"]
        for name, other in (("executed_at", instants["executed_at"]), ("decided_at", instants["decided_at"])):
            if drained is not None and other is not None and drained < other:
                self._say("drained_at", f"It lies before {name}. Which of the two is right?")
                return
        restored = instants["restored_at"]
        if drained is not None and restored is not None and restored < drained:
            self._say("restored_at", "It lies before drained_at: restored is when the bad version's traffic is seen to be gone.")

    def _rollback_seconds(self, instants: Mapping[str, dt.datetime | None]) -> float | None:
        stated = self._seconds("rollback_seconds")
        measured = seconds_between(instants["decided_at"], instants["restored_at"])
        if measured is not None and measured > MAX_SECONDS:
            self._say("restored_at", "That is more than a year after the decision. Look at both instants.")
            return None
        if stated is None or measured is None:
            return stated if measured is None else measured
        if abs(stated - measured) > AGREE_SECONDS:
            self._say("rollback_seconds", f"From decided_at to restored_at it is {measured:g} s. Correct one of the three, or leave rollback_seconds empty.")
        return measured

    def _seconds(self, column: str) -> float | None:
        text = self.values[column]
        if not text:
            return None
        value = float(text) if _DECIMAL.fullmatch(text) else math.nan
        if not 0 <= value <= MAX_SECONDS:
            self._say(column, f"{text[:60]} is no number of seconds. Write it like 240 or 312.5, a year at most.")
            return None
        return value

    def _whole(self, column: str, *, least: int, most: int) -> int | None:
        text = self.values[column]
        if not text:
            return None
        value = int(text) if _WHOLE.fullmatch(text) else -1
        if not least <= value <= most:
            self._say(column, f"{text[:60]} is no whole number from {least} to {most:,}. Write it without separators, e.g. 1200.")
            return None
        return value

    def _text(self, column: str, longest: int) -> None:
        text = self.values[column]
        if len(text) > longest:
            self._say(column, f"It may have {longest:,} characters at most, not {len(text):,}.")
        elif any(not (character.isprintable() or character in "\n\r\t") for character in text):
            self._say(column, "It holds a character that cannot be shown. Take it out.")

    def _outcome(self, kind: RunKind | None, verdict: str) -> str:
        """How it ended: as the file says, else what its verdict says."""
        if kind is None or not verdict:
            return ""
        passed = verdict == Verdict.PASSED
        if kind not in OUTCOMES:
            if self.values["outcome"] and self.values["outcome"].lower() != verdict:
                self._say("outcome", f"A {kind.label.lower()} ends with its verdict. Leave it empty.")
            return verdict
        if not self.values["outcome"]:
            if kind == RunKind.ROLL_FORWARD:
                return str(RollForwardState.HELD if passed else RollForwardState.FAILED)
            return str(RollbackState.VERIFIED if passed else RollbackState.CLOSED)
        outcome = self._choice("outcome", [str(known) for known in OUTCOMES[kind]])
        if outcome == RollbackState.VERIFIED and not passed:
            self._say("outcome", f"A rollback that was verified passed; its verdict is {verdict}.")
        if outcome == RollForwardState.HELD and not passed:
            self._say("outcome", f"A fix that holds passed; its verdict is {verdict}.")
        if outcome == RollForwardState.FAILED and passed:
            self._say("outcome", "A fix that does not hold did not pass; its verdict is passed.")
        return outcome


def _segments(kind: RunKind, instants: Mapping[str, dt.datetime | None]) -> dict[str, float | None]:
    """As the hub measures its own (rollbacks' and executions' selectors): draining counts from the last acknowledgement, or from when it was seen."""
    decided, propagated, drained = instants["decided_at"], instants["propagated_at"], instants["drained_at"]
    authorised = instants["authorised_at"] if kind in IN_PRODUCTION else decided
    drain_from = min(propagated, drained) if propagated and drained else None
    return {
        "detect_seconds": seconds_between(instants["detected_at"], decided),
        "authorise_seconds": seconds_between(decided, instants["authorised_at"]) if kind in IN_PRODUCTION else None,
        "execute_seconds": seconds_between(authorised, instants["executed_at"]),
        "propagate_seconds": seconds_between(instants["executed_at"], propagated),
        "drain_seconds": seconds_between(drain_from, drained),
        "verify_seconds": seconds_between(instants["restored_at"], instants["verified_at"]),
    }


def example_rows() -> list[dict[str, str]]:
    """Two rows that show what a file looks like: for the template to download."""
    drill = {
        "kind": RunKind.DRILL.value,
        "alias": "smart-reasoner",
        "environment": "staging",
        "decided_at": "2026-03-02T10:00:00Z",
        "rollback_seconds": "240",
        "target_seconds": "600",
        "verdict": Verdict.PASSED.value,
        "reference": "DRILL-17",
    }
    rollback = {
        "kind": RunKind.ROLLBACK.value,
        "alias": "smart-reasoner",
        "environment": "production",
        "detected_at": "2026-03-14T01:25:00Z",
        "decided_at": "2026-03-14T01:31:00Z",
        "authorised_at": "2026-03-14T01:40:00Z",
        "restored_at": "2026-03-14T01:52:30Z",
        "target_seconds": "600",
        "verdict": Verdict.PASSED.value,
        "outcome": RollbackState.VERIFIED.value,
        "authority": Role.ON_CALL.value,
        "authorised_how": AuthorisedBy.OWN.value,
        "exposure": "18200",
        "reference": "INC-204",
        "note": "The flag had been renamed",
    }
    return [{name: row.get(name, "") for name in COLUMNS} for row in (drill, rollback)]
