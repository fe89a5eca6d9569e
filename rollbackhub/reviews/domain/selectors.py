"""Reading reviews."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.db.models import BooleanField, Count, ExpressionWrapper, Prefetch, Q, QuerySet

from rollbackhub.accounts.enums import Role
from rollbackhub.common.errors import NotFound
from rollbackhub.reviews.models import Attendance, Review, ReviewAction, ReviewDecision, ReviewDocument, ReviewItem, SignOff, WantedDecision
from rollbackhub.reviews.rules import quarter_from


@dataclass(frozen=True, slots=True)
class Record:
    """A review with everything that belongs to it."""

    review: Review
    items: list[ReviewItem]
    attendance: list[Attendance]
    wishes: list[WantedDecision]
    """Each with `decisions` fetched."""
    decisions: list[ReviewDecision]
    actions: list[ReviewAction]
    sign_offs: list[SignOff]

    @property
    def written(self) -> int:
        """The number of what is written in it: what a signature names."""
        return written_number(self.review, signatures=len(self.sign_offs))

    @property
    def missing_roles(self) -> list[Role]:
        """The roles that have not signed."""
        signed = {sign_off.role for sign_off in self.sign_offs}
        return [Role(role) for role in self.review.sign_off_roles if role not in signed]

    def decisions_of(self, item: ReviewItem | None) -> list[ReviewDecision]:
        """The decisions of one item; of None those that belong to no item."""
        return [decision for decision in self.decisions if decision.item_id == (item.pk if item else None)]

    def actions_of(self, item: ReviewItem | None) -> list[ReviewAction]:
        """The actions of one item; of None those that belong to no item."""
        return [link for link in self.actions if link.item_id == (item.pk if item else None)]


def written_number(review: Review, *, signatures: int) -> int:
    """Counts up with every change but signatures: from the first on nothing else changes, and each counts the review's number up by one."""
    return review.number - signatures


def list_reviews(*, team: str = "", quarter: str = "", state: str = "") -> QuerySet[Review]:
    """Reviews, the newest quarter first, with team, presenter and numbers of actions and decisions. `quarter`: `2026 Q3`. One query."""
    found = Review.objects.select_related("team", "presenter", "amends", "amendment").order_by("-quarter", "team__name", "-created_at", "-pk")
    if team:
        found = found.filter(team__slug=team)
    if quarter:
        day = quarter_from(quarter)
        found = found.filter(quarter=day) if day else found.none()
    if state:
        found = found.filter(state=state)
    return found.annotate(actions_count=Count("action_links", distinct=True), decisions_count=Count("decisions", distinct=True))


def get_review(review_id: UUID) -> Review:
    """A review with team and presenter. Raises NotFound. One query."""
    review = Review.objects.select_related("team", "presenter", "amends__team", "amendment").filter(pk=review_id).first()
    if review is None:
        raise NotFound("There is no such review.", code="review_not_found")
    return review


def get_record(review_id: UUID, *, contents: bool = True) -> Record:
    """A review with everything that belongs to it; without `contents` the frozen figures are not read. Raises NotFound. Eight queries."""
    review = get_review(review_id)
    items = ReviewItem.objects.filter(review=review).order_by("position")
    wishes = WantedDecision.objects.filter(review=review).prefetch_related(Prefetch("decisions", ReviewDecision.objects.order_by("pk")))
    return Record(
        review=review,
        items=list(items if contents else items.defer("content")),
        attendance=list(Attendance.objects.filter(review=review).order_by("name")),
        wishes=list(wishes.order_by("pk")),
        decisions=list(ReviewDecision.objects.filter(review=review).order_by("pk")),
        actions=list(ReviewAction.objects.filter(review=review).select_related("action__owner").order_by("pk")),
        sign_offs=list(SignOff.objects.filter(review=review).order_by("signed_at")),
    )


def get_item(review_id: UUID, agenda: str) -> ReviewItem:
    """An item with its review and team. Raises NotFound. One query."""
    item = ReviewItem.objects.select_related("review__team").filter(review=review_id, agenda=agenda).first()
    if item is None:
        raise NotFound("The agenda has no such item.", code="item_not_found")
    return item


def get_document(review_id: UUID) -> ReviewDocument | None:
    """What is known of the review's documents, without their content but with `has_pdf`; None when nobody has asked for any. One query."""
    has_pdf = ExpressionWrapper(Q(pdf__isnull=False), output_field=BooleanField())
    return ReviewDocument.objects.defer("pdf", "html").annotate(has_pdf=has_pdf).filter(review=review_id).first()
