"""Releases: plan one, ask its gate, rehearse it, promote it step by step, give it up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from django.db.models import QuerySet
from django.http.response import HttpResponseBase
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from rollbackhub.api.drills.serializers import DrillDetail
from rollbackhub.api.executions.queries import get_execution
from rollbackhub.api.fields import ApiSerializer, NoBody
from rollbackhub.api.idempotency import created, once
from rollbackhub.api.permissions import MayLeadInPerson, MayRelease, MayView
from rollbackhub.api.releases.bodies import PromoteRequest, ReleaseFilters, ReleaseReasonRequest, ReleaseRequest
from rollbackhub.api.releases.queries import add_addresses, describe, find_releases, get_named_policy, get_named_version
from rollbackhub.api.releases.serializers import GateDetail, ReleaseDetail, ReleaseRow, gate_answer_of
from rollbackhub.api.schema import page_of
from rollbackhub.api.views import ApiView, OneView, PagedView
from rollbackhub.common.errors import Conflict, NotFound
from rollbackhub.executions.enums import REHEARSES
from rollbackhub.releases.domain.rehearsal import rehearse_release
from rollbackhub.releases.domain.selectors import get_release
from rollbackhub.releases.domain.transitions import abandon_release, bypass_gate, create_release, promote_release


class ReleaseList(PagedView):
    """All releases, and the planning of one."""

    permission_classes = [MayView]
    permission_by_method = {"POST": MayRelease}
    filters = ReleaseFilters
    serializer_class = ReleaseRow

    @extend_schema(operation_id="releases_list", summary="Releases, newest first", responses=page_of(ReleaseRow, name="Release"))
    def get(self, request: Request) -> Response:
        """Every filter may be combined with every other."""
        return self.paged(request)

    @extend_schema(
        operation_id="releases_create",
        summary="Plan a release",
        request=ReleaseRequest,
        responses={201: OpenApiResponse(ReleaseDetail, description="Planned: nothing of the traffic has changed yet")},
    )
    def post(self, request: Request) -> Response:
        """409 `release_open` when the alias has an open release; it names that one in `release_id`, `url` and `api_url`."""
        return once(request, self._plan)

    def rows(self, query: dict[str, Any]) -> QuerySet[Any]:
        """Filtered."""
        return find_releases(query)

    def _plan(self, key: str | None) -> Response:
        wanted = ReleaseRequest(data=self.request.data)
        wanted.is_valid(raise_exception=True)
        values = wanted.validated_data
        policy = get_named_policy(environment=values["environment"], alias=values["alias"])
        back = values["from_version"]
        try:
            release = create_release(
                policy=policy,
                to_version=get_named_version(policy=policy, label=values["to_version"], field="to_version"),
                from_version=get_named_version(policy=policy, label=back, field="from_version") if back else None,
                candidate_id=values["candidate_id"],
                steps=values["steps"],
                note=values["note"],
                account=self.person,
                actor=self.actor,
                idempotency_key=key,
            )
        except Conflict as error:
            raise add_addresses(error) from error
        content = describe(release.pk)
        return created(content, at=content["url"])


class ReleaseOne(OneView):
    """One release."""

    permission_classes = [MayView]

    @extend_schema(operation_id="releases_retrieve", summary="One release", responses=ReleaseDetail)
    def get(self, request: Request, release_id: int) -> HttpResponseBase:
        """With its gate, the steps taken, the bypass if there was one, its rehearsals and the weights now."""
        return self.answer(describe(release_id))


class ReleaseGate(OneView):
    """The gate's answer."""

    permission_classes = [MayView]

    @extend_schema(operation_id="releases_gate_retrieve", summary="Whether the first weight may be given, and why", responses=GateDetail)
    def get(self, request: Request, release_id: int) -> HttpResponseBase:
        """Asked now while the release is planned; afterwards as it was when the first weight was given. 404 `gate_not_asked` when that never came."""
        found = gate_answer_of(get_release(release_id))
        if found is None:
            raise NotFound("This release ended before its gate was asked for a first weight.", code="gate_not_asked")
        return self.answer(GateDetail(found).data)


class ReleaseAction(ApiView):
    """Something that is done to a release; answered with the release as it stands then."""

    permission_classes = [MayRelease]
    body: ClassVar[type[ApiSerializer]] = ReleaseReasonRequest

    def act(self, release_id: int, values: Mapping[str, Any]) -> Response:
        """The domain function with the checked body, and the answer."""
        raise NotImplementedError

    def answer(self, request: Request, release_id: int) -> Response:
        """Do it once."""

        def do(key: str | None) -> Response:
            get_release(release_id)
            wanted = self.body(data=request.data)
            wanted.is_valid(raise_exception=True)
            try:
                return self.act(release_id, wanted.validated_data)
            except Conflict as error:
                raise add_addresses(error) from error

        # A promotion first follows a rollback of the version: that stays, although the promotion is refused for it.
        return once(request, do, refusals_leave_traces=True)


class ReleasePromote(ReleaseAction):
    """Take the next step."""

    body = PromoteRequest

    @extend_schema(operation_id="releases_promote", summary="Take the next canary step", request=PromoteRequest, responses=ReleaseDetail)
    def post(self, request: Request, release_id: int) -> Response:
        """Writes one policy revision. 409 `gate_closed` with the `conditions` that do not hold, `step_taken` when somebody was faster."""
        return self.answer(request, release_id)

    def act(self, release_id: int, values: Mapping[str, Any]) -> Response:
        """Promote it."""
        promote_release(release_id=release_id, account=self.person, actor=self.actor, expected_step=values["expected_step"])
        return Response(describe(release_id))


class ReleaseRehearse(ReleaseAction):
    """Rehearse it."""

    body = NoBody

    @extend_schema(
        operation_id="releases_rehearse",
        summary="Rehearse its rollback in staging",
        request=NoBody,
        responses={201: OpenApiResponse(DrillDetail, description="Queued; follow it at its url (also the Location header)")},
    )
    def post(self, request: Request, release_id: int) -> Response:
        """Gives staging the candidates that production will have, and runs the rollback there. 409 `already_running` when the alias is busy there."""
        return self.answer(request, release_id)

    def act(self, release_id: int, values: Mapping[str, Any]) -> Response:
        """Start it."""
        execution = rehearse_release(release_id=release_id, account=self.person, actor=self.actor)
        content = DrillDetail(get_execution(execution_id=execution.pk, kinds=REHEARSES)).data
        return created(content, at=content["url"])


class ReleaseBypass(ReleaseAction):
    """Let it through the closed gate."""

    permission_classes = [MayLeadInPerson]

    @extend_schema(operation_id="releases_bypass", summary="Let it through although the gate is closed", request=ReleaseReasonRequest, responses=ReleaseDetail)
    def post(self, request: Request, release_id: int) -> Response:
        """A lead, in a session only; it stays visible on the release for its whole life. 409 `gate_open` when there is nothing to bypass."""
        return self.answer(request, release_id)

    def act(self, release_id: int, values: Mapping[str, Any]) -> Response:
        """Bypass it."""
        bypass_gate(release_id=release_id, account=self.person, actor=self.actor, reason=values["reason"])
        return Response(describe(release_id))


class ReleaseAbandon(ReleaseAction):
    """Give it up."""

    @extend_schema(operation_id="releases_abandon", summary="Give up a release that has no traffic", request=ReleaseReasonRequest, responses=ReleaseDetail)
    def post(self, request: Request, release_id: int) -> Response:
        """409 `has_weight` while its version has traffic: roll it back instead."""
        return self.answer(request, release_id)

    def act(self, release_id: int, values: Mapping[str, Any]) -> Response:
        """Give it up."""
        abandon_release(release_id=release_id, account=self.person, actor=self.actor, reason=values["reason"])
        return Response(describe(release_id))
