"""Facts of runs and imported files in the admin: to look at."""

from __future__ import annotations

from django.contrib import admin

from rollbackhub.analytics.models import HistoryImport, RunFact
from rollbackhub.common.read_only_admin import ReadOnlyModelAdmin


@admin.register(RunFact)
class RunFactAdmin(ReadOnlyModelAdmin):
    """What is counted of each run. It follows its execution and its rollback by itself."""

    list_display = ["at", "alias", "environment", "kind", "verdict", "outcome", "rollback_seconds", "target_seconds", "source"]
    list_filter = ["kind", "verdict", "source", "environment"]
    list_select_related = ["environment"]
    search_fields = ["alias__exact"]


@admin.register(HistoryImport)
class HistoryImportAdmin(ReadOnlyModelAdmin):
    """Files of past runs that were taken in."""

    list_display = ["file_name", "rows", "imported_by", "imported_at"]
    list_select_related = ["imported_by"]
