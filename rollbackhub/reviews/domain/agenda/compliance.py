"""Which drills were planned in the quarter, and what became of them."""

from __future__ import annotations

from collections import Counter

from drills.enums import PlannedState
from drills.models import PlannedDrill
from rollbackhub.analytics.answer import Answer, Cell, Column, Table
from rollbackhub.analytics.questions import compliance as question
from rollbackhub.common.sentences import counted
from rollbackhub.reviews.domain.agenda.scope import Scope, figures_of, shortened

PLANS = (
    Column("plan", "Plan"),
    Column("planned", "Planned", "count"),
    Column("passed", "Passed", "count"),
    Column("failed", "Failed", "count"),
    Column("missed", "Missed", "count"),
    Column("excused", "Excused", "count"),
    Column("open", "Running or overdue", "count"),
    Column("to_come", "To come", "count"),
    Column("done", "Done of those planned", "share"),
)
NOT_DONE = (Column("plan", "Plan"), Column("due", "Due", "instant"), Column("state", "What became of it"), Column("why", "Why"))
DONE = (PlannedState.PASSED, PlannedState.FAILED)
SETTLED = (*DONE, PlannedState.RUNNING, PlannedState.OVERDUE, PlannedState.MISSED, PlannedState.EXCUSED)
"""What becomes of those whose time has come. An excused drill was planned and not done."""


def compliance(scope: Scope) -> Answer:
    """Planned drills of the team's plans in the quarter. One query."""
    found = PlannedDrill.objects.filter(plan__team=scope.team, starts_at__gte=scope.begins_at, starts_at__lt=scope.ends_at)
    if not scope.review.is_lab:
        found = found.filter(plan__environment__is_lab=False)
    planned = list(found.select_related("plan").order_by("plan__name", "starts_at"))
    if not planned:
        return Answer(
            headline="No drill was planned in this quarter.", empty="Drill plans put drills on the calendar; what became of each of them stands here."
        )
    come = [drill for drill in planned if _has_come(drill, scope)]
    to_come = Counter(drill.plan.name for drill in planned if drill.state == PlannedState.DUE)
    ahead = sum(drill.state == PlannedState.EXCUSED for drill in planned) - sum(drill.state == PlannedState.EXCUSED for drill in come)
    by_plan: dict[str, Counter[str]] = {drill.plan.name: Counter() for drill in planned}
    for drill in come:
        by_plan[drill.plan.name][drill.state] += 1
    total = Counter(drill.state for drill in come)
    title, rows = shortened("Drills by plan", [_row(name, states, to_come[name]) for name, states in by_plan.items()])
    tables = [Table(title, PLANS, rows)]
    not_done = [
        (drill.plan.name, drill.starts_at, drill.get_state_display(), drill.why)
        for drill in come
        if drill.state in (PlannedState.MISSED, PlannedState.EXCUSED, PlannedState.OVERDUE)
    ]
    if not_done:
        title, shown = shortened("Missed, overdue or excused", not_done)
        tables.append(Table(title, NOT_DONE, shown))
    return Answer(
        headline=_headline(total),
        figures=figures_of(question.answer(scope.wanted), "compliance-by-month"),
        tables=tables,
        notes=[
            "Planned are those whose time has come; an excused drill was planned and not done, a failed one was done.",
            *([f"{counted(ahead, 'drill')} {'was' if ahead == 1 else 'were'} excused ahead of {'its' if ahead == 1 else 'their'} time."] if ahead else []),
        ],
    )


def _has_come(drill: PlannedDrill, scope: Scope) -> bool:
    """The same as analytics count, as of the preparation."""
    return drill.state in SETTLED and (drill.starts_at <= scope.at or drill.started_at is not None)


def _headline(total: Counter[str]) -> str:
    done, due = sum(total[state] for state in DONE), total.total()
    if not due:
        return "No planned drill's time has come yet in this quarter."
    share = f" ({round(100 * done / due)} %)"
    further = [f"{total[state]} {state.label.lower()}" for state in (PlannedState.MISSED, PlannedState.EXCUSED, PlannedState.OVERDUE) if total[state]]
    passed = f", {total[PlannedState.PASSED]} passed" if done else ""
    return f"{done} of {counted(due, 'planned drill')} {'was' if done == 1 else 'were'} done{share}{passed}{'; ' + ', '.join(further) if further else ''}."


def _row(name: str, states: Counter[str], to_come: int) -> tuple[Cell, ...]:
    done, due = sum(states[state] for state in DONE), states.total()
    still = states[PlannedState.OVERDUE] + states[PlannedState.RUNNING]
    counts = [states[state] for state in (PlannedState.PASSED, PlannedState.FAILED, PlannedState.MISSED, PlannedState.EXCUSED)]
    return (name, due, *counts, still, to_come, done / due if due else None)
