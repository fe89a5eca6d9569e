"""Versions that production or a way back needs and that are about to go."""

from __future__ import annotations

import datetime as dt

from django.db.models import Q

from rollbackhub.analytics.answer import Answer, Cell, Column, Table
from rollbackhub.analytics.questions import retention as question
from rollbackhub.common.sentences import counted
from rollbackhub.registry.domain.retention import Retention, describe_retention, list_retention
from rollbackhub.reviews.domain.agenda.proof import live_readiness
from rollbackhub.reviews.domain.agenda.scope import Scope, figures_of, shortened
from rollbackhub.routing.domain.served import first_served

AHEAD = dt.timedelta(days=92)
"""The next quarter: until the next meeting."""

RISKS = (
    Column("version", "Version"),
    Column("artefact", "Artefact"),
    Column("at", "Goes on", "instant"),
    Column("what", "What happens"),
    Column("needed", "Needed for"),
    Column("url", "Page"),
)


def retention_risks(scope: Scope) -> Answer:
    """What expires until the next review, what is needed first. Five queries."""
    live = live_readiness(scope)
    rollbackable = sum(row.rollbackable for row in live)
    dated = list_retention(team=scope.team.slug, at=scope.at)
    # `next_at` is an annotation, of which the type does not know.
    coming = dated.filter(Q(("next_at__lte", scope.at + AHEAD)))
    versions = list(coming if scope.review.is_lab else coming.filter(artefact__is_lab=False))
    rows = describe_retention(versions, live_since=first_served(versions), at=scope.at)
    # A window that ends is a risk to what still goes back to the version; a provider's date to whatever needs it.
    needed = [row for row in rows if row.is_needed]
    ordered = [*needed, *(row for row in rows if not row.is_needed)]
    share = f"{rollbackable} of {counted(len(live), 'live alias', 'live aliases')} can be rolled back now" if live else "The team has no alias in production"
    tables = []
    if ordered:
        title, shown = shortened("What goes in the next 92 days", [_row(row) for row in ordered])
        tables = [Table(title, RISKS, shown, url_column=5)]
    if needed:
        words = f"{counted(len(needed), 'version')} that production or a way back needs {'goes' if len(needed) == 1 else 'go'} within 92 days."
    elif rows:
        words = f"{counted(len(rows), 'version')} {'goes' if len(rows) == 1 else 'go'} within 92 days, none of which is needed."
    else:
        words = "no version goes within 92 days."
    figures = figures_of(question.answer(scope.wanted), "rollbackable-share")
    return Answer(headline=f"{share}; {words}", figures=figures, tables=tables, notes=["As of the preparation."])


def _row(row: Retention) -> tuple[Cell, ...]:
    what = "Its provider shuts it down" if row.next_is_provider else f"Its window of {row.days} days ends"
    needed = " ".join(reason.sentence for reason in row.interlocks if reason.code in ("serves", "rollback_target")) or "Nothing now"
    version = row.version
    return (version.label, version.artefact.name, row.next_at, what, needed, f"/registry/versions/{version.pk}/")
