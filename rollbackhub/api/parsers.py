"""Reading bodies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser

MAX_DEPTH = 20


class BoundedJsonParser(JSONParser):
    """JSON that is not nested deeper than anything we take: later code may walk it without fear."""

    def parse(self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None) -> Any:
        """The body's value. Raises ParseError."""
        try:
            content = super().parse(stream, media_type, parser_context)
        except RecursionError as error:
            raise _too_deep() from error
        level = [content]
        for _ in range(MAX_DEPTH):
            level = [item for value in level if isinstance(value, dict | list) for item in (value.values() if isinstance(value, dict) else value)]
            if not level:
                return content
        raise _too_deep()


def _too_deep() -> ParseError:
    return ParseError(f"The JSON is nested deeper than {MAX_DEPTH} levels.")
