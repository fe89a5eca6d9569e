"""Matching labels, the course of an alert, and whether RollbackHub may act by itself. Pure: no database."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from re import _constants as _c  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from typing import Any

from rollbackhub.accounts.enums import Role
from rollbackhub.alerts.enums import AlertState
from rollbackhub.executions.enums import ProofState

OPERATORS = {"=": "is", "!=": "is not", "=~": "fits", "!~": "does not fit"}
MAX_MATCHERS = 16
LONGEST_PATTERN = 200
MATCHED = 256
"""A pattern is held against so many characters of a label at most."""
MOST_WAYS = 100_000
"""In so many ways at most a pattern may try to fit: what could take for ever is refused when it is written."""


@dataclass(frozen=True, slots=True)
class Matcher:
    """One condition: a label that is missing counts as an empty one, as Prometheus has it."""

    label: str
    op: str
    value: str

    @property
    def in_words(self) -> str:
        """`severity is critical`."""
        return f"{self.label} {OPERATORS[self.op]} {self.value or '(empty)'}"

    def as_json(self) -> dict[str, str]:
        """As it is kept."""
        return {"label": self.label, "op": self.op, "value": self.value}


def matchers_of(kept: Sequence[Mapping[str, str]]) -> list[Matcher]:
    """From what was kept."""
    return [Matcher(entry["label"], entry["op"], entry["value"]) for entry in kept]


def matches(matchers: Sequence[Matcher], labels: Mapping[str, str]) -> bool:
    """Whether all of them fit; none at all fits everything."""
    return all(_fits(matcher, labels.get(matcher.label, "")) for matcher in matchers)


def _fits(matcher: Matcher, value: str) -> bool:
    if matcher.op in ("=", "!="):
        return (value == matcher.value) == (matcher.op == "=")
    return (_compiled(matcher.value).fullmatch(value[:MATCHED]) is not None) == (matcher.op == "=~")


@lru_cache(maxsize=512)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def problem_of_pattern(pattern: str) -> str:
    """Why this regular expression is not taken, as a sentence; empty when it is. It has to fit the whole label."""
    if len(pattern) > LONGEST_PATTERN:
        return f"A pattern has at most {LONGEST_PATTERN} characters."
    try:
        parsed = _parser.parse(pattern)
        _compiled(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        return f"The pattern cannot be read: {error}."
    ways = _ways(parsed)
    if ways is None:
        return "The pattern repeats a group, looks around or refers back to a group. Write it with alternatives (a|b) and with repeated single characters."
    if ways > MOST_WAYS:
        return "The pattern could take too long: it repeats too much. Two times .* in one alternative are enough."
    return ""


def _ways(parsed: Any) -> int | None:
    """In how many ways it could be tried at most against MATCHED characters; None: with something that is not taken at all."""
    ways = 1
    for op, argument in parsed:
        if op in (_c.LITERAL, _c.NOT_LITERAL, _c.ANY, _c.IN, _c.AT):
            found: int | None = 1
        elif op is _c.BRANCH:
            found = _sum(_ways(branch) for branch in argument[1])
        elif op is _c.SUBPATTERN:
            found = _ways(argument[3])
        elif op in (_c.MAX_REPEAT, _c.MIN_REPEAT):
            low, high, inner = argument
            found = _ways_of_repeat(int(low), int(high), inner)
        else:
            found = None
        if found is None:
            return None
        ways *= found
    return ways


def _ways_of_repeat(low: int, high: int, inner: Any) -> int | None:
    single = len(inner) == 1 and inner[0][0] in (_c.LITERAL, _c.NOT_LITERAL, _c.ANY, _c.IN)
    if single:
        return min(high, MATCHED) - min(low, MATCHED) + 1
    # A group that may be there or not is two ways; one that repeats is what takes for ever.
    within = _ways(inner) if high <= 1 else None
    return None if within is None else within + 1


def _sum(counts: Any) -> int | None:
    found = list(counts)
    return None if None in found else sum(found)


@dataclass(frozen=True, slots=True)
class Course:
    """How far an alert has come."""

    state: AlertState
    starts_at: dt.datetime
    """Never later than when it was heard of."""
    sender_starts_at: dt.datetime
    """The same by the sender's clock: it tells one firing from another, also where that clock is ahead."""
    resolved_at: dt.datetime | None = None
    times_seen: int = 0
    times_fired: int = 0
    to_do: bool = False
    """It began to fire, or is over: somebody has to look."""


def go_on(course: Course | None, *, status: AlertState, starts_at: dt.datetime | None, ends_at: dt.datetime | None, at: dt.datetime) -> Course:
    """The course after one more post. The same firing sent again only counts; a later start is a new firing; an earlier one comes late and only counts.

    A start in the future counts as now, and is still known as the same one when it is sent again.
    """
    over_at = min(ends_at or at, at)
    if course is None:
        said, fires = starts_at or at, status == AlertState.FIRING
        # What was over before it was ever heard of asks nobody to do anything.
        return Course(status, min(said, at), said, None if fires else over_at, times_seen=1, times_fired=1, to_do=fires)
    course = replace(course, times_seen=course.times_seen + 1)
    said = starts_at or course.sender_starts_at
    began = course.starts_at if said == course.sender_starts_at else min(said, at)
    if status == AlertState.FIRING:
        if began > course.starts_at:
            times = course.times_fired + 1
            return replace(course, state=AlertState.FIRING, starts_at=began, sender_starts_at=said, resolved_at=None, times_fired=times, to_do=True)
        return course
    if began < course.starts_at or course.state == AlertState.RESOLVED:
        return course
    return replace(course, state=AlertState.RESOLVED, resolved_at=max(over_at, course.starts_at), to_do=True)


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What decides whether RollbackHub may confirm a proposal by itself."""

    is_stopped: bool
    is_on: bool
    account_works: bool
    account_may: bool
    """The service account and the person who answers for it may start this alone."""
    required_role: str
    strategic: bool
    proof: ProofState
    still_fires: bool
    of_alias: int
    """Automatic rollbacks of the alias within the last 24 hours."""
    of_alias_most: int
    of_all: int
    of_all_most: int


def why_not_by_itself(now: Circumstances) -> str:
    """Why a person has to confirm it, as a sentence; empty: RollbackHub may. What is turned off is not worth a sentence, and comes first."""
    if not now.is_on:
        return "Automatic rollback is not turned on for this alias."
    if now.is_stopped:
        return "The kill switch of automatic rollbacks is pulled."
    if not now.still_fires:
        return "The alert was over before anything was done."
    if now.proof != ProofState.VALID:
        return f"The rollback is not proven now: its proof is {now.proof.label.lower()}. Only what a passed drill has shown runs by itself."
    if now.strategic:
        return "It is a strategic rollback: a person decides that."
    if now.required_role != Role.ON_CALL:
        return f"By the authority table it takes the role {Role(now.required_role).label}: only what the on-call engineer decides alone runs by itself."
    if not now.account_works:
        return "The service account that was named for it, or the person who answers for it, is not active."
    if not now.account_may:
        return "The service account that was named for it, or the person who answers for it, may not roll back alone."
    if now.of_alias >= now.of_alias_most:
        return f"It ran by itself {now.of_alias} time{'s' if now.of_alias > 1 else ''} within 24 hours already, which is the most for this alias."
    if now.of_all >= now.of_all_most:
        return f"{now.of_all} automatic rollback{'s' if now.of_all > 1 else ''} ran within 24 hours already, which is the most for all aliases together."
    return ""
