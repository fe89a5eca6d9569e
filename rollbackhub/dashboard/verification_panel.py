"""What verified a rollback, check by check: its state in words, its series against the baseline, the numbers, and the query."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rollbackhub.charts.check_series import check_series
from rollbackhub.charts.content import as_content
from rollbackhub.charts.rows import Mark, SeriesValue
from rollbackhub.common import clock
from rollbackhub.common.verdict import Verdict
from rollbackhub.dashboard.figures import CHART_POINTS, PageFigure
from rollbackhub.dashboard.looks import VERDICTS, Look
from rollbackhub.dashboard.number_words import NumberRow, number_rows
from rollbackhub.executions.domain.looks import LookTaken, Verification, get_verification
from rollbackhub.executions.models import CheckResult, Execution
from rollbackhub.verification.series import CheckSeries, series_of
from rollbackhub.verification.specs import METRICS, CheckSpec, title_of

TABLE_LOOKS = 100
AXES = {"negative_feedback": "Negative feedback, share of requests", "errors": "Errors, share of requests", "latency": "Median latency"}
WHILE_IT_RUNS = {
    Verdict.PASSED: Look("Passes now", "circle-check", "ok"),
    Verdict.FAILED: Look("Not back yet", "circle-x", "bad"),
    Verdict.INCONCLUSIVE: Look("Not enough seen yet", "hourglass", "busy"),
    Verdict.ERROR: Look("Cannot be seen now", "alert-triangle", "warn"),
}
ORDER = [Verdict.FAILED, Verdict.ERROR, Verdict.INCONCLUSIVE, Verdict.PASSED]


@dataclass(frozen=True, slots=True)
class LookRow:
    """One look, for the table behind the chart."""

    at: dt.datetime
    seconds: float | None
    """Since the flip."""
    requests: int
    events: int | None
    value: float | None
    verdict: str


@dataclass(frozen=True, slots=True)
class CheckPanel:
    """One check."""

    key: str
    title: str
    look: Look
    sentence: str
    passes: int
    """Looks in a row, up to the last, that passed."""
    wanted: int
    last_at: dt.datetime | None
    figure: PageFigure | None = None
    series: CheckSeries | None = None
    rows: list[LookRow] = field(default_factory=list)
    numbers: Mapping[str, Any] = field(default_factory=dict)
    order: int = 0

    @property
    def number_rows(self) -> list[NumberRow]:
        """The numbers with what they mean."""
        return number_rows(self.numbers)

    @property
    def streak(self) -> str:
        """`3 looks in a row have passed, 2 are wanted`."""
        several = "looks in a row have" if self.passes != 1 else "look has"
        return f"{self.passes} {several} passed, {self.wanted} {'are' if self.wanted != 1 else 'is'} wanted"


@dataclass(frozen=True, slots=True)
class VerificationPanel:
    """One attempt to verify."""

    id: str
    attempt: int
    looks: int
    checks: list[CheckPanel]
    queries: list[str]
    why_no_baseline: str
    is_whole: bool


def panel_of(execution: Execution) -> VerificationPanel | None:
    """The newest verification of an execution, whose attempts and checks must be fetched; None when it took no look that was kept. One query."""
    found = get_verification(execution)
    if found is None:
        return None
    results = {result.check_name: result for result in execution.checks.all() if result.attempt_id == found.attempt.pk}
    panels = [_check(execution, found, check, results.get(check.key)) for check in found.checks]
    lacks = any(panel.series is not None and panel.series.baseline is None for panel in panels)
    return VerificationPanel(
        id=str(execution.pk)[:8],
        attempt=found.attempt.number,
        looks=len(found.taken),
        # What stands in the way first.
        checks=sorted(panels, key=lambda panel: panel.order),
        queries=found.queries,
        why_no_baseline="There is no baseline: no metrics of the good versions were read before the flip." if lacks and not found.looks.baselines else "",
        is_whole=found.is_whole,
    )


def _check(execution: Execution, found: Verification, check: CheckSpec, result: CheckResult | None) -> CheckPanel:
    last = found.taken[-1]
    verdict = Verdict(result.verdict if result else last.verdicts.get(check.key, Verdict.INCONCLUSIVE))
    series = series_of(check, found.looks)
    title = title_of(check)
    return CheckPanel(
        key=check.key,
        title=title,
        look=VERDICTS[verdict] if result else WHILE_IT_RUNS[verdict],
        sentence=result.sentence if result else last.sentences.get(check.key, ""),
        passes=_streak(found.taken, check.key),
        wanted=check.consecutive,
        last_at=last.at,
        figure=_figure(execution, check, series) if series is not None else None,
        series=series,
        rows=_rows(execution, found.taken, check.key, series) if series is not None else [],
        numbers=result.numbers if result else {},
        order=ORDER.index(verdict),
    )


def _streak(taken: list[LookTaken], key: str) -> int:
    count = 0
    for look in reversed(taken):
        if look.verdicts.get(key) != Verdict.PASSED:
            break
        count += 1
    return count


def _figure(execution: Execution, check: CheckSpec, series: CheckSeries) -> PageFigure | None:
    zero = execution.executed_at
    if zero is None or not any(point.value is not None for point in series.points):
        return None
    step = max(1, -(-len(series.points) // CHART_POINTS))
    points = [SeriesValue(round((point.at - zero).total_seconds(), 3), point.value, point.requests) for point in series.points[::step]]
    instants = (("flip", zero), ("drained", execution.drained_at))
    marks = [Mark(name, seconds) for name, at in instants if (seconds := clock.seconds_between(zero, at)) is not None]
    figure = check_series(title=AXES[series.metric], points=points, marks=marks, baseline=series.baseline, allowed=series.allowed, unit=series.unit)
    label = f"{METRICS[series.metric]} since the drain, with its baseline and what is allowed. The table below has the same numbers."
    return PageFigure(f"figure-check-{check.key}-{str(execution.pk)[:8]}", as_content(figure), label)


def _rows(execution: Execution, taken: list[LookTaken], key: str, series: CheckSeries) -> list[LookRow]:
    """The newest looks that counted something; the verdict is that of the look that followed the reading."""
    rows, at = [], 0
    for point in series.points:
        while at < len(taken) - 1 and taken[at].at < point.at:
            at += 1
        seconds = clock.seconds_between(execution.executed_at, point.at)
        rows.append(LookRow(point.at, seconds, point.requests, point.events, point.value, taken[at].verdicts.get(key, "")))
    return rows[-TABLE_LOOKS:]
