"""Which runs missed their target, and in which segment the time went."""

from __future__ import annotations

from collections import Counter
from typing import Any

from django.db.models import QuerySet

from rollbackhub.analytics.answer import Answer, Cell, Column, Table
from rollbackhub.analytics.domain.facts import URL, facts_matching
from rollbackhub.analytics.enums import IN_PRODUCTION, RunKind
from rollbackhub.analytics.models import RunFact
from rollbackhub.analytics.questions import hit_rate, segments
from rollbackhub.analytics.questions.wording import listed
from rollbackhub.common.durations import in_words
from rollbackhub.common.sentences import counted
from rollbackhub.executions.enums import Segment
from rollbackhub.reviews.domain.agenda.scope import Scope, figures_of, shortened

MEASURED = (Segment.DECIDE, Segment.AUTHORISE, Segment.EXECUTE, Segment.PROPAGATE, Segment.DRAIN)
"""Between decision and restoration; detecting comes before, verifying after."""

MOST = segments.MOST
PRODUCTION_ALONE = (Segment.DECIDE, Segment.AUTHORISE)
"""A drill has none of these."""

MISSES = (
    Column("alias", "Alias"),
    Column("at", "When", "instant"),
    Column("kind", "Kind"),
    Column("took", "Took", "seconds"),
    Column("target", "Target", "seconds"),
    Column("over", "Over by", "seconds"),
    Column("segment", "Most of it in"),
    Column("segment_seconds", "There", "seconds"),
    Column("url", "Page"),
)
SEGMENTS = (Column("segment", "Segment"), Column("misses", "Misses in which it took most", "count"), Column("seconds", "Time in misses", "seconds"))


def misses(scope: Scope) -> Answer:
    """Runs of the quarter that were restored later than their target. Two queries, and those of the figures."""
    measured = runs_of(scope).filter(hit__isnull=False).count()
    if not measured:
        return Answer(
            headline="No run was measured against a target in this quarter.", empty="Drills and rollbacks that are restored and have a target stand here."
        )
    missed = list(runs_of(scope).filter(hit=False).annotate(url=URL).order_by("-at", "-id"))
    costliest = [_costliest(fact) for fact in missed]
    counts = Counter(segment for segment, _ in costliest if segment)
    unknown = sum(not _is_most_known(fact) for fact in missed)
    tables: list[Table] = []
    if missed:
        rows = [_row(fact, *found) for fact, found in zip(missed, costliest, strict=True)]
        title, shown = shortened("Targets missed", rows)
        sums = {segment: sum(_seconds(fact, segment) or 0 for fact in missed) for segment in MEASURED}
        by_segment = [(segment.label, counts[segment], seconds) for segment, seconds in sums.items() if seconds]
        tables = [Table(title, MISSES, shown, url_column=8), Table("By segment", SEGMENTS, by_segment)]
    return Answer(
        headline=_headline(measured, len(missed), counts, unknown),
        figures=[
            *figures_of(hit_rate.answer(scope.wanted), "hit-rate-by-month"),
            *figures_of(segments.answer(scope.wanted), "segments"),
        ],
        tables=tables,
        notes=["From the decision until restored, drills and rollbacks together.", *_never_recorded(missed)],
    )


def runs_of(scope: Scope) -> QuerySet[RunFact]:
    """The runs of the team in the quarter, as analytics count them."""
    return facts_matching(scope.wanted)


def _headline(measured: int, missed: int, counts: Counter[Segment], unknown: int) -> str:
    if not missed:
        return f"All {counted(measured, 'measured run')} were restored within their target." if measured > 1 else "The one measured run was within its target."
    where = ""
    if counts:
        segment, times = counts.most_common(1)[0]
        where = f"; {segment.label.lower()} took most of the time in {times if missed > 1 else 'it'}" + (" of them" if missed > 1 else "")
    if unknown:
        where += f"; where most of it went is not known{f' in {unknown} of them' if missed > 1 else ''}"
    return f"{missed} of {counted(measured, 'measured run')} missed {'its' if missed == 1 else 'their'} target{where}."


def _costliest(fact: RunFact) -> tuple[Segment | None, float | None]:
    """The segment that took most; none while what was recorded makes up less than half of the rollback time."""
    found = [(seconds, segment) for segment, seconds in _recorded(fact)]
    if not found or not _is_most_known(fact):
        return None, None
    seconds, segment = max(found, key=lambda entry: entry[0])
    return segment, seconds


def _recorded(fact: RunFact) -> list[tuple[Segment, float]]:
    return [(segment, seconds) for segment in MEASURED if (seconds := _seconds(fact, segment)) is not None]


def _is_most_known(fact: RunFact) -> bool:
    return sum(seconds for _, seconds in _recorded(fact)) >= MOST * (fact.rollback_seconds or 0)


def _not_known(fact: RunFact) -> str:
    parts = listed([f"{segment.label.lower()} ({in_words(seconds)})" for segment, seconds in _recorded(fact)])
    return f"Not known: of {in_words(fact.rollback_seconds or 0)} {f'only {parts}' if parts else 'no part'} was recorded"


def _never_recorded(missed: list[Any]) -> list[str]:
    """A note of the segments that no missed run recorded, of those that such runs have."""
    in_production = any(RunKind(fact.kind) in IN_PRODUCTION for fact in missed)
    parts = [segment for segment in MEASURED if segment != Segment.DECIDE and (in_production or segment not in PRODUCTION_ALONE)]
    never = [segment.label.lower() for segment in parts if all(_seconds(fact, segment) is None for fact in missed)]
    return [f"Never recorded in these misses: {listed(never)}."] if missed and never else []


def _seconds(fact: RunFact, segment: Segment) -> float | None:
    value: float | None = getattr(fact, f"{segment.value}_seconds")
    return value


def _row(fact: Any, segment: Segment | None, seconds: float | None) -> tuple[Cell, ...]:
    took, target = fact.rollback_seconds, fact.target_seconds
    over = took - target if took is not None and target is not None else None
    kind = RunKind(fact.kind).label
    return (fact.alias, fact.at, kind, took, target, over, segment.label if segment else _not_known(fact), seconds, fact.url)
