"""Calendar feeds: which there are, a new secret address, ending one."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.http.response import HttpResponseBase
from django.urls import reverse
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from drills.domain.feeds import get_feed, list_feeds, make_feed, revoke_feed
from rollbackhub.api.calendar_feeds.serializers import FeedFilters, FeedRequest, FeedRow, NewFeedRow
from rollbackhub.api.fields import NoBody
from rollbackhub.api.idempotency import created, once
from rollbackhub.api.lookups import named_team
from rollbackhub.api.pagination import NewestIdFirst
from rollbackhub.api.permissions import MayConfigure
from rollbackhub.api.schema import page_of
from rollbackhub.api.views import ApiView, OneView, PagedView


class FeedList(PagedView):
    """All calendar feeds."""

    permission_classes = [MayConfigure]
    filters = FeedFilters
    pagination_class = NewestIdFirst
    serializer_class = FeedRow

    @extend_schema(operation_id="calendar_feeds_list", summary="Calendar feeds, newest first", responses=page_of(FeedRow, name="CalendarFeed"))
    def get(self, request: Request) -> Response:
        """Revoked ones included, with when each was last read."""
        return self.paged(request)

    @extend_schema(
        operation_id="calendar_feeds_create",
        summary="Make a calendar feed",
        request=FeedRequest,
        responses={201: OpenApiResponse(NewFeedRow, description="`address` is shown this once")},
    )
    def post(self, request: Request) -> Response:
        """Whoever knows the address reads the team's drills, without signing in. The time of an unannounced drill is not among them."""

        def act(key: str | None) -> Response:
            wanted = FeedRequest(data=request.data)
            wanted.is_valid(raise_exception=True)
            values = wanted.validated_data
            feed, secret = make_feed(team=named_team(values["team"]), name=values["name"], user=self.person, actor=self.actor)
            feed.address = f"{settings.PUBLIC_URL}{reverse('calendar-feed', args=[secret])}"  # type: ignore[attr-defined]
            content = NewFeedRow(feed).data
            return created(content, at=content["url"])

        return once(request, act, secret_members=("address",))

    def rows(self, query: dict[str, Any]) -> QuerySet[Any]:
        """Filtered."""
        return list_feeds(**query)


class FeedOne(OneView):
    """One calendar feed."""

    permission_classes = [MayConfigure]

    @extend_schema(operation_id="calendar_feeds_retrieve", summary="One calendar feed", responses=FeedRow)
    def get(self, request: Request, feed_id: int) -> HttpResponseBase:
        """Without its address, of which a hash is kept only."""
        return self.answer(FeedRow(get_feed(feed_id)).data)


class FeedRevoke(ApiView):
    """No more."""

    permission_classes = [MayConfigure]

    @extend_schema(operation_id="calendar_feeds_revoke", summary="Revoke a calendar feed", request=NoBody, responses=FeedRow)
    def post(self, request: Request, feed_id: int) -> Response:
        """At once: the address is a 404 from now on. 409 `feed_revoked` when it was already."""

        def act(key: str | None) -> Response:
            get_feed(feed_id)
            NoBody(data=request.data).is_valid(raise_exception=True)
            return Response(FeedRow(revoke_feed(feed_id=feed_id, user=self.person, actor=self.actor)).data)

        return once(request, act)
