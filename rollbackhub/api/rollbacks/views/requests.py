"""Rollbacks: the plan, the request, the list, one of them, what it observed."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http.response import HttpResponseBase
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from rollbackhub.api.idempotency import created, once
from rollbackhub.api.pagination import OldestIdFirst
from rollbackhub.api.permissions import MayRollBack, MayView
from rollbackhub.api.rollbacks.bodies import PlanRequest, RollbackFilters, RollbackRequest, RollbackSampleFilters
from rollbackhub.api.rollbacks.queries import add_addresses, describe, find_rollbacks, get_coordination, get_targets, list_samples_of_rollback
from rollbackhub.api.rollbacks.serializers import PlanDetail, RollbackDetail, RollbackRow, RollbackSampleRow
from rollbackhub.api.schema import page_of
from rollbackhub.api.views import ApiView, OneView, PagedView
from rollbackhub.common.errors import Conflict
from rollbackhub.rollbacks.domain.proposal import propose_rollback
from rollbackhub.rollbacks.domain.proposal_report import proposal_report
from rollbackhub.rollbacks.domain.transitions import request_rollback
from rollbackhub.rollbacks.enums import Via


class RollbackList(PagedView):
    """All rollbacks, and the request of one."""

    permission_classes = [MayView]
    permission_by_method = {"POST": MayRollBack}
    filters = RollbackFilters
    serializer_class = RollbackRow

    @extend_schema(operation_id="rollbacks_list", summary="Rollbacks, newest first", responses=page_of(RollbackRow, name="Rollback"))
    def get(self, request: Request) -> Response:
        """Every filter may be combined with every other."""
        return self.paged(request)

    @extend_schema(
        operation_id="rollbacks_create",
        summary="Roll back in production",
        request=RollbackRequest,
        responses={201: OpenApiResponse(RollbackDetail, description="Running, or awaiting approval; follow it at its url (also the Location header)")},
    )
    def post(self, request: Request) -> Response:
        """Within your authority it starts at once (`running`), else it waits (`awaiting_approval`) for one of its `approvers`.

        409 `rollback_active` when a rollback holds the alias already; it names that one in `rollback_id`, `url` and `api_url`.
        """
        return once(request, self._start)

    def rows(self, query: dict[str, Any]) -> QuerySet[Any]:
        """Filtered."""
        return find_rollbacks(query)

    def _start(self, key: str | None) -> Response:
        wanted = RollbackRequest(data=self.request.data)
        wanted.is_valid(raise_exception=True)
        values = wanted.validated_data
        targets = get_targets(values)
        try:
            rollback = request_rollback(
                targets=targets,
                account=self.person,
                actor=self.actor,
                reason=values["reason"],
                via=Via.API,
                strategic=values["strategic"],
                coordination=get_coordination(values, targets),
                detected_at=values["detected_at"],
                detected_by=values["detected_by"],
                break_glass_reason=values["break_glass_reason"],
                seen_plan_hash=values["plan_hash"],
                idempotency_key=key,
            )
        except Conflict as error:
            raise add_addresses(error) from error
        content = describe(rollback.pk)
        return created(content, at=content["url"])


class RollbackPlan(ApiView):
    """What a rollback would do."""

    permission_classes = [MayView]
    acts = False

    @extend_schema(operation_id="rollbacks_plan", summary="What a rollback would do now", request=PlanRequest, responses=PlanDetail)
    def post(self, request: Request) -> Response:
        """Changes nothing. Send its `plan_hash` with the request to be sure that what you saw is what runs."""
        wanted = PlanRequest(data=request.data)
        wanted.is_valid(raise_exception=True)
        values = wanted.validated_data
        targets = get_targets(values)
        proposal = propose_rollback(targets=targets, account=self.person, strategic=values["strategic"], coordination=get_coordination(values, targets))
        return Response(PlanDetail(proposal_report(proposal)).data)


class RollbackOne(OneView):
    """One rollback."""

    permission_classes = [MayView]

    @extend_schema(operation_id="rollbacks_retrieve", summary="One rollback", responses=RollbackDetail)
    def get(self, request: Request, rollback_id: UUID) -> HttpResponseBase:
        """With its authority, clock, exposure, and each alias with its execution. Poll it with If-None-Match while it runs."""
        return self.answer(describe(rollback_id))


class RollbackSamples(PagedView):
    """What a rollback observed."""

    permission_classes = [MayView]
    filters = RollbackSampleFilters
    pagination_class = OldestIdFirst
    serializer_class = RollbackSampleRow

    @extend_schema(
        operation_id="rollbacks_samples_list", summary="Samples of a rollback, oldest first", responses=page_of(RollbackSampleRow, name="RollbackSample")
    )
    def get(self, request: Request, rollback_id: UUID) -> Response:
        """Of all its aliases. Every sample is kept."""
        return self.paged(request)

    def rows(self, query: dict[str, Any]) -> QuerySet[Any]:
        """Of this rollback."""
        return list_samples_of_rollback(rollback_id=self.kwargs["rollback_id"], query=query)
