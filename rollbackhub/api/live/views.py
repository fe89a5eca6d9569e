"""What was live at time T, from history."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from rollbackhub.api.live.serializers import LiveQuery, LiveRow, live_row
from rollbackhub.api.lookups import get_environment
from rollbackhub.api.pagination import NewestFirstCursor
from rollbackhub.api.permissions import MayView
from rollbackhub.api.schema import page_of
from rollbackhub.api.views import PagedView
from rollbackhub.common import clock
from rollbackhub.routing.domain.history import live_revisions_at


class ByAlias(NewestFirstCursor):
    """In the order of the names."""

    ordering = ("alias", "pk")


class LiveAt(PagedView):
    """What was live at an instant."""

    permission_classes = [MayView]
    filters = LiveQuery
    pagination_class = ByAlias
    serializer_class = LiveRow

    @extend_schema(operation_id="live_list", summary="What was live at an instant, by alias", responses=page_of(LiveRow, name="Live"))
    def get(self, request: Request) -> Response:
        """An alias that did not exist then is not listed. 422 `at_in_future` for a time that has not come."""
        query = self.query()
        found = live_revisions_at(query.pop("at", None) or clock.now(), **query)
        paginator = self.pagination_class()
        page = paginator.paginate_queryset(found, request, self) or []
        if not page and "environment" in request.query_params:
            # Nothing was live there, or there is no environment of that name.
            get_environment(query["environment"])
        return paginator.get_paginated_response(LiveRow([live_row(revision) for revision in page], many=True).data)
