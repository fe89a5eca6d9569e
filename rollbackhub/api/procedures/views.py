"""Procedures: which there are, what each does, and its next version."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http.response import HttpResponseBase
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from rollbackhub.api.idempotency import once
from rollbackhub.api.pagination import NewestFirstCursor
from rollbackhub.api.permissions import MayConfigure, MayView
from rollbackhub.api.procedures.serializers import ProcedureDetail, ProcedureFilters, ProcedureSummary, ProcedureVersionRequest, WrittenVersion
from rollbackhub.api.schema import page_of
from rollbackhub.api.views import ApiView, OneView, PagedView
from rollbackhub.executions.domain.procedure_list import count_users, current_versions, get_procedure
from rollbackhub.executions.domain.procedures import judge_steps, write_procedure_version
from rollbackhub.executions.models import Procedure


class BySlug(NewestFirstCursor):
    """In the order of the names."""

    ordering = ("slug",)


class ProcedureList(PagedView):
    """All procedures."""

    permission_classes = [MayView]
    filters = ProcedureFilters
    pagination_class = BySlug
    serializer_class = ProcedureSummary

    @extend_schema(operation_id="procedures_list", summary="Procedures, by short name", responses=page_of(ProcedureSummary, name="Procedure"))
    def get(self, request: Request) -> Response:
        """The written rollbacks: one for each change type and what moves its aliases, and those of single artefacts."""
        paginator = self.pagination_class()
        page = paginator.paginate_queryset(self.rows(self.query()), request, self) or []
        return paginator.get_paginated_response(ProcedureSummary(page, many=True, context=_context(page)).data)

    def rows(self, query: dict[str, Any]) -> QuerySet[Any]:
        """Filtered."""
        found = Procedure.objects.select_related("artefact")
        named = {"change_type": "change_type", "connector": "connector", "artefact": "artefact__slug"}
        return found.filter(**{named[name]: value for name, value in query.items()})


class ProcedureOne(OneView):
    """One procedure."""

    permission_classes = [MayView]

    @extend_schema(operation_id="procedures_retrieve", summary="One procedure with its versions", responses=ProcedureDetail)
    def get(self, request: Request, slug: str) -> HttpResponseBase:
        """The first version is the one that drills and rollbacks run from now."""
        procedure = get_procedure(slug)
        return self.answer(ProcedureDetail(procedure, context=_context([procedure])).data)


class ProcedureVersionList(ApiView):
    """The next version."""

    permission_classes = [MayConfigure]

    @extend_schema(
        operation_id="procedure_versions_create",
        summary="Write the next version of a procedure",
        request=ProcedureVersionRequest,
        responses={
            200: OpenApiResponse(WrittenVersion, description="The present version does the same: nothing was written"),
            201: OpenApiResponse(WrittenVersion, description="Written; what begins from now runs it, and its proof is to be made again"),
        },
    )
    def post(self, request: Request, slug: str) -> Response:
        """409 `procedure_moved`, with `current_version`, when somebody wrote a version meanwhile. 422 names the step: `steps.2.params.limit_seconds`."""
        procedure = get_procedure(slug)

        def act(key: str | None) -> Response:
            wanted = ProcedureVersionRequest(data=request.data)
            wanted.is_valid(raise_exception=True)
            values = wanted.validated_data
            version, is_new = write_procedure_version(
                procedure=procedure, steps=values["steps"], based_on=values["based_on"], reason=values["reason"], account=self.person, actor=self.actor
            )
            version.refresh_from_db()
            url = f"/api/v1/procedures/{procedure.slug}/"
            warnings = judge_steps(version.steps, connector=procedure.connector).warnings
            content = WrittenVersion({"procedure": procedure.slug, "version": version, "warnings": warnings, "url": url}).data
            return Response(content, status=201 if is_new else 200, headers={"Location": url} if is_new else None)

        return once(request, act)


def _context(procedures: list[Procedure]) -> dict[str, Any]:
    """What rows need: three queries for any number of them."""
    return {"current": current_versions([procedure.pk for procedure in procedures]), "users": count_users()}
