"""Whose quarter is looked at, and as of when."""

from __future__ import annotations

import datetime as dt
import zoneinfo
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from rollbackhub.accounts.models import Team
from rollbackhub.analytics.answer import AnalyticsFilter, Answer, NamedFigure
from rollbackhub.reviews.models import Review
from rollbackhub.reviews.rules import instant_of, quarter_after

MOST_ROWS = 60
"""A table of the agenda has at most this many rows: a meeting reads no more, and pages have the rest."""

T = TypeVar("T")


@dataclass(frozen=True)
class Scope:
    """One review's team and quarter, as of an instant. Lab data count in a review of the lab alone."""

    review: Review
    at: dt.datetime

    @property
    def team(self) -> Team:
        """Whose artefacts, plans and incidents."""
        return self.review.team

    @property
    def quarter(self) -> dt.date:
        """Its first day."""
        return self.review.quarter

    @property
    def begins_at(self) -> dt.datetime:
        """The quarter's first instant."""
        return instant_of(self.quarter)

    @property
    def ends_at(self) -> dt.datetime:
        """The first instant after it."""
        return instant_of(quarter_after(self.quarter))

    @cached_property
    def today(self) -> dt.date:
        """The day in the team's zone: actions are due by its days."""
        return self.at.astimezone(zoneinfo.ZoneInfo(self.team.timezone)).date()

    @property
    def wanted(self) -> AnalyticsFilter:
        """The same as analytics take it."""
        return AnalyticsFilter(since=self.quarter, until=quarter_after(self.quarter), team=self.team.slug, with_lab=self.review.is_lab)

    @cached_property
    def previous(self) -> Review | None:
        """The team's newest review of an earlier quarter that was held; of an amended one its amendment, once that was held. One query."""
        return (
            Review.objects.filter(team=self.team, quarter__lt=self.quarter, held_at__isnull=False)
            .exclude(amendment__held_at__isnull=False)
            .order_by("-quarter", "-held_at")
            .first()
        )


def figures_of(answer: Answer, *keys: str) -> list[NamedFigure]:
    """Those figures of an answer of analytics, in this order, as far as it has them."""
    found = {figure.key: figure for figure in answer.figures}
    return [found[key] for key in keys if key in found]


def shortened(title: str, rows: Sequence[T]) -> tuple[str, Sequence[T]]:
    """The title and the rows that a table shows; the title says how many there are when those are not all."""
    return (title, rows) if len(rows) <= MOST_ROWS else (f"{title} (the first {MOST_ROWS} of {len(rows):,})", rows[:MOST_ROWS])
