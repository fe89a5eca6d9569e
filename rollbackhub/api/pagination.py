"""Cursor pages, newest first."""

from __future__ import annotations

from rest_framework.pagination import CursorPagination


class NewestFirstCursor(CursorPagination):
    """Pages that stay right while rows are added."""

    page_size_query_param = "page_size"
    max_page_size = 200
    ordering = ("-created_at", "-pk")
