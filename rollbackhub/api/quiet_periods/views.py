"""Quiet periods: when no planned drill starts."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from drills.domain.quiet import end_quiet_period, list_quiet_periods, make_quiet_period
from rollbackhub.api.idempotency import created, once
from rollbackhub.api.lookups import named_team
from rollbackhub.api.pagination import NewestIdFirst
from rollbackhub.api.permissions import MayConfigure, MayView
from rollbackhub.api.quiet_periods.serializers import QuietFilters, QuietRequest, QuietRow
from rollbackhub.api.schema import page_of
from rollbackhub.api.views import ApiView, PagedView


class QuietList(PagedView):
    """All quiet periods."""

    permission_classes = [MayView]
    permission_by_method = {"POST": MayConfigure}
    filters = QuietFilters
    pagination_class = NewestIdFirst
    serializer_class = QuietRow

    @extend_schema(operation_id="quiet_periods_list", summary="Quiet periods, newest first", responses=page_of(QuietRow, name="QuietPeriod"))
    def get(self, request: Request) -> Response:
        """Past ones included: they say why drills were moved."""
        return self.paged(request)

    @extend_schema(
        operation_id="quiet_periods_create",
        summary="Make a quiet period",
        request=QuietRequest,
        responses={201: OpenApiResponse(QuietRow, description="Drills that fall into it are moved within a minute")},
    )
    def post(self, request: Request) -> Response:
        """No planned drill of the team (null: of any team) starts in it. What finds no time behind it within its period is missed, unless it is excused."""

        def act(key: str | None) -> Response:
            wanted = QuietRequest(data=request.data)
            wanted.is_valid(raise_exception=True)
            values = dict(wanted.validated_data)
            team = named_team(values["team"]) if values["team"] is not None else None
            quiet = make_quiet_period(user=self.person, actor=self.actor, **{**values, "team": team})
            content = QuietRow(quiet).data
            return created(content, at=content["url"])

        return once(request, act)

    def rows(self, query: dict[str, Any]) -> QuerySet[Any]:
        """Filtered."""
        return list_quiet_periods(**query)


class QuietOne(ApiView):
    """One quiet period."""

    permission_classes = [MayConfigure]

    @extend_schema(operation_id="quiet_periods_end", summary="Take a quiet period back", responses={204: None})
    def delete(self, request: Request, quiet_id: int) -> Response:
        """One that has not begun is gone, one that has ends now. Drills that it has moved stay where they are. 409 `quiet_period_over` afterwards."""
        end_quiet_period(quiet_id=quiet_id, user=self.person, actor=self.actor)
        return Response(status=204)
