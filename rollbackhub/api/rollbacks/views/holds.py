"""Stability holds: which stand, and the end of one before its time."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from rollbackhub.api.idempotency import once
from rollbackhub.api.pagination import NewestFirstCursor
from rollbackhub.api.permissions import MayLeadInPerson, MayView
from rollbackhub.api.rollbacks.bodies import HoldFilters, ReasonRequest
from rollbackhub.api.rollbacks.serializers import HoldRow
from rollbackhub.api.schema import page_of
from rollbackhub.api.views import ApiView, PagedView
from rollbackhub.common.errors import NotFound
from rollbackhub.registry.domain.holds import lift_hold, list_standing_holds
from rollbackhub.registry.models import StabilityHold


class ByStart(NewestFirstCursor):
    """Newest first."""

    ordering = ("-started_at", "-pk")


class HoldList(PagedView):
    """The holds that stand."""

    permission_classes = [MayView]
    filters = HoldFilters
    pagination_class = ByStart
    serializer_class = HoldRow

    @extend_schema(operation_id="holds_list", summary="Stability holds that stand, newest first", responses=page_of(HoldRow, name="Hold"))
    def get(self, request: Request) -> Response:
        """Versions that may get no weight in production."""
        return self.paged(request)

    def rows(self, query: dict[str, Any]) -> QuerySet[Any]:
        """Those that stand now."""
        found = list_standing_holds().select_related("lifted_by")
        return found.filter(version__artefact__slug=query["artefact"]) if "artefact" in query else found


class HoldLift(ApiView):
    """The end of a hold."""

    permission_classes = [MayLeadInPerson]

    @extend_schema(operation_id="holds_lift", summary="Lift a hold before its time", request=ReasonRequest, responses=HoldRow)
    def post(self, request: Request, hold_id: int) -> Response:
        """A lead, with a reason, in a session only. 409 `hold_over` when it stands no more."""

        def do(key: str | None) -> Response:
            if not StabilityHold.objects.filter(pk=hold_id).exists():
                raise NotFound("There is no such hold.", code="hold_not_found")
            wanted = ReasonRequest(data=request.data)
            wanted.is_valid(raise_exception=True)
            hold = lift_hold(hold_id=hold_id, user=self.person, actor=self.actor, reason=wanted.validated_data["reason"])
            return Response(HoldRow(hold).data)

        return once(request, do)
