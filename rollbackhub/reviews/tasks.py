"""What a worker does for reviews: one domain function each, by the review's id."""

from __future__ import annotations

from uuid import UUID

from celery import shared_task

from rollbackhub.reviews.domain.documents import make_documents
from rollbackhub.reviews.domain.preparing import prepare_review


@shared_task(name="reviews.prepare")
def prepare_task(review_id: str) -> bool:
    """Freeze a review's agenda."""
    return prepare_review(review_id=UUID(review_id))


@shared_task(name="reviews.export")
def export_task(review_id: str) -> bool:
    """Make a review's documents."""
    return make_documents(review_id=UUID(review_id))
