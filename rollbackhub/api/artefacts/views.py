"""Artefacts and their versions, to read."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http.response import HttpResponseBase
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from rollbackhub.api.artefacts.serializers import ArtefactFilters, ArtefactRow, ChecksRequest, ChecksRow, VersionFilters, VersionRow
from rollbackhub.api.idempotency import once
from rollbackhub.api.pagination import NewestFirstCursor
from rollbackhub.api.permissions import MayConfigure, MayView
from rollbackhub.api.schema import page_of
from rollbackhub.api.views import OneView, PagedView
from rollbackhub.common.errors import NotFound
from rollbackhub.executions.domain.checks_in_use import checks_in_use
from rollbackhub.registry.domain.checks import checks_digest, set_checks
from rollbackhub.registry.domain.selectors import get_artefact, list_versions
from rollbackhub.registry.models import Artefact
from rollbackhub.verification.specs import as_json, in_sentences, title_of
from rollbackhub.verification.written import warnings_of


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


class ArtefactChecks(OneView):
    """What verifies a rollback of an artefact."""

    permission_classes = [MayView]
    permission_by_method = {"POST": MayConfigure}

    @extend_schema(operation_id="artefact_checks_retrieve", summary="What verifies a rollback of an artefact", responses=ChecksRow)
    def get(self, request: Request, slug: str) -> HttpResponseBase:
        """Its own checks, or the template of its change type."""
        return self.answer(ChecksRow(_checks(get_artefact(slug))).data)

    @extend_schema(operation_id="artefact_checks_set", summary="Set what verifies a rollback of an artefact", request=ChecksRequest, responses=ChecksRow)
    def post(self, request: Request, slug: str) -> Response:
        """Proofs of its paths are stale then. 409 `checks_moved` when somebody changed them meanwhile. 422 names the place: `checks.1.margin_ratio`."""
        artefact = get_artefact(slug)

        def act(key: str | None) -> Response:
            wanted = ChecksRequest(data=request.data)
            wanted.is_valid(raise_exception=True)
            values = wanted.validated_data
            set_checks(
                artefact=artefact,
                checks=values["checks"],
                based_on=values["based_on"],
                reason=values["reason"],
                account=self.person,
                actor=self.actor,
            )
            return Response(ChecksRow(_checks(artefact)).data)

        return once(request, act)


def _checks(artefact: Artefact) -> dict[str, Any]:
    in_use = checks_in_use(artefact)
    rows = [
        {
            "key": check.key,
            "kind": check.kind,
            "title": title_of(check),
            "sentences": in_sentences(check),
            "warnings": warnings_of(check),
            "settings": settings,
        }
        for check, settings in zip(in_use.checks, as_json(in_use.checks), strict=True)
    ]
    return {
        "artefact": artefact.slug,
        "is_own": in_use.is_own,
        "digest": checks_digest(artefact),
        "checks": rows,
        "verifies": in_use.by_checks,
        "verified_otherwise": in_use.otherwise,
        "without_procedure": in_use.without,
    }


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
