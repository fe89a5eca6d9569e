"""Aliases in production whose way back is not proven, as of the preparation."""

from __future__ import annotations

from collections import Counter

from rollbackhub.analytics.answer import Answer, Cell, Column, Table
from rollbackhub.common.sentences import counted
from rollbackhub.executions.enums import ProofState
from rollbackhub.readiness.domain.selectors import list_readiness
from rollbackhub.readiness.models import Readiness
from rollbackhub.reviews.domain.agenda.scope import Scope, shortened

UNPROVEN = (
    Column("alias", "Alias"),
    Column("proof", "Proof"),
    Column("state", "Readiness"),
    Column("since", "Since", "instant"),
    Column("why", "Why"),
    Column("remedy", "What to do"),
    Column("url", "Page"),
)
ABOUT_PROOF = ("proof_stale", "proof_expired", "drill_failed", "never_drilled", "drill_unclear")


def live_readiness(scope: Scope) -> list[Readiness]:
    """The readiness of the team's aliases in production, the most urgent first. One query."""
    found = list_readiness().filter(policy__artefact__team=scope.team)
    return list(found if scope.review.is_lab else found.filter(policy__environment__is_lab=False))


def proof(scope: Scope) -> Answer:
    """Stale, expired, failed or missing proof. One query."""
    aliases = live_readiness(scope)
    if not aliases:
        return Answer(headline="The team has no alias in production.", empty="Aliases in production stand here while their way back is not proven.")
    unproven = [row for row in aliases if row.proof_state != ProofState.VALID]
    notes = ["As of the preparation, not of the quarter's end."]
    if not unproven:
        every = "all " if len(aliases) > 1 else ""
        return Answer(headline=f"The way back of {every}{counted(len(aliases), 'live alias', 'live aliases')} is proven.", notes=notes)
    kinds = Counter(ProofState(row.proof_state).label.lower() for row in unproven)
    words = ", ".join(f"{number} {label}" for label, number in kinds.most_common())
    headline = f"{len(unproven)} of {counted(len(aliases), 'live alias', 'live aliases')} {'has' if len(unproven) == 1 else 'have'} no valid proof: {words}."
    title, rows = shortened("Without valid proof", [_row(row) for row in unproven])
    return Answer(headline=headline, tables=[Table(title, UNPROVEN, rows, url_column=6)], notes=notes)


def page_of(row: Readiness) -> str:
    """The readiness page of an alias."""
    return f"/readiness/{row.policy.environment.slug}/{row.policy.alias}/"


def _row(row: Readiness) -> tuple[Cell, ...]:
    reason: dict[str, str] = next((found for found in row.reasons if found["code"] in ABOUT_PROOF), {})
    proof_words = ProofState(row.proof_state).label
    return (
        row.policy.alias,
        proof_words,
        row.get_state_display(),
        row.since,
        reason.get("sentence", ""),
        reason.get("remedy", ""),
        page_of(row),
    )
