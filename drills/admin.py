"""Drills in the admin: to look at."""

from __future__ import annotations

from django.contrib import admin

from drills.models import Drill
from rollbackhub.common.read_only_admin import ReadOnlyModelAdmin


@admin.register(Drill)
class DrillAdmin(ReadOnlyModelAdmin):
    """What happened stands on the execution."""

    list_display = ["execution", "idempotency_owner", "note"]
    list_select_related = ["execution"]
    search_fields = ["execution__id__exact"]
