"""The documents: what stands in them, how they are tagged, that nothing is fetched and nothing acts."""

from __future__ import annotations

from pathlib import Path

import pytest

from rollbackhub.reviews.domain.documents import Made, build_documents
from rollbackhub.reviews.domain.preparing import prepare_review
from rollbackhub.reviews.domain.selectors import get_record
from rollbackhub.reviews.models import Review
from tests.factories.fixtures import Cast
from tests.factories.reviews import ReviewFactory
from tests.reviews.quarter import AT, QUARTER, make_quarter

pytestmark = pytest.mark.django_db


def made_of_quarter(cast: Cast) -> tuple[Review, Made]:
    quarter = make_quarter(cast)
    review: Review = ReviewFactory(team=quarter.team, quarter=QUARTER, presenter=cast.lead)
    assert prepare_review(review_id=review.pk, at=AT)
    return review, build_documents(get_record(review.pk))


def test_pdf(cast: Cast, tmp_path: Path) -> None:
    review, made = made_of_quarter(cast)
    assert made.pdf
    Path("/tmp/rv/r.pdf").write_bytes(made.pdf)
    Path("/tmp/rv/r.html").write_text(made.html)
    print(made.problem)
