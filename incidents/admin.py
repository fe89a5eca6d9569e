"""Incidents in the admin: to look at."""

from __future__ import annotations

from django.contrib import admin

from incidents.models import Incident, IncidentRollback
from rollbackhub.common.read_only_admin import ReadOnlyModelAdmin, ReadOnlyTabularInline


class IncidentRollbackInline(ReadOnlyTabularInline):
    """The rollbacks of the incident."""

    model = IncidentRollback
    fields = ["rollback", "how", "followed_state", "followed_number", "over_at"]
    readonly_fields = fields


@admin.register(Incident)
class IncidentAdmin(ReadOnlyModelAdmin):
    """What its rollbacks know is filled in from them."""

    list_display = ["title", "state", "severity", "source", "environment", "opened_at", "stable_at", "closed_at"]
    list_filter = ["state", "severity", "source", "environment"]
    list_select_related = ["environment"]
    search_fields = ["title", "aliases__alias__exact"]
    inlines = [IncidentRollbackInline]
