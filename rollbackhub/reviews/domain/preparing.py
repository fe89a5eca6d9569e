"""Preparing a review: its agenda is asked for and frozen, by a task that a lease and a fence keep to one at a time."""

from __future__ import annotations

import datetime as dt
import logging
from dataclasses import dataclass
from uuid import UUID

from django.db import connection, transaction

from rollbackhub.accounts.domain.notices import tell
from rollbackhub.accounts.models import User
from rollbackhub.accounts.rules import Capability, require
from rollbackhub.audit.actors import Actor, system_actor
from rollbackhub.common import clock
from rollbackhub.common.errors import LeaseLost
from rollbackhub.reviews.domain.agenda.build import BuiltItem, build_agenda
from rollbackhub.reviews.domain.writing import address_of, keep, lock_review, move, require_state
from rollbackhub.reviews.enums import Agenda, ReviewState
from rollbackhub.reviews.models import Review, ReviewItem
from rollbackhub.reviews.rules import WRITABLE

logger = logging.getLogger(__name__)

PREPARER = system_actor("reviews")

LEASE_SECONDS = 120.0
"""After this another process may prepare it: whoever claimed it has died."""

RETRY_SECONDS = 60.0
"""Between two tries of a preparation that fails."""

_CLAIM_SQL = """
    UPDATE reviews_review SET fence = fence + 1, claimed_until = clock_timestamp() + make_interval(secs => %(lease)s), published_at = NULL
    WHERE id = (
        SELECT id FROM reviews_review
        WHERE id = %(id)s AND state = 'preparing' AND prepare_at IS NOT NULL AND (claimed_until IS NULL OR claimed_until < clock_timestamp())
            AND NOT EXISTS (SELECT 1 FROM reviews_signoff WHERE review_id = %(id)s)
        FOR UPDATE SKIP LOCKED
    )
    RETURNING fence
"""


@dataclass(frozen=True, slots=True)
class Claim:
    """One process's right to prepare a review."""

    review_id: UUID
    fence: int


def request_preparation(*, review_id: UUID, account: User, actor: Actor) -> Review:
    """Have the review prepared now, or again: its figures are asked for anew; minutes and decisions stay. Until it is held.

    Raises NotFound, Forbidden, Conflict.
    """
    require(user=account, capability=Capability.LEAD)
    with transaction.atomic():
        review = lock_review(review_id)
        require_state(review, *WRITABLE, to="to prepare it again")
        if review.state == ReviewState.PREPARED:
            move(review, ReviewState.PREPARING)
        # Whoever prepares it at this moment may have asked already: its fence has ended.
        review.fence += 1
        review.prepare_at, review.claimed_until, review.published_at, review.prepare_problem = clock.now(), None, None, ""
        fields = ["state", "fence", "prepare_at", "claimed_until", "published_at", "prepare_problem"]
        keep(review, fields, event="review.preparation_requested", actor=actor)
        return review


def claim_review(review_id: UUID) -> Claim | None:
    """Take the review to prepare it; None when it is not to be prepared, or somebody does. One statement."""
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM_SQL, {"id": review_id, "lease": LEASE_SECONDS})
        row = cursor.fetchone()
    return Claim(review_id, row[0]) if row else None


def prepare_review(*, review_id: UUID, at: dt.datetime | None = None) -> bool:
    """Ask for the agenda and freeze it. False when there was nothing to do, or somebody else does it. Safe twice at once.

    What goes wrong is kept on the review in words, tried again a minute later, and raised.
    """
    claim = claim_review(review_id)
    if claim is None:
        return False
    try:
        review = Review.objects.select_related("team").get(pk=review_id)
        instant = at or clock.now()
        began = clock.monotonic()
        items = build_agenda(review, at=instant)
        seconds = clock.monotonic() - began
        _freeze(claim, items, at=instant, seconds=seconds)
    except LeaseLost as error:
        logger.info("review %s: %s", review_id, error)
        return False
    except Exception as error:
        _give_up(claim, error)
        raise
    return True


def _freeze(claim: Claim, items: list[BuiltItem], *, at: dt.datetime, seconds: float) -> None:
    """Write the items and that the review is prepared. Raises LeaseLost, having written nothing, when the claim has ended."""
    with transaction.atomic():
        review = lock_review(claim.review_id)
        if review.fence != claim.fence or review.state != ReviewState.PREPARING:
            raise LeaseLost("Somebody else prepares it now.")
        places = {agenda: place for place, agenda in enumerate(Agenda)}
        for item in items:
            # Minutes that were written before it was prepared again stay.
            values = {"position": places[item.agenda], "headline": item.headline, "content": item.content, "query_seconds": item.query_seconds}
            if not ReviewItem.objects.filter(review=review, agenda=item.agenda).update(**values):
                ReviewItem.objects.create(review=review, agenda=item.agenda, **values)
        move(review, ReviewState.PREPARED)
        review.prepared_at, review.prepare_seconds = at, seconds
        review.prepare_at = review.claimed_until = review.published_at = None
        review.prepare_problem = ""
        fields = ["state", "prepared_at", "prepare_seconds", "prepare_at", "claimed_until", "published_at", "prepare_problem"]
        keep(review, fields, event="review.prepared", actor=PREPARER, data={"seconds": round(seconds, 3), "items": len(items)})
        if review.presenter is not None:
            key = f"review:{review.pk}:prepared:{review.fence}"
            tell(people=[review.presenter], key=key, subject=f"The review {review} is prepared", url=address_of(review))


def _give_up(claim: Claim, error: Exception) -> None:
    problem = f"It could not be prepared ({type(error).__name__}); the server's log says more. It is tried again every minute."
    due = clock.now() + dt.timedelta(seconds=RETRY_SECONDS)
    Review.objects.filter(pk=claim.review_id, fence=claim.fence, state=ReviewState.PREPARING).update(
        prepare_problem=problem, prepare_at=due, claimed_until=None, published_at=None
    )
