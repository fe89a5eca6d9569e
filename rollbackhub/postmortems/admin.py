"""Postmortems in the admin: rules and questions to change, the rest to look at."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest

from rollbackhub.accounts.audited_admin import AuditedModelAdmin
from rollbackhub.common.read_only_admin import ReadOnlyModelAdmin, ReadOnlyTabularInline
from rollbackhub.postmortems.models import Cause, DueRule, FactorAnswer, FactorQuestion, Postmortem, PostmortemAction, Reviewer, Section


@admin.register(DueRule)
class DueRuleAdmin(AuditedModelAdmin):
    """By when a postmortem is published, by severity."""

    list_display = ["severity", "working_days", "drafts"]
    fields = ["severity", "working_days", "drafts"]
    readonly_fields = ["severity"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        """There is one for each severity already."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """A severity without a row would have no day."""
        return False


@admin.register(FactorQuestion)
class FactorQuestionAdmin(AuditedModelAdmin):
    """What new postmortems ask. A question that was answered stays; make it inactive instead."""

    list_display = ["position", "text", "is_active"]
    list_display_links = ["text"]
    fields = ["key", "text", "hint", "position", "is_active"]
    fixed_fields = ("key",)
    search_fields = ["text", "key__exact"]

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """What was answered stays readable."""
        return False


@admin.register(Cause)
class CauseAdmin(AuditedModelAdmin):
    """The vocabulary, and what people added to it."""

    list_display = ["name", "slug", "is_own", "created_by_label"]
    fields = ["name", "slug", "is_own"]
    fixed_fields = ("slug",)
    search_fields = ["name"]

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Postmortems name it."""
        return False


class SectionInline(ReadOnlyTabularInline):
    """Its texts."""

    model = Section
    fields = ["key", "number", "by_label", "changed_at"]
    readonly_fields = fields


class FactorInline(ReadOnlyTabularInline):
    """Contributing factors."""

    model = FactorAnswer
    fields = ["question", "answer", "words", "fact"]
    readonly_fields = fields


class ReviewerInline(ReadOnlyTabularInline):
    """Who reviews it."""

    model = Reviewer
    fields = ["user", "verdict", "note", "decided_at"]
    readonly_fields = fields


class ActionInline(ReadOnlyTabularInline):
    """What came out of it."""

    model = PostmortemAction
    fields = ["action"]
    readonly_fields = fields


@admin.register(Postmortem)
class PostmortemAdmin(ReadOnlyModelAdmin):
    """They are written on their pages."""

    list_display = ["incident", "state", "owner", "due_on", "published_at", "closed_at"]
    list_filter = ["state"]
    list_select_related = ["incident", "owner"]
    search_fields = ["incident__title", "owner__username__exact"]
    inlines = [SectionInline, FactorInline, ReviewerInline, ActionInline]
