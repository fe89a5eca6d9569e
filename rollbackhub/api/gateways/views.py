"""Gateways, to read."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from rollbackhub.api.gateways.serializers import GatewayFilters, GatewayRow
from rollbackhub.api.pagination import NewestFirstCursor
from rollbackhub.api.permissions import MayView
from rollbackhub.api.schema import page_of
from rollbackhub.api.views import PagedView
from rollbackhub.routing.models import Gateway


class ByNode(NewestFirstCursor):
    """In the order of the names."""

    ordering = ("node_id", "pk")


class GatewayList(PagedView):
    """All gateways."""

    permission_classes = [MayView]
    filters = GatewayFilters
    pagination_class = ByNode
    serializer_class = GatewayRow

    @extend_schema(operation_id="gateways_list", summary="Gateways and what they serve, by name", responses=page_of(GatewayRow, name="Gateway"))
    def get(self, request: Request) -> Response:
        """A gateway appears when it first asks for routes."""
        return self.paged(request)

    def rows(self, query: dict[str, Any]) -> QuerySet[Any]:
        """Filtered."""
        found = Gateway.objects.select_related("environment__routing_state")
        return found.filter(environment__slug=query["environment"]) if "environment" in query else found
