"""An execution's progress in a terminal: of a drill, and of a production rollback."""

from __future__ import annotations

from rich.markup import escape
from rich.table import Table

from rollbackhub.common import clock
from rollbackhub.executions.enums import StepState
from rollbackhub.executions.models import Execution, StepAttempt

_WORDS = {
    StepState.STARTED: "[cyan]running[/]",
    StepState.DONE: "[green]done[/]",
    StepState.FAILED: "[red]failed[/]",
    StepState.INTERRUPTED: "[yellow]interrupted[/]",
    StepState.UNKNOWN: "[yellow]unknown[/]",
    StepState.SKIPPED: "[yellow]skipped[/]",
}


def progress_table(execution: Execution) -> Table:
    """The steps of an execution with state and duration."""
    attempts: dict[int, list[StepAttempt]] = {}
    for attempt in execution.attempts.all():
        attempts.setdefault(attempt.position, []).append(attempt)
    table = Table(
        title=f"{execution.get_kind_display()} of {execution.plan['alias']} in {execution.plan['environment']}: {execution.get_state_display()}",
        title_justify="left",
    )
    table.add_column("Step")
    table.add_column("State")
    table.add_column("Seconds", justify="right")
    table.add_column("Seen")
    for position, step in enumerate(execution.plan["steps"]):
        tries = attempts.get(position, [])
        if not tries and step.get("undo"):
            continue  # Runs only when a person has things put back.
        if not tries:
            table.add_row(escape(step["title"]), "[dim]to come[/]", "", "")
            continue
        last = tries[-1]
        seconds = clock.seconds_between(tries[0].started_at, last.ended_at or clock.now()) or 0
        again = f" (try {len(tries)})" if len(tries) > 1 else ""
        table.add_row(escape(step["title"]), _WORDS[StepState(last.state)] + again, f"{seconds:.2f}", escape(last.message))
    return table
