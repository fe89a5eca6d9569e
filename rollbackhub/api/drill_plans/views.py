"""Drill plans: which there are, making one, changing it, ending it."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http.response import HttpResponseBase
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from drills.domain.plans import change_plan, end_plan, get_plan, make_plan
from drills.domain.programme_selectors import describe_plans, filter_plans
from rollbackhub.api.drill_plans.serializers import DrillPlanChange, DrillPlanEndRequest, DrillPlanFilters, DrillPlanRequest, DrillPlanRow
from rollbackhub.api.idempotency import created, once
from rollbackhub.api.lookups import named_artefact, named_environment, named_person, named_policy, named_team
from rollbackhub.api.pagination import NewestIdFirst
from rollbackhub.api.permissions import MayConfigure, MayView
from rollbackhub.api.schema import page_of
from rollbackhub.api.views import ApiView, OneView, PagedView


class DrillPlanList(PagedView):
    """All drill plans."""

    permission_classes = [MayView]
    permission_by_method = {"POST": MayConfigure}
    filters = DrillPlanFilters
    pagination_class = NewestIdFirst
    serializer_class = DrillPlanRow

    @extend_schema(operation_id="drill_plans_list", summary="Drill plans, newest first", responses=page_of(DrillPlanRow, name="DrillPlan"))
    def get(self, request: Request) -> Response:
        """With what comes next and what was last of each."""
        paginator = self.pagination_class()
        page = paginator.paginate_queryset(self.rows(self.query()), request, self) or []
        return paginator.get_paginated_response(DrillPlanRow(describe_plans(page), many=True).data)

    @extend_schema(
        operation_id="drill_plans_create",
        summary="Make a drill plan",
        request=DrillPlanRequest,
        responses={201: OpenApiResponse(DrillPlanRow, description="Its drills are written down already; its address is in the Location header")},
    )
    def post(self, request: Request) -> Response:
        """Of an alias, or of an artefact, of which one alias is drilled each time. 422 `invalid_plan` names the fields."""

        def act(key: str | None) -> Response:
            wanted = DrillPlanRequest(data=request.data)
            wanted.is_valid(raise_exception=True)
            plan = make_plan(user=self.person, actor=self.actor, **_named(wanted.validated_data, where=wanted.validated_data["environment"]))
            content = _described(plan.pk)
            return created(content, at=content["url"])

        return once(request, act)

    def rows(self, query: dict[str, Any]) -> QuerySet[Any]:
        """Filtered."""
        return filter_plans(**query)


class DrillPlanOne(OneView):
    """One drill plan."""

    permission_classes = [MayView]
    permission_by_method = {"POST": MayConfigure}

    @extend_schema(operation_id="drill_plans_retrieve", summary="One drill plan", responses=DrillPlanRow)
    def get(self, request: Request, plan_id: int) -> HttpResponseBase:
        """With what comes next and what was last."""
        return self.answer(_described(plan_id))

    @extend_schema(operation_id="drill_plans_change", summary="Change a drill plan", request=DrillPlanChange, responses=DrillPlanRow)
    def post(self, request: Request, plan_id: int) -> Response:
        """What is sent; the rest stays. Drills that are still to come are planned anew, those that ran stay. 422 `invalid_plan` names the fields."""

        def act(key: str | None) -> Response:
            plan = get_plan(plan_id)
            wanted = DrillPlanChange(data=request.data)
            wanted.is_valid(raise_exception=True)
            values = dict(wanted.validated_data)
            active = {"is_active": values.pop("active")} if "active" in values else {}
            named = _named(values, where=values.get("environment", plan.environment.slug))
            change_plan(plan_id=plan_id, user=self.person, actor=self.actor, **named, **active)
            return Response(_described(plan_id))

        return once(request, act)


class DrillPlanEnd(ApiView):
    """No more."""

    permission_classes = [MayConfigure]

    @extend_schema(operation_id="drill_plans_end", summary="End a drill plan", request=DrillPlanEndRequest, responses=DrillPlanRow)
    def post(self, request: Request, plan_id: int) -> Response:
        """What was to come is taken off the calendar; what was due already is missed. 409 `plan_ended` when it has ended."""

        def act(key: str | None) -> Response:
            get_plan(plan_id)
            wanted = DrillPlanEndRequest(data=request.data)
            wanted.is_valid(raise_exception=True)
            end_plan(plan_id=plan_id, user=self.person, actor=self.actor, reason=wanted.validated_data["reason"])
            return Response(_described(plan_id))

        return once(request, act)


def _described(plan_id: int) -> dict[str, Any]:
    (row,) = describe_plans([get_plan(plan_id)])
    return dict(DrillPlanRow(row).data)


def _named(values: dict[str, Any], *, where: str) -> dict[str, Any]:
    """From the names in a body to what they mean. An alias stands in the environment `where`."""
    found = dict(values)
    alias = found.pop("alias", None)
    if alias is not None:
        found["policy"] = named_policy(environment=where, alias=alias)
    for name, lookup in (("owner", named_person), ("team", named_team), ("artefact", named_artefact), ("environment", named_environment)):
        if name in found:
            found[name] = lookup(found[name])
    return found
