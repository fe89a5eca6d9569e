"""manage.py prepare_review TEAM QUARTER"""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from rollbackhub.common.durations import in_words
from rollbackhub.reviews.domain.preparing import prepare_review
from rollbackhub.reviews.domain.selectors import get_record
from rollbackhub.reviews.enums import ReviewState
from rollbackhub.reviews.models import Review
from rollbackhub.reviews.rules import quarter_from


class Command(BaseCommand):
    """Freezes the agenda of a review that waits for it, now and in this process."""

    help = "Prepare the review of a team's quarter now, e.g. `prepare_review platform 2026-Q3`. What is prepared already stays: prepare it again on its page."

    def add_arguments(self, parser: CommandParser) -> None:
        """The command line."""
        parser.add_argument("team", help="the team's slug")
        parser.add_argument("quarter", help="e.g. 2026-Q3")

    def handle(self, *args: Any, **options: Any) -> None:
        """Prepare it, and say what the agenda has."""
        day = quarter_from(options["quarter"])
        if day is None:
            raise CommandError(f"There is no quarter {options['quarter']!r}: write it as 2026-Q3.")
        found = Review.objects.filter(team__slug=options["team"], quarter=day)
        review = found.filter(state=ReviewState.PREPARING).first() or found.order_by("-created_at").first()
        if review is None:
            raise CommandError(f"There is no review of {options['team']} for {options['quarter']}: open it on the page Reviews.")
        if not prepare_review(review_id=review.pk):
            state = ReviewState(review.state).label.lower()
            self.stderr.write(f"Nothing to prepare: the review is {state}, or another process prepares it now.")
            sys.exit(1)
        record = get_record(review.pk, contents=False)
        for item in record.items:
            self.stdout.write(f"{item} ({in_words(item.query_seconds)})\n   {item.headline}")
