"""Actions in the admin: to look at."""

from __future__ import annotations

from django.contrib import admin

from rollbackhub.actions.models import Action
from rollbackhub.common.read_only_admin import ReadOnlyModelAdmin


@admin.register(Action)
class ActionAdmin(ReadOnlyModelAdmin):
    """They are changed and closed on their pages, by the domain's functions."""

    list_display = ["title", "team", "owner", "due_on", "state", "origin", "closed_at"]
    list_select_related = ["team", "owner"]
    list_filter = ["state", "origin", "team"]
    search_fields = ["title", "owner__username__exact"]
