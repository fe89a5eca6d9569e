"""Drills that failed in the quarter, and what drills caught that is still to be mended."""

from __future__ import annotations

from drills.models import FindingAction
from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.actions.enums import ActionState
from rollbackhub.analytics.answer import Answer, Cell, Column, Table
from rollbackhub.analytics.questions import findings as question
from rollbackhub.common.sentences import counted
from rollbackhub.common.verdict import Verdict
from rollbackhub.executions.enums import REHEARSES, ExecutionState, FindingCode
from rollbackhub.executions.models import Execution
from rollbackhub.reviews.domain.agenda.scope import Scope, figures_of, shortened

FAILED = (
    Column("alias", "Alias"),
    Column("at", "When", "instant"),
    Column("kind", "Kind"),
    Column("findings", "What it caught"),
    Column("outcome", "Outcome"),
    Column("url", "Page"),
)
OPEN = (
    Column("finding", "Finding"),
    Column("alias", "Alias"),
    Column("owner", "Owner"),
    Column("due_on", "Due", "day"),
    Column("state", "Where it stands"),
    Column("times", "Seen", "count"),
    Column("url", "Page"),
)


def findings(scope: Scope) -> Answer:
    """Failed drills and open findings. Three queries."""
    runs = Execution.objects.filter(
        policy__artefact__team=scope.team, kind__in=REHEARSES, state=ExecutionState.FINISHED, created_at__gte=scope.begins_at, created_at__lt=scope.ends_at
    )
    if not scope.review.is_lab:
        runs = runs.filter(is_lab=False)
    failed = list(runs.filter(verdict=Verdict.FAILED).select_related("policy").prefetch_related("findings").defer("plan").order_by("-created_at"))
    links = FindingAction.objects.filter(action__team=scope.team, action__state=ActionState.OPEN).select_related("action__owner", "policy")
    still_open = list((links if scope.review.is_lab else links.filter(action__is_lab=False)).order_by("action__due_on", "pk"))
    tables = []
    if failed:
        title, rows = shortened("Failed drills", [_failed_row(run) for run in failed])
        tables.append(Table(title, FAILED, rows, url_column=5))
    if still_open:
        title, open_rows = shortened("Open findings", [_open_row(link, scope) for link in still_open])
        tables.append(Table(title, OPEN, open_rows, url_column=6))
    overdue = sum(link.action.due_on < scope.today for link in still_open)
    late = f", {overdue} overdue" if overdue else ""
    if not failed and not still_open:
        return Answer(headline="No drill failed in this quarter, and no finding is open.")
    headline = (
        f"{counted(len(failed), 'drill')} failed in this quarter; {counted(len(still_open), 'finding')} {'is' if len(still_open) == 1 else 'are'} open{late}."
    )
    figures = figures_of(question.answer(scope.wanted), "findings-by-code", "time-to-mend")
    return Answer(headline=headline, figures=figures, tables=tables, notes=["Open findings as of the preparation, whenever they were found."])


def _failed_row(run: Execution) -> tuple[Cell, ...]:
    caught = "; ".join(f"{finding.get_code_display()}: {finding.subject}" for finding in run.findings.all()[:3])
    return (run.policy.alias, run.created_at, run.get_kind_display(), caught, run.outcome, f"/drills/{run.pk}/")


def _open_row(link: FindingAction, scope: Scope) -> tuple[Cell, ...]:
    action = link.action
    state = "Overdue" if action.due_on < scope.today else action.get_state_display()
    code = FindingCode(link.code).label if link.code in FindingCode.values else link.code
    name = f"{code}: {link.subject}"
    return (name, link.policy.alias, actor_of(action.owner).label, action.due_on, state, link.times_seen, f"/drills/{link.last_seen_execution_id}/")
