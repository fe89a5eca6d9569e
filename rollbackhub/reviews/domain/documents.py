"""The review as documents: asked for by a person, made by a task (Chromium alone takes seconds to start), kept in the database."""

from __future__ import annotations

import datetime as dt
import logging
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from rollbackhub.accounts.models import User
from rollbackhub.accounts.rules import Capability, require
from rollbackhub.common import clock
from rollbackhub.common.errors import Conflict, NotFound, Unavailable
from rollbackhub.common.pdf import write_pdf
from rollbackhub.reviews.domain.document_page import render_document
from rollbackhub.reviews.domain.drawing import PAIR_WIDTH, WIDTH, draw_figures
from rollbackhub.reviews.domain.frozen import frozen_figures
from rollbackhub.reviews.domain.selectors import Record, get_record, get_review
from rollbackhub.reviews.domain.writing import address_of
from rollbackhub.reviews.enums import ReviewState
from rollbackhub.reviews.models import ReviewDocument

logger = logging.getLogger(__name__)

LEASE_SECONDS = 180.0
"""After this another process may make them: whoever claimed them has died."""

_CLAIM_SQL = """
    UPDATE reviews_reviewdocument SET fence = fence + 1, claimed_until = clock_timestamp() + make_interval(secs => %(lease)s), published_at = NULL
    WHERE review_id = (
        SELECT review_id FROM reviews_reviewdocument
        WHERE review_id = %(id)s AND due_at IS NOT NULL AND (claimed_until IS NULL OR claimed_until < clock_timestamp())
        FOR UPDATE SKIP LOCKED
    )
    RETURNING fence
"""


@dataclass(frozen=True, slots=True)
class Made:
    """What was made. `pdf` is None when this machine cannot make any; `problem` says why, and what is missing besides."""

    html: str
    pdf: bytes | None
    problem: str


def request_documents(*, review_id: UUID, account: User) -> ReviewDocument:
    """Have PDF and HTML made of the review as it stands now; nothing to do while they show just that. Raises NotFound, Forbidden, Conflict.

    They are made again when something was missing: it may have been installed since.
    """
    require(user=account, capability=Capability.VIEW)
    with transaction.atomic():
        review = get_review(review_id)
        if review.prepared_at is None or review.state == ReviewState.PREPARING:
            raise Conflict("There is nothing to export yet: the review is being prepared.", code="review_not_prepared", url=address_of(review))
        now = clock.now()
        document, _ = ReviewDocument.objects.get_or_create(review=review, defaults={"wanted_number": review.number, "wanted_at": now, "due_at": now})
        document = ReviewDocument.objects.select_for_update().defer("pdf", "html").get(pk=document.pk)
        is_current = document.made_number == review.number and not document.problem
        if document.due_at is None and not is_current:
            document.wanted_number, document.wanted_at, document.due_at = review.number, now, now
            document.published_at = document.claimed_until = None
            document.save(update_fields=["wanted_number", "wanted_at", "due_at", "published_at", "claimed_until"])
        return document


def make_documents(*, review_id: UUID) -> bool:
    """Make what was asked for. False when nothing was, or somebody else makes it. Safe twice at once.

    What this machine lacks is said in `problem`; an error of ours is kept there, too, and raised.
    """
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM_SQL, {"id": review_id, "lease": LEASE_SECONDS})
        row = cursor.fetchone()
    if row is None:
        return False
    fence = int(row[0])
    began = clock.monotonic()
    try:
        record = get_record(review_id)
        made = build_documents(record)
    except Exception as error:
        problem = f"The documents could not be made ({type(error).__name__}); the server's log says more. Ask for them again once that is mended."
        _keep(review_id, fence, {"problem": problem})
        raise
    values = {
        "made_number": record.review.number,
        "made_at": clock.now(),
        "make_seconds": clock.monotonic() - began,
        "pdf": made.pdf,
        "html": made.html,
        "problem": made.problem,
    }
    return _keep(review_id, fence, values)


def build_documents(record: Record) -> Made:
    """HTML and PDF of a review. What this machine cannot do is left out and said."""
    figures = []
    for item in record.items:
        found = frozen_figures(item.content)
        figures += [(item.agenda, figure, WIDTH if len(found) == 1 else PAIR_WIDTH) for figure in found]
    problems: list[str] = []
    drawings: dict[tuple[str, str], str] = {}
    try:
        drawn = draw_figures([(figure, width) for _, figure, width in figures])
        drawings = {(agenda, figure.key): svg for (agenda, figure, _), svg in zip(figures, drawn, strict=True)}
    except Unavailable as error:
        problems.append(error.message)
    html = render_document(record, drawings=drawings, problem=" ".join(problems))
    pdf: bytes | None = None
    try:
        pdf = write_pdf(html)
    except Unavailable as error:
        problems.append(error.message)
    return Made(html=html, pdf=pdf, problem=" ".join(problems))


def get_made(review_id: UUID) -> ReviewDocument:
    """The documents with their content. Raises NotFound."""
    document = ReviewDocument.objects.select_related("review__team").filter(review=review_id, made_number__isnull=False).first()
    if document is None:
        raise NotFound("These documents have not been made yet: ask for them on the review's page.", code="document_not_found", url=f"/reviews/{review_id}/")
    return document


def _keep(review_id: UUID, fence: int, values: dict[str, Any]) -> bool:
    """Write the result, unless somebody else has claimed it since. What was asked for meanwhile is due at once."""
    done = {"due_at": None, "claimed_until": None, "published_at": None}
    return bool(ReviewDocument.objects.filter(review=review_id, fence=fence).update(**values, **done))


def stale_since(document: ReviewDocument, number: int) -> bool:
    """Whether the review has changed since these documents were made."""
    return document.made_number is not None and document.made_number != number


def is_being_made(document: ReviewDocument | None) -> bool:
    """Whether somebody makes them, or is about to."""
    return document is not None and document.due_at is not None


def waited_seconds(document: ReviewDocument, now: dt.datetime) -> float:
    """How long somebody has waited for them."""
    return (now - document.wanted_at).total_seconds()
