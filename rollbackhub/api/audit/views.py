"""The audit log, to read."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http.response import HttpResponseBase
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from rollbackhub.api.audit.serializers import AuditEventRow, AuditFilters
from rollbackhub.api.pagination import NewestIdFirst
from rollbackhub.api.permissions import MayAudit
from rollbackhub.api.schema import page_of
from rollbackhub.api.views import OneView, PagedView
from rollbackhub.audit.models import AuditEvent
from rollbackhub.common.errors import NotFound


class AuditEventList(PagedView):
    """All audit events."""

    permission_classes = [MayAudit]
    filters = AuditFilters
    pagination_class = NewestIdFirst
    serializer_class = AuditEventRow

    @extend_schema(operation_id="audit_events_list", summary="Audit events, newest first", responses=page_of(AuditEventRow, name="AuditEvent"))
    def get(self, request: Request) -> Response:
        """With their places in the Merkle log."""
        return self.paged(request)

    def rows(self, query: dict[str, Any]) -> QuerySet[Any]:
        """Filtered."""
        return AuditEvent.objects.select_related("leaf").filter(**query)


class AuditEventOne(OneView):
    """One audit event."""

    permission_classes = [MayAudit]

    @extend_schema(operation_id="audit_events_retrieve", summary="One audit event", responses=AuditEventRow)
    def get(self, request: Request, event_id: int) -> HttpResponseBase:
        """With its place in the Merkle log."""
        event = AuditEvent.objects.select_related("leaf").filter(pk=event_id).first()
        if event is None:
            raise NotFound("There is no such audit event.", code="audit_event_not_found")
        return self.answer(AuditEventRow(event).data)
