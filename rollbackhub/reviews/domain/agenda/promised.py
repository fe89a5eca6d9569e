"""What the team's earlier reviews promised: actions that are open, or were closed since; and what the last one decided."""

from __future__ import annotations

from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.actions.enums import ActionState
from rollbackhub.analytics.answer import Answer, Cell, Column, Table
from rollbackhub.common.sentences import counted
from rollbackhub.reviews.domain.agenda.scope import Scope, shortened
from rollbackhub.reviews.models import ReviewAction, ReviewDecision

ACTIONS = (
    Column("action", "Action"),
    Column("owner", "Owner"),
    Column("due_on", "Due", "day"),
    Column("state", "Where it stands"),
    Column("closed_at", "Closed", "instant"),
    Column("closed_reason", "What was done, or why not"),
    Column("review", "Promised in"),
    Column("url", "Page"),
)
DECISIONS = (Column("decision", "Decision"), Column("owner", "Owner"), Column("decided_at", "Decided", "instant"))


def promised(scope: Scope) -> Answer:
    """Actions of all earlier reviews until they are done, and the last review's decisions. Three queries."""
    last = scope.previous
    if last is None:
        return Answer(
            headline="Nothing was promised: this is the team's first review.",
            empty="Actions and decisions of this review stand here in the next one, until they are done.",
        )
    links = ReviewAction.objects.filter(review__team=scope.team, review__quarter__lt=scope.quarter).select_related("action__owner", "review__team")
    since = last.held_at
    actions = [
        link for link in links.order_by("action__due_on", "pk") if link.action.state == ActionState.OPEN or (since and (link.action.closed_at or since) > since)
    ]
    open_ones = [link for link in actions if link.action.state == ActionState.OPEN]
    overdue = [link for link in open_ones if link.action.due_on < scope.today]
    rows = [
        _row(link, scope) for link in [*overdue, *(link for link in open_ones if link not in overdue), *(link for link in actions if link not in open_ones)]
    ]
    decisions = ReviewDecision.objects.filter(review=last).order_by("pk")
    title, shown = shortened("Actions of earlier reviews", rows)
    tables = [Table(title, ACTIONS, shown, url_column=7)] if rows else []
    decided = [(decision.text, decision.owner_label, decision.decided_at) for decision in decisions]
    if decided:
        tables.append(Table(f"Decided in {last.quarter_name}", DECISIONS, decided))
    return Answer(headline=_headline(len(actions), len(open_ones), len(overdue)), tables=tables, notes=[f"Since the review of {last.quarter_name}."])


def _headline(all_of_them: int, still_open: int, overdue: int) -> str:
    if not all_of_them:
        return "No action of an earlier review was open."
    done = all_of_them - still_open
    late = f", {counted(overdue, 'of those', 'of those')} overdue" if overdue else ""
    return f"{done} of {counted(all_of_them, 'promised action')} {'is' if done == 1 else 'are'} closed; {still_open} still open{late}."


def _row(link: ReviewAction, scope: Scope) -> tuple[Cell, ...]:
    action = link.action
    state = "Overdue" if action.state == ActionState.OPEN and action.due_on < scope.today else action.get_state_display()
    return (
        action.title,
        actor_of(action.owner).label,
        action.due_on,
        state,
        action.closed_at,
        action.closed_reason,
        link.review.quarter_name,
        f"/reviews/{link.review_id}/",
    )
