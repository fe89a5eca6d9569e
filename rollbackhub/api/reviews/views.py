"""Quarterly reviews: which there are, one with its frozen agenda and record, opening one, and preparing it anew."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http.response import HttpResponseBase
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from rollbackhub.api.fields import NoBody
from rollbackhub.api.idempotency import created, once
from rollbackhub.api.permissions import MayLeadInPerson, MayView
from rollbackhub.api.reviews.serializers import OpenReviewRequest, ReviewDetail, ReviewFilters, ReviewRow
from rollbackhub.api.schema import page_of
from rollbackhub.api.views import ApiView, OneView, PagedView
from rollbackhub.reviews.domain.opening import open_review
from rollbackhub.reviews.domain.preparing import request_preparation
from rollbackhub.reviews.domain.selectors import get_record, get_review, list_reviews


class ReviewList(PagedView):
    """All reviews."""

    permission_classes = [MayView]
    permission_by_method = {"POST": MayLeadInPerson}
    filters = ReviewFilters
    serializer_class = ReviewRow

    @extend_schema(operation_id="reviews_list", summary="Quarterly reviews, the newest first", responses=page_of(ReviewRow, name="Review"))
    def get(self, request: Request) -> Response:
        """Every filter may be combined with every other."""
        return self.paged(request)

    @extend_schema(
        operation_id="reviews_create",
        summary="Open a quarterly review",
        request=OpenReviewRequest,
        responses={201: OpenApiResponse(ReviewRow, description="It is prepared a day before its meeting, or at once")},
    )
    def post(self, request: Request) -> Response:
        """409 `review_exists` when the team has one for that quarter. No token may open one."""

        def act(key: str | None) -> Response:
            wanted = OpenReviewRequest(data=request.data)
            wanted.is_valid(raise_exception=True)
            review = open_review(account=self.person, actor=self.actor, **wanted.validated_data)
            content = dict(ReviewRow(get_review(review.pk)).data)
            return created(content, at=content["url"])

        return once(request, act)

    def rows(self, query: dict[str, Any]) -> QuerySet[Any]:
        """Filtered."""
        return list_reviews(team=query.get("team", ""), quarter=query.get("quarter", ""), state=query.get("state", ""))


class ReviewOne(OneView):
    """One review."""

    permission_classes = [MayView]

    @extend_schema(operation_id="reviews_retrieve", summary="One review with its agenda and record", responses=ReviewDetail)
    def get(self, request: Request, review_id: UUID) -> HttpResponseBase:
        """Figures and tables are as they were frozen when it was prepared."""
        return self.answer(ReviewDetail(get_record(review_id)).data)


class ReviewPrepare(ApiView):
    """Prepare it."""

    permission_classes = [MayLeadInPerson]

    @extend_schema(operation_id="reviews_prepare", summary="Prepare a review now, or again", request=NoBody, responses=ReviewRow)
    def post(self, request: Request, review_id: UUID) -> Response:
        """A worker does it within seconds: poll the review until its state is `prepared`. 409 once it was held."""

        def act(key: str | None) -> Response:
            get_review(review_id)
            NoBody(data=request.data).is_valid(raise_exception=True)
            request_preparation(review_id=review_id, account=self.person, actor=self.actor)
            return Response(ReviewRow(get_review(review_id)).data)

        return once(request, act)
