"""Admin pages on which nothing can be changed."""

from __future__ import annotations

from typing import Any

from django.db.models import Model
from django.http import HttpRequest
from unfold.admin import ModelAdmin, TabularInline
from unfold.paginator import InfinitePaginator


class _ReadOnly:
    """No adding, changing or deleting, whatever is posted; looking is for everybody who is let in."""

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Never."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Never."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Never."""
        return False


class ReadOnlyModelAdmin(_ReadOnly, ModelAdmin):
    """For what only domain functions write. Pages through millions of rows without counting them."""

    paginator = InfinitePaginator
    show_full_result_count = False
    list_per_page = 50
    actions: list[Any] = []


class ReadOnlyTabularInline(_ReadOnly, TabularInline):
    """Rows of a read-only page that belong to it."""

    extra = 0
    max_num = 0
    can_delete = False
    show_change_link = True
