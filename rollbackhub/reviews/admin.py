"""Reviews in the admin: to look at."""

from __future__ import annotations

from django.contrib import admin

from rollbackhub.common.read_only_admin import ReadOnlyModelAdmin, ReadOnlyTabularInline
from rollbackhub.reviews.models import Attendance, Review, ReviewAction, ReviewDecision, ReviewItem, SignOff


class ReviewItemInline(ReadOnlyTabularInline):
    """The agenda."""

    model = ReviewItem
    fields = ["position", "agenda", "headline", "query_seconds", "minutes_at"]
    readonly_fields = fields


class AttendanceInline(ReadOnlyTabularInline):
    """Who was there."""

    model = Attendance
    fields = ["name", "user"]
    readonly_fields = fields


class ReviewDecisionInline(ReadOnlyTabularInline):
    """What was decided."""

    model = ReviewDecision
    fields = ["text", "owner_label", "decided_at"]
    readonly_fields = fields


class ReviewActionInline(ReadOnlyTabularInline):
    """Who does what, and by when."""

    model = ReviewAction
    fields = ["title", "owner_label", "due_on"]
    readonly_fields = fields


class SignOffInline(ReadOnlyTabularInline):
    """Who signed."""

    model = SignOff
    fields = ["role", "signer_label", "note", "signed_at"]
    readonly_fields = fields


@admin.register(Review)
class ReviewAdmin(ReadOnlyModelAdmin):
    """Reviews change by their own pages."""

    list_display = ["team", "quarter", "state", "meets_at", "prepared_at", "held_at", "signed_at"]
    list_filter = ["state", "team"]
    list_select_related = ["team"]
    search_fields = ["team__name"]
    inlines = [ReviewItemInline, AttendanceInline, ReviewDecisionInline, ReviewActionInline, SignOffInline]
