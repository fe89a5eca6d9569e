"""Versions of all artefacts, and registering one: what a CI calls when it has built something."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from rollbackhub.api.artefacts.serializers import VersionRow
from rollbackhub.api.idempotency import created, once
from rollbackhub.api.permissions import MayRegister, MayView
from rollbackhub.api.schema import page_of
from rollbackhub.api.versions.serializers import AllVersionsFilters, VersionRequest
from rollbackhub.api.views import PagedView
from rollbackhub.common.errors import Conflict, InvalidInput, NotFound
from rollbackhub.registry.domain.selectors import get_artefact, get_version, list_versions
from rollbackhub.registry.domain.versions import register_version


class AllVersions(PagedView):
    """The versions of all artefacts, and a new one."""

    permission_classes = [MayView]
    permission_by_method = {"POST": MayRegister}
    filters = AllVersionsFilters
    serializer_class = VersionRow

    @extend_schema(operation_id="versions_list_all", summary="Versions of all artefacts, newest first", responses=page_of(VersionRow, name="Version"))
    def get(self, request: Request) -> Response:
        """Every version that was ever registered."""
        return self.paged(request)

    @extend_schema(
        operation_id="versions_create",
        summary="Register a version",
        request=VersionRequest,
        responses={
            200: OpenApiResponse(VersionRow, description="Registered before, with the same label and digest: as it is, nothing was changed"),
            201: OpenApiResponse(VersionRow, description="Registered"),
        },
    )
    def post(self, request: Request) -> Response:
        """The same label and digest again is the same version. 409 `version_exists` when the label stands for another digest; it names both."""
        return once(request, self._register)

    def rows(self, query: dict[str, Any]) -> QuerySet[Any]:
        """Filtered."""
        return list_versions(**query)

    def _register(self, key: str | None) -> Response:
        wanted = VersionRequest(data=self.request.data)
        wanted.is_valid(raise_exception=True)
        values = dict(wanted.validated_data)
        try:
            artefact = get_artefact(values.pop("artefact"))
        except NotFound as error:
            raise InvalidInput(error.message, code=error.code, fields={"artefact": [error.message]}) from error
        try:
            version, is_new = register_version(artefact=artefact, account=self.person, actor=self.actor, **values)
        except Conflict as error:
            error.extra["url"] = f"/registry/versions/{error.extra['version_id']}/"
            error.extra["api_url"] = f"/api/v1/artefacts/{artefact.slug}/versions/{error.extra['version_id']}/"
            raise
        content = VersionRow(get_version(version.pk)).data
        response = created(content, at=content["url"])
        if not is_new:
            response.status_code = 200
        return response
