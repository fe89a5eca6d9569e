"""Drills and their programme in the admin: to look at. What nobody is told elsewhere is not told here either."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from drills.domain.programme_selectors import planned_drills, row_of
from drills.models import CalendarFeed, Drill, DrillPlan, FindingAction, PlannedDrill, QuietPeriod
from rollbackhub.common.read_only_admin import ReadOnlyModelAdmin

NOT_TOLD = "not told beforehand"


@admin.register(Drill)
class DrillAdmin(ReadOnlyModelAdmin):
    """What happened stands on the execution."""

    list_display = ["execution", "idempotency_owner", "note"]
    list_select_related = ["execution"]
    search_fields = ["execution__id__exact"]


@admin.register(DrillPlan)
class DrillPlanAdmin(ReadOnlyModelAdmin):
    """Without its seed, from which everything that is left to chance can be drawn."""

    list_display = ["name", "team", "owner", "environment", "cadence", "announced", "is_active"]
    list_select_related = ["team", "owner", "environment"]
    list_filter = ["is_active", "team", "announced"]
    search_fields = ["name"]
    exclude = ["seed"]


@admin.register(PlannedDrill)
class PlannedDrillAdmin(ReadOnlyModelAdmin):
    """Only what may be shown to anybody: of an unannounced drill that has not begun no time."""

    list_display = ["__str__", "state", "when", "started_at", "ended_at"]
    list_filter = ["state"]
    search_fields = ["plan__name"]
    fields = ["plan", "state", "when", "latest", "policy", "execution", "started_at", "ended_at", "said", "excused_by"]
    readonly_fields = fields
    ordering = ["-period_starts_at", "-id"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[PlannedDrill]:
        """With all that a row shows."""
        return planned_drills()

    @admin.display(description="when")
    def when(self, planned: PlannedDrill) -> str:
        """Its time, or the period in which it may come."""
        row = row_of(planned)
        return f"{row.starts_at:%Y-%m-%d %H:%M} UTC" if row.starts_at else row.when_in_words

    @admin.display(description="caught up until")
    def latest(self, planned: PlannedDrill) -> str:
        """Its latest instant."""
        row = row_of(planned)
        return f"{row.latest_at:%Y-%m-%d %H:%M} UTC" if row.latest_at else NOT_TOLD if planned.is_hidden else ""

    @admin.display(description="why")
    def said(self, planned: PlannedDrill) -> str:
        """Why it waits, failed, was missed or excused."""
        return row_of(planned).why


@admin.register(QuietPeriod)
class QuietPeriodAdmin(ReadOnlyModelAdmin):
    """They are made and taken back on their page, by the domain's functions."""

    list_display = ["reason", "team", "starts_at", "ends_at"]
    list_select_related = ["team"]
    search_fields = ["reason"]


@admin.register(CalendarFeed)
class CalendarFeedAdmin(ReadOnlyModelAdmin):
    """Without the secret, of which a hash is kept only."""

    list_display = ["name", "team", "created_by", "created_at", "last_used_at", "revoked_at"]
    list_select_related = ["team", "created_by"]
    search_fields = ["name"]
    fields = ["name", "team", "created_by", "created_at", "last_used_at", "revoked_at"]
    readonly_fields = fields


@admin.register(FindingAction)
class FindingActionAdmin(ReadOnlyModelAdmin):
    """Which action stands for which finding."""

    list_display = ["code", "subject", "policy", "times_seen", "recurrences", "action"]
    list_select_related = ["policy__environment", "action"]
    list_filter = ["code"]
    search_fields = ["subject", "policy__alias__exact"]
