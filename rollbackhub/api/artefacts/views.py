"""Artefacts and their versions, to read."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http.response import HttpResponseBase
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from rollbackhub.api.artefacts.serializers import ArtefactFilters, ArtefactRow, VersionFilters, VersionRow
from rollbackhub.api.pagination import NewestFirstCursor
from rollbackhub.api.permissions import MayView
from rollbackhub.api.schema import page_of
from rollbackhub.api.views import OneView, PagedView
from rollbackhub.common.errors import NotFound
from rollbackhub.registry.domain.selectors import get_artefact, list_versions
from rollbackhub.registry.models import Artefact


class BySlug(NewestFirstCursor):
    """In the order of the names."""

    ordering = ("slug",)


class ArtefactList(PagedView):
    """All artefacts."""

    permission_classes = [MayView]
    filters = ArtefactFilters
    pagination_class = BySlug
    serializer_class = ArtefactRow

    @extend_schema(operation_id="artefacts_list", summary="Artefacts, by name", responses=page_of(ArtefactRow, name="Artefact"))
    def get(self, request: Request) -> Response:
        """What is released."""
        return self.paged(request)

    def rows(self, query: dict[str, Any]) -> QuerySet[Any]:
        """Filtered."""
        found = Artefact.objects.select_related("team")
        if "change_type" in query:
            found = found.filter(change_type=query["change_type"])
        return found.filter(team__slug=query["team"]) if "team" in query else found


class ArtefactOne(OneView):
    """One artefact."""

    permission_classes = [MayView]

    @extend_schema(operation_id="artefacts_retrieve", summary="One artefact", responses=ArtefactRow)
    def get(self, request: Request, slug: str) -> HttpResponseBase:
        """By its slug."""
        return self.answer(ArtefactRow(get_artefact(slug)).data)


class VersionList(PagedView):
    """The versions of an artefact."""

    permission_classes = [MayView]
    filters = VersionFilters
    serializer_class = VersionRow

    @extend_schema(operation_id="versions_list", summary="Versions of an artefact, newest first", responses=page_of(VersionRow, name="Version"))
    def get(self, request: Request, slug: str) -> Response:
        """Every version that was ever registered."""
        return self.paged(request)

    def rows(self, query: dict[str, Any]) -> QuerySet[Any]:
        """Of this artefact."""
        return list_versions(artefact=get_artefact(self.kwargs["slug"]).slug, **query)


class VersionOne(OneView):
    """One version."""

    permission_classes = [MayView]

    @extend_schema(operation_id="versions_retrieve", summary="One version", responses=VersionRow)
    def get(self, request: Request, slug: str, version_id: int) -> HttpResponseBase:
        """By its number."""
        version = list_versions(artefact=slug).filter(pk=version_id).first()
        if version is None:
            raise NotFound(f"{slug} has no version with the number {version_id}.", code="version_not_found")
        return self.answer(VersionRow(version).data)
