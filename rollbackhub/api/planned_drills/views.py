"""Planned drills: what is due, what became of it, starting one now, excusing one."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http.response import HttpResponseBase
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from drills.domain.programme import excuse_planned, start_planned
from drills.domain.programme_selectors import draw_again, filter_planned, get_planned
from rollbackhub.api.fields import NoBody
from rollbackhub.api.idempotency import once
from rollbackhub.api.pagination import NewestFirstCursor
from rollbackhub.api.permissions import MayDrill, MayLeadInPerson, MayView
from rollbackhub.api.planned_drills.serializers import DrawRow, DrillExcuseRequest, PlannedDrillDetail, PlannedDrillRow, PlannedFilters
from rollbackhub.api.schema import page_of
from rollbackhub.api.views import ApiView, OneView, PagedView
from rollbackhub.common.errors import Conflict


class EarliestFirst(NewestFirstCursor):
    """By the time that is told; an unannounced one by the beginning of its period."""

    ordering = ("shown_at", "pk")


class PlannedDrillList(PagedView):
    """All planned drills."""

    permission_classes = [MayView]
    filters = PlannedFilters
    pagination_class = EarliestFirst
    serializer_class = PlannedDrillRow

    @extend_schema(operation_id="planned_drills_list", summary="Planned drills, the earliest first", responses=page_of(PlannedDrillRow, name="PlannedDrill"))
    def get(self, request: Request) -> Response:
        """What has been and what is to come. An unannounced drill that has not begun is listed with its period, never with its time."""
        return self.paged(request)

    def rows(self, query: dict[str, Any]) -> QuerySet[Any]:
        """Filtered."""
        return filter_planned(**query)


class PlannedDrillOne(OneView):
    """One planned drill."""

    permission_classes = [MayView]

    @extend_schema(operation_id="planned_drills_retrieve", summary="One planned drill", responses=PlannedDrillDetail)
    def get(self, request: Request, planned_id: int) -> HttpResponseBase:
        """With the draw of its time and its alias, once it is over or has begun: whoever audits it can draw again."""
        return self.answer(described(planned_id))


class PlannedDrillStart(ApiView):
    """Now."""

    permission_classes = [MayDrill]

    @extend_schema(operation_id="planned_drills_start", summary="Start a planned drill now", request=NoBody, responses=PlannedDrillDetail)
    def post(self, request: Request, planned_id: int) -> Response:
        """Before or after its time. 409 `already_running` names what holds the alias; `unannounced`: nobody starts that before its time."""

        def do(key: str | None) -> Response:
            get_planned(planned_id)
            NoBody(data=request.data).is_valid(raise_exception=True)
            try:
                start_planned(planned_id=planned_id, actor=self.actor, user=self.person)
            except Conflict as error:
                if "execution_id" in error.extra:
                    error.extra["api_url"] = f"/api/v1/executions/{error.extra['execution_id']}/"
                raise
            return Response(described(planned_id))

        return once(request, do)


class PlannedDrillExcuse(ApiView):
    """Not held, for a reason."""

    permission_classes = [MayLeadInPerson]

    @extend_schema(operation_id="planned_drills_excuse", summary="Excuse a planned drill", request=DrillExcuseRequest, responses=PlannedDrillDetail)
    def post(self, request: Request, planned_id: int) -> Response:
        """By a lead, in a session only. One that is due, overdue or was missed; excused is not passed. 409 `wrong_state` otherwise."""

        def do(key: str | None) -> Response:
            get_planned(planned_id)
            wanted = DrillExcuseRequest(data=request.data)
            wanted.is_valid(raise_exception=True)
            excuse_planned(planned_id=planned_id, reason=wanted.validated_data["reason"], actor=self.actor, user=self.person)
            return Response(described(planned_id))

        return once(request, do)


def described(planned_id: int) -> dict[str, Any]:
    """The answer about one."""
    row, draw = get_planned(planned_id), draw_again(planned_id)
    return {**PlannedDrillRow(row).data, "draw": None if draw is None else DrawRow(draw).data}
