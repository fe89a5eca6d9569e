"""Coordinated procedures: which there are, writing one whole, removing one."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http.response import HttpResponseBase
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from rollbackhub.api.coordinated.serializers import CoordinatedChange, CoordinatedFilters, CoordinatedRequest, CoordinatedRow
from rollbackhub.api.idempotency import once
from rollbackhub.api.lookups import get_environment
from rollbackhub.api.pagination import NewestFirstCursor
from rollbackhub.api.permissions import MayConfigure, MayView
from rollbackhub.api.schema import page_of
from rollbackhub.api.views import ApiView, OneView, PagedView
from rollbackhub.registry.models import Environment
from rollbackhub.rollbacks.domain.coordination import StepDraft, delete_coordinated, get_coordinated, list_coordinated, write_coordinated


class BySlug(NewestFirstCursor):
    """In the order of the short names."""

    ordering = ("slug",)


class CoordinatedList(PagedView):
    """All coordinated procedures."""

    permission_classes = [MayView]
    permission_by_method = {"POST": MayConfigure}
    filters = CoordinatedFilters
    pagination_class = BySlug
    serializer_class = CoordinatedRow

    @extend_schema(
        operation_id="coordinated_procedures_list", summary="Coordinated procedures, by short name", responses=page_of(CoordinatedRow, name="Coordinated")
    )
    def get(self, request: Request) -> Response:
        """Aliases that go back together: their order, and the point from which on nothing is put back."""
        return self.paged(request)

    @extend_schema(
        operation_id="coordinated_procedures_create",
        summary="Write a coordinated procedure",
        request=CoordinatedRequest,
        responses={201: OpenApiResponse(CoordinatedRow, description="Its address is in the Location header")},
    )
    def post(self, request: Request) -> Response:
        """Several aliases of one production environment, in the order in which they go back. 422 names the place: `steps.2.alias`."""

        def act(key: str | None) -> Response:
            wanted = CoordinatedRequest(data=request.data)
            wanted.is_valid(raise_exception=True)
            values = wanted.validated_data
            content = _written(self, values["slug"], values, environment=get_environment(values["environment"]), based_on=0)
            return Response(content, status=201, headers={"Location": content["url"]})

        return once(request, act)

    def rows(self, query: dict[str, Any]) -> QuerySet[Any]:
        """Filtered."""
        return list_coordinated(environment=query.get("environment", ""))


class CoordinatedOne(OneView):
    """One coordinated procedure."""

    permission_classes = [MayView]
    permission_by_method = {"POST": MayConfigure, "DELETE": MayConfigure}

    @extend_schema(operation_id="coordinated_procedures_retrieve", summary="One coordinated procedure", responses=CoordinatedRow)
    def get(self, request: Request, slug: str) -> HttpResponseBase:
        """Roll back by it with its short name in `coordinated`."""
        return self.answer(CoordinatedRow(get_coordinated(slug)).data)

    @extend_schema(operation_id="coordinated_procedures_change", summary="Change a coordinated procedure", request=CoordinatedChange, responses=CoordinatedRow)
    def post(self, request: Request, slug: str) -> Response:
        """Sent whole. 409 `coordinated_moved`, with `current_number`, when somebody changed it meanwhile; 422 names the place: `steps.2.alias`."""
        procedure = get_coordinated(slug)

        def act(key: str | None) -> Response:
            wanted = CoordinatedChange(data=request.data)
            wanted.is_valid(raise_exception=True)
            return Response(_written(self, slug, wanted.validated_data, environment=procedure.environment, based_on=wanted.validated_data["based_on"]))

        return once(request, act)

    @extend_schema(operation_id="coordinated_procedures_delete", summary="Remove a coordinated procedure", responses={204: None})
    def delete(self, request: Request, slug: str) -> Response:
        """Rollbacks that followed it keep what it said then."""
        delete_coordinated(slug=slug, account=self.person, actor=self.actor)
        return Response(status=204)


def _written(view: ApiView, slug: str, values: dict[str, Any], *, environment: Environment, based_on: int) -> dict[str, Any]:
    procedure = write_coordinated(
        slug=slug,
        name=values["name"],
        environment=environment,
        steps=[StepDraft(step["alias"], step["why"]) for step in values["steps"]],
        no_return_before=values["no_return_before"],
        no_return_because=values["no_return_because"],
        based_on=based_on,
        account=view.person,
        actor=view.actor,
    )
    return dict(CoordinatedRow(procedure).data)
