"""The policy file in and out: text, read and checked by the domain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer

YAML = "application/yaml"


class YamlTextParser(BaseParser):
    """Hands the text on as it is; lines are counted in it."""

    media_type = YAML

    def parse(self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None) -> str:  # type: ignore[override]
        """The body as text. Raises ParseError unless it is UTF-8."""
        try:
            return bytes(stream.read()).decode("utf-8")
        except UnicodeDecodeError as error:
            raise ParseError("The policy file is not UTF-8 text.") from error


class OldYamlTextParser(YamlTextParser):
    """The name that was used before RFC 9512."""

    media_type = "application/x-yaml"


class TextYamlTextParser(YamlTextParser):
    """The name that was used before RFC 9512."""

    media_type = "text/yaml"


class YamlTextRenderer(BaseRenderer):
    """Writes the text as it is."""

    media_type = YAML
    format = "yaml"
    charset = None
    render_style = "binary"

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Mapping[str, Any] | None = None) -> bytes:
        """UTF-8."""
        return str(data).encode()
