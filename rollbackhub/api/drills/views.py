"""Drills: start, follow, stop."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http.response import HttpResponseBase
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from drills.domain.selectors import get_drill_execution
from drills.domain.transitions import start_drill
from rollbackhub.api.drills.serializers import DrillDetail, DrillFilters, DrillRequest, DrillRow
from rollbackhub.api.executions.queries import get_execution, list_executions, list_samples_of
from rollbackhub.api.executions.serializers import SampleFilters, SampleRow, StopRequest
from rollbackhub.api.fields import ApiSerializer, NoBody
from rollbackhub.api.idempotency import created, once
from rollbackhub.api.lookups import get_policy, get_version
from rollbackhub.api.pagination import OldestIdFirst
from rollbackhub.api.permissions import MayDrill, MayView
from rollbackhub.api.schema import page_of
from rollbackhub.api.views import ApiView, OneView, PagedView
from rollbackhub.common.errors import Conflict, InvalidInput, NotFound
from rollbackhub.executions.domain.transitions import close_execution, request_cancel, retry_execution
from rollbackhub.executions.enums import REHEARSES


class DrillList(PagedView):
    """All drills and rehearsals, and the start of a drill."""

    permission_classes = [MayView]
    permission_by_method = {"POST": MayDrill}
    filters = DrillFilters
    serializer_class = DrillRow

    @extend_schema(operation_id="drills_list", summary="Drills and rehearsals, newest first", responses=page_of(DrillRow, name="Drill"))
    def get(self, request: Request) -> Response:
        """Every filter may be combined with every other."""
        return self.paged(request)

    @extend_schema(
        operation_id="drills_create",
        summary="Start a drill",
        request=DrillRequest,
        responses={201: OpenApiResponse(DrillDetail, description="Queued; follow it at its url (also the Location header)")},
    )
    def post(self, request: Request) -> Response:
        """Queues a drill. 409 `already_running` when an execution holds the alias; it names that one in `execution_id`, `url` and `api_url`."""
        return once(request, self._start)

    def rows(self, query: dict[str, Any]) -> QuerySet[Any]:
        """Filtered; `kind` narrows it to drills or to rehearsals."""
        return list_executions(query=query, kinds=REHEARSES).select_related("drill")

    def _start(self, key: str | None) -> Response:
        wanted = DrillRequest(data=self.request.data)
        wanted.is_valid(raise_exception=True)
        values = wanted.validated_data
        try:
            policy = get_policy(environment=values["environment"], alias=values["alias"])
        except NotFound as error:
            raise InvalidInput(error.message, code=error.code, fields={"alias": [error.message]}) from error
        bad_version = get_version(policy=policy, label=values["bad_version"]) if values["bad_version"] else None
        try:
            drill = start_drill(policy=policy, actor=self.actor, user=self.person, bad_version=bad_version, idempotency_key=key, note=values["note"])
        except Conflict as error:
            if "execution_id" in error.extra:
                resource = "drills" if error.extra.get("execution_kind") in REHEARSES else "executions"
                error.extra["api_url"] = f"/api/v1/{resource}/{error.extra['execution_id']}/"
            raise
        content = DrillDetail(get_execution(execution_id=drill.pk, kinds=REHEARSES)).data
        return created(content, at=content["url"])


class DrillOne(OneView):
    """One drill."""

    permission_classes = [MayView]

    @extend_schema(operation_id="drills_retrieve", summary="One drill", responses=DrillDetail)
    def get(self, request: Request, drill_id: UUID) -> HttpResponseBase:
        """With its steps, segments, checks and findings. Poll it with If-None-Match until `finished_at` is set."""
        return self.answer(DrillDetail(get_execution(execution_id=drill_id, kinds=REHEARSES)).data)


class DrillSamples(PagedView):
    """What a drill observed."""

    permission_classes = [MayView]
    filters = SampleFilters
    pagination_class = OldestIdFirst
    serializer_class = SampleRow

    @extend_schema(operation_id="drills_samples_list", summary="Samples of a drill, oldest first", responses=page_of(SampleRow, name="Sample"))
    def get(self, request: Request, drill_id: UUID) -> Response:
        """Every sample is kept."""
        return self.paged(request)

    def rows(self, query: dict[str, Any]) -> QuerySet[Any]:
        """Of this drill."""
        return list_samples_of(execution_id=self.kwargs["drill_id"], query=query, kinds=REHEARSES)


class DrillAction(ApiView):
    """Something that is done to a drill."""

    permission_classes = [MayDrill]
    body: type[ApiSerializer] = StopRequest

    def act(self, drill_id: UUID, reason: str) -> None:
        """The domain function."""
        raise NotImplementedError

    def answer(self, request: Request, drill_id: UUID) -> Response:
        """Do it once, answer with the drill."""

        def do(key: str | None) -> Response:
            get_drill_execution(drill_id)
            wanted = self.body(data=request.data)
            wanted.is_valid(raise_exception=True)
            self.act(drill_id, wanted.validated_data.get("reason", "").strip() or "no reason given")
            return Response(DrillDetail(get_execution(execution_id=drill_id, kinds=REHEARSES)).data)

        return once(request, do)


class DrillCancel(DrillAction):
    """Stop."""

    @extend_schema(operation_id="drills_cancel", summary="Stop a drill", request=StopRequest, responses=DrillDetail)
    def post(self, request: Request, drill_id: UUID) -> Response:
        """One that has not begun ends at once; a running one puts staging back as it was. 409 `wrong_state` when it is too late."""
        return self.answer(request, drill_id)

    def act(self, drill_id: UUID, reason: str) -> None:
        """Stop it."""
        request_cancel(execution_id=drill_id, actor=self.actor, reason=reason)


class DrillRetry(DrillAction):
    """Go on."""

    body = NoBody

    @extend_schema(operation_id="drills_retry", summary="Let a drill that needs a person go on", request=NoBody, responses=DrillDetail)
    def post(self, request: Request, drill_id: UUID) -> Response:
        """Tries the step again that stopped it. 409 `wrong_state` unless it needs a person."""
        return self.answer(request, drill_id)

    def act(self, drill_id: UUID, reason: str) -> None:
        """Go on."""
        retry_execution(execution_id=drill_id, actor=self.actor)


class DrillClose(DrillAction):
    """Give up."""

    @extend_schema(operation_id="drills_close", summary="Give up a drill that needs a person", request=StopRequest, responses=DrillDetail)
    def post(self, request: Request, drill_id: UUID) -> Response:
        """Ends it without putting anything back and frees the alias. 409 `wrong_state` unless it needs a person."""
        return self.answer(request, drill_id)

    def act(self, drill_id: UUID, reason: str) -> None:
        """Give it up."""
        close_execution(execution_id=drill_id, actor=self.actor, reason=reason)
