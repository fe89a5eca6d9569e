"""The continuous preflight: to read, and to run now."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http.response import HttpResponseBase
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from rollbackhub.api.idempotency import once
from rollbackhub.api.pagination import NewestFirstCursor
from rollbackhub.api.permissions import MayDrill, MayView
from rollbackhub.api.preflight.serializers import FindingFilters, PreflightFindingRow, PreflightReport, RunAccepted, RunRequest
from rollbackhub.api.schema import page_of
from rollbackhub.api.views import ApiView, OneView, PagedView
from rollbackhub.common import clock
from rollbackhub.common.errors import InvalidInput, NotFound
from rollbackhub.readiness.domain.preflight import request_run
from rollbackhub.readiness.domain.preflight_selectors import list_findings, list_runs

URL = "/api/v1/preflight/"
SHOWN = 100


class ByFirstSeen(NewestFirstCursor):
    """Those last opened first."""

    ordering = ("-first_seen_at", "-pk")


class PreflightState(OneView):
    """Where the preflights stand."""

    permission_classes = [MayView]

    @extend_schema(operation_id="preflight_retrieve", summary="The preflight of each environment, and what it found", responses=PreflightReport)
    def get(self, request: Request) -> HttpResponseBase:
        """Findings close by themselves when the check that found them finds them mended."""
        self.query()
        runs = list(list_runs())
        content = {
            "runs": runs,
            "open_findings": sum(getattr(run, "open_findings", 0) for run in runs),
            "findings": list_findings()[:SHOWN],
            "findings_url": f"{URL}findings/",
        }
        return self.answer(PreflightReport(content).data)


class PreflightFindings(PagedView):
    """All findings."""

    permission_classes = [MayView]
    filters = FindingFilters
    pagination_class = ByFirstSeen
    serializer_class = PreflightFindingRow

    @extend_schema(
        operation_id="preflight_findings_list",
        summary="Findings of the continuous preflight, those opened last first",
        responses=page_of(PreflightFindingRow, name="PreflightFinding"),
    )
    def get(self, request: Request) -> Response:
        """Open ones, unless `closed` asks for all."""
        return self.paged(request)

    def rows(self, query: dict[str, Any]) -> QuerySet[Any]:
        """Filtered."""
        closed = query.pop("closed", False)
        return list_findings(**query, include_closed=closed)


class PreflightRunNow(ApiView):
    """A run that does not wait for its turn."""

    permission_classes = [MayDrill]

    @extend_schema(
        operation_id="preflight_run_create",
        summary="Run the preflight now",
        request=RunRequest,
        responses={202: OpenApiResponse(RunAccepted, description="Due now; it begins within seconds")},
    )
    def post(self, request: Request) -> Response:
        """It changes nothing in the systems that it looks at. One that runs already runs again afterwards."""

        def do(key: str | None) -> Response:
            wanted = RunRequest(data=request.data)
            wanted.is_valid(raise_exception=True)
            requested_at = clock.now()
            try:
                runs = request_run(environment=wanted.validated_data.get("environment"), actor=self.actor)
            except NotFound as error:
                raise InvalidInput(error.message, code=error.code, fields={"environment": [error.message]}) from error
            content = {"environments": [run.environment.slug for run in runs], "requested_at": requested_at, "url": URL}
            return Response(RunAccepted(content).data, status=202)

        return once(request, do)
