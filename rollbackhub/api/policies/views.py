"""Routing policies: their revisions, the next one, and the policy file."""

from __future__ import annotations

from typing import Any

from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from rollbackhub.api.errors import HttpError
from rollbackhub.api.idempotency import created, once
from rollbackhub.api.lookups import get_environment, get_policy, no_policy
from rollbackhub.api.pagination import NewestFirstCursor
from rollbackhub.api.permissions import MayRoute, MayView
from rollbackhub.api.policies.serializers import ExportQuery, ImportQuery, ImportResult, RevisionRequest, RevisionRow, revision_row
from rollbackhub.api.policies.yaml_text import YAML, OldYamlTextParser, TextYamlTextParser, YamlTextParser, YamlTextRenderer
from rollbackhub.api.schema import page_of
from rollbackhub.api.views import ApiView, OneView, PagedView
from rollbackhub.common.errors import NotFound
from rollbackhub.routing.domain.transitions import append_revision
from rollbackhub.routing.domain.yaml_io import MAX_FILE_BYTES, export_policies, import_policies
from rollbackhub.routing.models import PolicyRevision, RoutingPolicy


class ByNumber(NewestFirstCursor):
    """Newest revision first."""

    ordering = ("-number",)


class RevisionList(PagedView):
    """The revisions of a policy, and the next one."""

    permission_classes = [MayView]
    permission_by_method = {"POST": MayRoute}
    pagination_class = ByNumber
    serializer_class = RevisionRow

    @extend_schema(operation_id="revisions_list", summary="Revisions of a policy, newest first", responses=page_of(RevisionRow, name="Revision"))
    def get(self, request: Request, environment: str, alias: str) -> Response:
        """The first one is what gateways should serve now."""
        policy = get_policy(environment=environment, alias=alias)
        self.query()
        paginator = self.pagination_class()
        page = paginator.paginate_queryset(policy.revisions.prefetch_related("candidates__version"), request, self) or []
        return paginator.get_paginated_response(RevisionRow([revision_row(revision, policy=policy) for revision in page], many=True).data)

    @extend_schema(
        operation_id="revisions_create",
        summary="Append a revision",
        request=RevisionRequest,
        responses={201: OpenApiResponse(RevisionRow, description="Written; gateways take it over from now")},
    )
    def post(self, request: Request, environment: str, alias: str) -> Response:
        """By compare-and-set: 409 `revision_moved`, with `current_revision`, when the present revision is not the expected one."""
        policy = get_policy(environment=environment, alias=alias)

        def act(key: str | None) -> Response:
            wanted = RevisionRequest(data=request.data)
            wanted.is_valid(raise_exception=True)
            values = wanted.validated_data
            revision = append_revision(
                policy_id=policy.pk,
                expected_revision=values["expected_revision"],
                candidates=wanted.specs(),
                actor=self.actor,
                reason=values["reason"],
            )
            content = RevisionRow(revision_row(_loaded(revision.pk), policy=policy)).data
            return created(content, at=content["url"])

        return once(request, act)


class RevisionOne(OneView):
    """One revision."""

    permission_classes = [MayView]

    @extend_schema(operation_id="revisions_retrieve", summary="One revision", responses=RevisionRow)
    def get(self, request: Request, environment: str, alias: str, number: int) -> HttpResponseBase:
        """It never changes."""
        policy = get_policy(environment=environment, alias=alias)
        revision = policy.revisions.prefetch_related("candidates__version").filter(number=number).first() if number < 2**31 else None
        if revision is None:
            raise NotFound(f"{alias} in {environment} has no revision {number}.", code="revision_not_found")
        return self.answer(RevisionRow(revision_row(revision, policy=policy)).data)


class PolicyExport(ApiView):
    """The policy file of an environment, to take away."""

    permission_classes = [MayView]
    renderer_classes = [YamlTextRenderer]
    filters = ExportQuery

    @extend_schema(
        operation_id="policies_export",
        summary="Export policies as YAML",
        responses={(200, YAML): OpenApiResponse(OpenApiTypes.STR, description="aliases: → candidates: → id, version_pin, weight")},
    )
    def get(self, request: Request, environment: str) -> Response:
        """Import takes the same shape."""
        query = self.query()
        place = get_environment(environment)
        if "alias" in query and not RoutingPolicy.objects.filter(environment=place, alias=query["alias"]).exists():
            raise no_policy(environment=environment, alias=query["alias"])
        return Response(export_policies(environment=place, aliases=[query["alias"]] if "alias" in query else None))


class PolicyImport(ApiView):
    """The policy file of an environment, brought in."""

    permission_classes = [MayRoute]
    parser_classes = [YamlTextParser, OldYamlTextParser, TextYamlTextParser]
    max_body_bytes = MAX_FILE_BYTES

    @extend_schema(
        operation_id="policies_import",
        summary="Import policies from YAML",
        parameters=[ImportQuery],
        request={YAML: OpenApiTypes.STR},
        responses=ImportResult,
    )
    def post(self, request: Request, environment: str) -> Response:
        """Appends a revision to each alias that differs. Refused whole (422, `fields` by line) when anything is wrong."""

        def act(key: str | None) -> Response:
            wanted = ImportQuery(data=request.query_params.dict())
            wanted.is_valid(raise_exception=True)
            text: Any = request.data
            if not isinstance(text, str):
                raise HttpError(f"Send the policy file as the body, with Content-Type: {YAML}.", code="malformed", status=400, title="Malformed request")
            place = get_environment(environment)
            revisions = import_policies(environment=place, text=text, actor=self.actor, reason=wanted.validated_data["reason"])
            found = PolicyRevision.objects.filter(pk__in=[revision.pk for revision in revisions])
            found = found.select_related("policy__environment").prefetch_related("candidates__version").order_by("policy__alias")
            rows = [revision_row(revision, policy=revision.policy) for revision in found]
            return Response(ImportResult({"environment": place.slug, "changed": rows}).data)

        return once(request, act)


def _loaded(revision_id: int) -> Any:
    return PolicyRevision.objects.prefetch_related("candidates__version").get(pk=revision_id)
