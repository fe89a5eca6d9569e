"""Cursor pages, newest first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from rest_framework.exceptions import NotFound
from rest_framework.pagination import Cursor, CursorPagination
from rest_framework.request import Request

from rollbackhub.common.errors import InvalidInput


class NewestFirstCursor(CursorPagination):
    """Pages that stay right while rows are added. `page_size` from 1 to 200."""

    page_size_query_param = "page_size"
    max_page_size = 200
    ordering: tuple[str, ...] = ("-created_at", "-pk")

    def paginate_queryset(self, queryset: QuerySet[Any] | Sequence[Any], request: Request, view: Any = None) -> list[Any] | None:
        """One page. Raises InvalidInput for a cursor that is not one of ours."""
        try:
            return super().paginate_queryset(queryset, request, view)
        except (NotFound, ValidationError, ValueError, OverflowError) as error:
            raise InvalidInput(
                "The cursor is not one that this list gave out. Start again without it.",
                code="invalid_cursor",
                fields={"cursor": ["Not a cursor of this list."]},
            ) from error

    def decode_cursor(self, request: Request) -> Cursor | None:
        """The place in the list that the request asks for. Raises NotFound for what PostgreSQL cannot even compare."""
        cursor = super().decode_cursor(request)
        if cursor is not None and "\0" in str(cursor.position or ""):
            raise NotFound(self.invalid_cursor_message)
        return cursor

    def get_page_size(self, request: Request) -> int:
        """What was asked for. Raises InvalidInput when it is no number from 1 to 200."""
        asked = request.query_params.get("page_size")
        if asked is None:
            return int(self.page_size or 50)
        if not (asked.isascii() and asked.isdecimal()) or not 1 <= int(asked[:6]) <= self.max_page_size:
            sentence = f"page_size must be a number from 1 to {self.max_page_size}."
            raise InvalidInput(sentence, fields={"page_size": [sentence]})
        return int(asked)


class NewestIdFirst(NewestFirstCursor):
    """For rows that are numbered in the order in which they came."""

    ordering = ("-id",)


class OldestIdFirst(NewestFirstCursor):
    """For series that are read forwards."""

    ordering = ("id",)
