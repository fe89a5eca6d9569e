"""Decisions that the data suggest: what has not moved by itself. People add theirs beside them."""

from __future__ import annotations

from collections import Counter

from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.actions.enums import ActionState
from rollbackhub.actions.models import Action
from rollbackhub.analytics.answer import Answer, Cell, Column, Table
from rollbackhub.common.sentences import counted
from rollbackhub.readiness.enums import ReadinessState
from rollbackhub.reviews.domain.agenda.misses import runs_of
from rollbackhub.reviews.domain.agenda.proof import live_readiness, page_of
from rollbackhub.reviews.domain.agenda.scope import Scope, shortened
from rollbackhub.reviews.models import WantedDecision

SUGGESTED = (Column("question", "To decide"), Column("because", "Because"), Column("url", "Page"))
MISSED_OFTEN = 2
"""A path that missed its target so often in a quarter will not mend itself."""


def wanted(scope: Scope) -> Answer:
    """Aliases that are not ready, actions that are overdue, paths that missed their target twice, and what the last review left undecided. Four queries."""
    rows = [*_undecided(scope), *_not_ready(scope), *_missed_often(scope), *_overdue(scope)]
    if not rows:
        return Answer(
            headline="The data suggest no decision.",
            empty="Whoever wants the meeting to decide something adds it beforehand; it stands here beside what the data suggest.",
        )
    title, shown = shortened("Suggested by the data", rows)
    return Answer(headline=f"The data suggest {counted(len(rows), 'decision')}.", tables=[Table(title, SUGGESTED, shown, url_column=2)])


def _undecided(scope: Scope) -> list[tuple[Cell, ...]]:
    if scope.previous is None:
        return []
    left = WantedDecision.objects.filter(review=scope.previous, decisions=None).order_by("pk")
    return [
        (wish.text, f"{wish.asked_by_label} asked for it in {scope.previous.quarter_name}, and nothing was decided.", f"/reviews/{scope.previous.pk}/")
        for wish in left
    ]


def _not_ready(scope: Scope) -> list[tuple[Cell, ...]]:
    rows = [row for row in live_readiness(scope) if row.state == ReadinessState.NOT_READY]
    return [
        (
            f"How does {row.policy.alias} become ready, and by when?",
            row.reasons[0]["sentence"] if row.reasons else "It could not be rolled back now.",
            page_of(row),
        )
        for row in rows
    ]


def _missed_often(scope: Scope) -> list[tuple[Cell, ...]]:
    counts = Counter((fact.alias, fact.environment.slug) for fact in runs_of(scope).filter(hit=False).select_related("environment"))
    return [
        (
            f"What makes the rollback of {alias} in {environment} fast enough, or is its target wrong?",
            f"It missed its target {times} times in this quarter.",
            f"/drills/?alias={alias}",
        )
        for (alias, environment), times in sorted(counts.items())
        if times >= MISSED_OFTEN
    ]


def _overdue(scope: Scope) -> list[tuple[Cell, ...]]:
    late = Action.objects.filter(team=scope.team, state=ActionState.OPEN, due_on__lt=scope.today).select_related("owner").order_by("due_on", "created_at")
    rows = late if scope.review.is_lab else late.filter(is_lab=False)
    return [
        (
            f"Does “{action.title}” get done, by whom and by when?",
            f"{actor_of(action.owner).label} was to do it by {action.due_on.day} {action.due_on:%b %Y}.",
            action.origin_url,
        )
        for action in rows
    ]
