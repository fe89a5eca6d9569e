"""The audit log in the admin: to look at, nothing else."""

from __future__ import annotations

from typing import Any, get_args

from django.contrib import admin
from django.db.models import BinaryField, QuerySet
from django.http import HttpRequest

from rollbackhub.audit.actors import ActorKind
from rollbackhub.audit.models import AuditEvent, AuditLeaf, AuditTreeHead
from rollbackhub.common.read_only_admin import ReadOnlyModelAdmin


class ActorKindFilter(admin.SimpleListFilter):
    """The known kinds: Django's own filter would look through all events for the values."""

    title = "actor"
    parameter_name = "actor_kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Each kind of actor."""
        return [(kind, kind.title()) for kind in get_args(ActorKind)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[AuditEvent]) -> QuerySet[AuditEvent]:
        """Of that kind."""
        return queryset.filter(actor_kind=self.value()) if self.value() else queryset


@admin.register(AuditEvent)
class AuditEventAdmin(ReadOnlyModelAdmin):
    """Newest first; searched by the beginning of the event's name or by the subject's id."""

    list_display = ["id", "at", "event", "actor_label", "subject_type", "subject_id"]
    list_filter = [ActorKindFilter]
    search_fields = ["event__startswith", "subject_id__exact"]
    search_help_text = "The beginning of an event (drill.), or a subject's id"
    readonly_fields = ["at"]


class _HashesAdmin(ReadOnlyModelAdmin):
    """Hashes are shown in hexadecimal."""

    def hash_hex(self, row: AuditLeaf | AuditTreeHead) -> str:
        """The row's hash."""
        return next(bytes(getattr(row, field.attname)).hex() for field in row._meta.concrete_fields if isinstance(field, BinaryField))

    hash_hex.short_description = "hash"  # type: ignore[attr-defined]


@admin.register(AuditLeaf)
class AuditLeafAdmin(_HashesAdmin):
    """The places of events in the Merkle log."""

    list_display = ["position", "event_id", "hash_hex", "sequenced_at"]
    fields = ["position", "event", "hash_hex", "sequenced_at"]
    readonly_fields = fields
    ordering = ["-position"]


@admin.register(AuditTreeHead)
class AuditTreeHeadAdmin(_HashesAdmin):
    """The roots of the Merkle log."""

    list_display = ["size", "hash_hex", "created_at"]
    fields = ["size", "hash_hex", "frontier", "created_at"]
    readonly_fields = fields
    ordering = ["-size"]
