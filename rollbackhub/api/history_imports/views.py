"""Past drills and rollbacks from a CSV file: imported whole or not at all, listed, and taken back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any
from uuid import UUID

from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response

from rollbackhub.analytics.domain.history_import import HistoryFile, get_import, import_history, list_imports, preview_history, take_back_import
from rollbackhub.api.errors import HttpError
from rollbackhub.api.history_imports.serializers import (
    HistoryImportRow,
    HistoryPreview,
    ImportQuery,
    TakeBackRequest,
    TakenBack,
    import_row,
    preview_report,
)
from rollbackhub.api.idempotency import created, once
from rollbackhub.api.pagination import NewestFirstCursor
from rollbackhub.api.permissions import MayConfigure, MayLeadInPerson, MayView
from rollbackhub.api.schema import page_of
from rollbackhub.api.views import ApiView, OneView, PagedView
from rollbackhub.common.csv_file import MAX_BYTES

CSV = "text/csv"


class CsvParser(BaseParser):
    """Hands the file on as it is: the domain says what is wrong with its encoding, and its digest is of these bytes."""

    media_type = CSV

    def parse(self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None) -> str:  # type: ignore[override]
        """The bytes as text that gives them back (idempotency keys compare bodies as JSON)."""
        return bytes(stream.read()).decode("utf-8", "surrogateescape")


class NewestImportFirst(NewestFirstCursor):
    """The newest first."""

    ordering = ("-imported_at", "-pk")


class HistoryImportList(PagedView):
    """Files that were imported, and a new one."""

    permission_classes = [MayView]
    permission_by_method = {"POST": MayConfigure}
    parser_classes = [CsvParser]
    max_body_bytes = MAX_BYTES
    pagination_class = NewestImportFirst
    serializer_class = HistoryImportRow

    @extend_schema(
        operation_id="history_imports_list",
        summary="Imports of past drills and rollbacks, newest first",
        responses=page_of(HistoryImportRow, name="HistoryImport"),
    )
    def get(self, request: Request) -> Response:
        """What was taken back is not among them; the audit log keeps it."""
        self.query()
        paginator = self.pagination_class()
        page = paginator.paginate_queryset(list_imports(), request, self) or []
        return paginator.get_paginated_response(HistoryImportRow([import_row(found) for found in page], many=True).data)

    @extend_schema(
        operation_id="history_imports_create",
        summary="Import past drills and rollbacks from CSV",
        parameters=[ImportQuery],
        request={CSV: OpenApiTypes.STR},
        responses={
            200: OpenApiResponse(HistoryPreview, description="With dry_run: what the file would bring in; nothing was written"),
            201: OpenApiResponse(HistoryImportRow, description="Imported, all of it"),
        },
    )
    def post(self, request: Request) -> Response:
        """Refused whole: 422 `history_refused` with every wrong row in `problems`, 409 `history_imported_already` for the same file again."""

        def act(key: str | None) -> Response:
            wanted = ImportQuery(data=request.query_params.dict())
            wanted.is_valid(raise_exception=True)
            values = wanted.validated_data
            text: Any = request.data
            if not isinstance(text, str):
                raise HttpError(f"Send the file as the body, with Content-Type: {CSV}.", code="malformed", status=400, title="Malformed request")
            file = HistoryFile(content=text.encode("utf-8", "surrogateescape"), name=values["file_name"], zone=values["zone"], note=values["note"])
            if values["dry_run"]:
                preview = preview_history(file=file, account=self.person, actor=self.actor)
                return Response(HistoryPreview(preview_report(preview)).data)
            made = import_history(file=file, account=self.person, actor=self.actor)
            content = HistoryImportRow(import_row(get_import(made.pk))).data
            return created(content, at=content["url"])

        return once(request, act)


class HistoryImportOne(OneView):
    """One import."""

    permission_classes = [MayView]

    @extend_schema(operation_id="history_imports_retrieve", summary="One import of past drills and rollbacks", responses=HistoryImportRow)
    def get(self, request: Request, import_id: UUID) -> HttpResponseBase:
        """404 once it was taken back."""
        return self.answer(HistoryImportRow(import_row(get_import(import_id))).data)


class HistoryImportTakeBack(ApiView):
    """An import, undone."""

    permission_classes = [MayLeadInPerson]

    @extend_schema(operation_id="history_imports_take_back", summary="Take an import back, whole", request=TakeBackRequest, responses=TakenBack)
    def post(self, request: Request, import_id: UUID) -> Response:
        """Its runs are counted no more; the audit log keeps that they were there. By a lead, never by a token."""

        def act(key: str | None) -> Response:
            get_import(import_id)
            wanted = TakeBackRequest(data=request.data)
            wanted.is_valid(raise_exception=True)
            found = take_back_import(import_id=import_id, account=self.person, actor=self.actor, reason=wanted.validated_data["reason"])
            return Response(TakenBack({"id": found.pk, "file_name": found.file_name, "rows": found.rows}).data)

        return once(request, act)
