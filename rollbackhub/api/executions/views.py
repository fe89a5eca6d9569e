"""Executions of every kind, to read."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http.response import HttpResponseBase
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from rollbackhub.api.executions.queries import get_execution, list_executions, list_samples_of
from rollbackhub.api.executions.serializers import ExecutionDetail, ExecutionRow, KindFilters, SampleFilters, SampleRow
from rollbackhub.api.pagination import OldestIdFirst
from rollbackhub.api.permissions import MayView
from rollbackhub.api.schema import page_of
from rollbackhub.api.views import OneView, PagedView


class ExecutionList(PagedView):
    """Executions of every kind."""

    permission_classes = [MayView]
    filters = KindFilters
    serializer_class = ExecutionRow

    @extend_schema(operation_id="executions_list", summary="Executions, newest first", responses=page_of(ExecutionRow, name="Execution"))
    def get(self, request: Request) -> Response:
        """Drills, rollbacks and rehearsals."""
        return self.paged(request)

    def rows(self, query: dict[str, Any]) -> QuerySet[Any]:
        """Filtered."""
        return list_executions(query=query)


class ExecutionOne(OneView):
    """One execution."""

    permission_classes = [MayView]

    @extend_schema(operation_id="executions_retrieve", summary="One execution", responses=ExecutionDetail)
    def get(self, request: Request, execution_id: UUID) -> HttpResponseBase:
        """With its steps, segments, checks and findings."""
        return self.answer(ExecutionDetail(get_execution(execution_id=execution_id)).data)


class ExecutionSamples(PagedView):
    """What an execution observed."""

    permission_classes = [MayView]
    filters = SampleFilters
    pagination_class = OldestIdFirst
    serializer_class = SampleRow

    @extend_schema(operation_id="executions_samples_list", summary="Samples of an execution, oldest first", responses=page_of(SampleRow, name="Sample"))
    def get(self, request: Request, execution_id: UUID) -> Response:
        """Every sample is kept."""
        return self.paged(request)

    def rows(self, query: dict[str, Any]) -> QuerySet[Any]:
        """Of this execution."""
        return list_samples_of(execution_id=self.kwargs["execution_id"], query=query)
