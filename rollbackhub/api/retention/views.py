"""Retention: what is kept until when, the share of aliases that could be rolled back, and archiving and retiring versions."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any, ClassVar

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from rollbackhub.api.fields import ApiSerializer
from rollbackhub.api.idempotency import once
from rollbackhub.api.pagination import NewestIdFirst
from rollbackhub.api.permissions import MayView
from rollbackhub.api.retention.permissions import MayRetire
from rollbackhub.api.retention.serializers import ProviderRetirementRequest, RetentionFilters, RetentionPage, RetentionRow, ShareRow, VersionReasonRequest
from rollbackhub.api.views import ApiView, PagedView
from rollbackhub.common import clock
from rollbackhub.common.errors import NotFound
from rollbackhub.readiness.domain.selectors import list_share_history, rollbackable_now
from rollbackhub.registry.domain.lifecycle import archive_version, retire_version
from rollbackhub.registry.domain.retention import Retention, describe_retention, get_retention_version, list_retention, set_provider_retirement
from rollbackhub.registry.models import Version
from rollbackhub.routing.domain.served import first_served

HISTORY_DAYS = 90


class RetentionList(PagedView):
    """Versions with their dates, and the share of aliases that could be rolled back."""

    permission_classes = [MayView]
    filters = RetentionFilters
    pagination_class = NewestIdFirst
    serializer_class = RetentionRow

    @extend_schema(
        operation_id="retention_list", summary="How long versions are kept, and the share of live aliases that are rollbackable", responses=RetentionPage
    )
    def get(self, request: Request) -> Response:
        """Versions, the newest first, each with every reason against retiring it; the share right now, and its history."""
        query = self.query()
        paginator = self.pagination_class()
        page = paginator.paginate_queryset(self.rows(query), request, self) or []
        response = paginator.get_paginated_response(self.serializer_class(_described(page), many=True).data)
        since = query.get("since") or clock.now() - dt.timedelta(days=HISTORY_DAYS)
        response.data["share"] = ShareRow(rollbackable_now()).data
        response.data["share_history"] = ShareRow(list_share_history(since=since), many=True).data
        return response

    def rows(self, query: dict[str, Any]) -> QuerySet[Any]:
        """Filtered."""
        return list_retention(**{name: query.get(name, "") for name in ("artefact", "team", "change_type", "state")})


class VersionAct(ApiView):
    """Something that is done to a version; answered with what its retention is then."""

    permission_classes = [MayRetire]
    body: ClassVar[type[ApiSerializer]] = VersionReasonRequest

    def act(self, version_id: int, values: Mapping[str, Any]) -> None:
        """The domain function, with the checked body."""
        raise NotImplementedError

    def answer(self, request: Request, slug: str, version_id: int) -> Response:
        """Do it once."""

        def do(key: str | None) -> Response:
            if not Version.objects.filter(pk=version_id, artefact__slug=slug).exists():
                raise NotFound(f"{slug} has no version with the number {version_id}.", code="version_not_found")
            wanted = self.body(data=request.data)
            wanted.is_valid(raise_exception=True)
            self.act(version_id, wanted.validated_data)
            return Response(RetentionRow(_described([get_retention_version(version_id)])[0]).data)

        return once(request, do)


class VersionRetire(VersionAct):
    """Gone."""

    @extend_schema(
        operation_id="versions_retire", summary="Retire a version: nothing goes back to it any more", request=VersionReasonRequest, responses=RetentionRow
    )
    def post(self, request: Request, slug: str, version_id: int) -> Response:
        """409 `interlocked` with every reason in `reasons` while it is still needed."""
        return self.answer(request, slug, version_id)

    def act(self, version_id: int, values: Mapping[str, Any]) -> None:
        """Retire it."""
        retire_version(version_id=version_id, account=self.person, actor=self.actor, reason=values["reason"])


class VersionArchive(VersionAct):
    """Put away, still kept."""

    @extend_schema(
        operation_id="versions_archive", summary="Archive a version, or take a retired one back", request=VersionReasonRequest, responses=RetentionRow
    )
    def post(self, request: Request, slug: str, version_id: int) -> Response:
        """409 `wrong_state` while it serves."""
        return self.answer(request, slug, version_id)

    def act(self, version_id: int, values: Mapping[str, Any]) -> None:
        """Archive it."""
        archive_version(version_id=version_id, account=self.person, actor=self.actor, reason=values["reason"])


class VersionProviderRetirement(VersionAct):
    """The provider's date."""

    body = ProviderRetirementRequest

    @extend_schema(
        operation_id="versions_provider_retirement",
        summary="Record when the provider shuts a version down",
        request=ProviderRetirementRequest,
        responses=RetentionRow,
    )
    def post(self, request: Request, slug: str, version_id: int) -> Response:
        """Leads are warned 30, 14, 3 and 1 days ahead while production needs it."""
        return self.answer(request, slug, version_id)

    def act(self, version_id: int, values: Mapping[str, Any]) -> None:
        """Record it."""
        set_provider_retirement(version_id=version_id, at=values["at"], account=self.person, actor=self.actor)


def _described(versions: list[Version]) -> list[Retention]:
    return describe_retention(versions, live_since=first_served(versions))
