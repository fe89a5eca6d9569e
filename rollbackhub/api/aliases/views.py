"""Aliases, to read."""

from __future__ import annotations

from django.http.response import HttpResponseBase
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from rollbackhub.api.aliases.queries import describe, list_policies
from rollbackhub.api.aliases.serializers import AliasDetail, AliasFilters, AliasRow, ReadinessDetail, ReadinessFilters
from rollbackhub.api.lookups import no_policy
from rollbackhub.api.pagination import NewestFirstCursor
from rollbackhub.api.permissions import MayView
from rollbackhub.api.schema import page_of
from rollbackhub.api.views import OneView, PagedView
from rollbackhub.readiness.domain.report import report_readiness
from rollbackhub.routing.models import RoutingPolicy


class ByAlias(NewestFirstCursor):
    """In the order of the names."""

    ordering = ("alias", "pk")


class AliasList(PagedView):
    """All aliases."""

    permission_classes = [MayView]
    filters = AliasFilters
    pagination_class = ByAlias
    serializer_class = AliasRow

    @extend_schema(operation_id="aliases_list", summary="Aliases per environment, by name", responses=page_of(AliasRow, name="Alias"))
    def get(self, request: Request) -> Response:
        """With present candidates, what the gateways serve, what runs, and the last drill."""
        paginator = self.pagination_class()
        page = paginator.paginate_queryset(list_policies(query=self.query()), request, self) or []
        return paginator.get_paginated_response(AliasRow(describe(page), many=True).data)


class AliasReadiness(OneView):
    """Could an alias be rolled back now, in time?"""

    permission_classes = [MayView]
    filters = ReadinessFilters

    @extend_schema(
        operation_id="aliases_readiness",
        summary="Could the alias be rolled back now? State, reasons and proof, judged at this instant",
        parameters=[ReadinessFilters],
        responses=ReadinessDetail,
    )
    def get(self, request: Request, alias: str) -> HttpResponseBase:
        """In production, unless `environment` says otherwise. Fit for a CI gate: let it pass when `state` is `ready`."""
        environment = self.query().get("environment", "production")
        policy = RoutingPolicy.objects.select_related("environment", "artefact").filter(environment__slug=environment, alias=alias).first()
        if policy is None:
            raise no_policy(environment=environment, alias=alias)
        return self.answer(ReadinessDetail(report_readiness([policy])[0]).data)


class AliasOne(OneView):
    """One alias in one environment."""

    permission_classes = [MayView]

    @extend_schema(operation_id="aliases_retrieve", summary="One alias in one environment", responses=AliasDetail)
    def get(self, request: Request, environment: str, alias: str) -> HttpResponseBase:
        """Poll it with If-None-Match to see a flip, its acknowledgement by the gateways, and drills."""
        policy = list_policies(query={"environment": environment, "alias": alias}).first()
        if policy is None:
            raise no_policy(environment=environment, alias=alias)
        return self.answer(AliasDetail(describe([policy])[0]).data)
