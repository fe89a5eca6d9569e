"""Reads and sets one scalar of a YAML file. Every other byte of the file stays as it is: comments, order, quotes, indentation."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

MAX_BYTES = 1_000_000


class FieldUnusable(Exception):
    """Why the field cannot be read or set, in words."""


def read_field(content: bytes, *, field: str) -> str:
    """The text of a scalar, as it is written there. Raises FieldUnusable."""
    return str(_find(_text(content), field).value)


def set_field(content: bytes, *, field: str, value: str) -> bytes:
    """The file with the scalar replaced, quoted as it was. Raises FieldUnusable when that would change anything else."""
    text = _text(content)
    node = _find(text, field)
    if node.style in ("|", ">"):
        raise FieldUnusable(f"{field} is a text of several lines")
    start, end = node.start_mark.index, node.end_mark.index
    changed = text[:start] + _written(node, value) + text[end:]
    before, after = _events(text), _events(changed)
    differing = [pair for pair in zip(before, after, strict=False) if pair[0] != pair[1]]
    if len(before) != len(after) or len(differing) > 1 or str(_find(changed, field).value) != value:
        raise FieldUnusable(f"{field} cannot be replaced without changing more of the file")
    return changed.encode("utf-8")


def _text(content: bytes) -> str:
    if len(content) > MAX_BYTES:
        raise FieldUnusable(f"the file is larger than {MAX_BYTES} bytes")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise FieldUnusable("the file is not UTF-8") from error


def _find(text: str, field: str) -> ScalarNode:
    """The node of a dotted path. An anchor on the way is refused: a change there would show in other places, too."""
    try:
        node: Node | None = YAML(typ="rt").compose(StringIO(text))
    except (YAMLError, ValueError) as error:
        raise FieldUnusable(f"the file is not one YAML document ({type(error).__name__})") from error
    walked: list[str] = []
    for part in field.split("."):
        walked.append(part)
        node = _step(node, part)
        if node is None:
            raise FieldUnusable(f"it has no {'.'.join(walked)}")
        if node.anchor:
            raise FieldUnusable(f"{'.'.join(walked)} is an anchor, so a change would show in other places, too")
    if not isinstance(node, ScalarNode):
        raise FieldUnusable(f"{field} is not a single value")
    return node


def _step(node: Node | None, part: str) -> Node | None:
    if isinstance(node, MappingNode):
        found = [value for key, value in node.value if isinstance(key, ScalarNode) and key.value == part]
        if len(found) > 1:
            raise FieldUnusable(f"it has {part} twice")
        return found[0] if found else None
    if isinstance(node, SequenceNode) and part.isdecimal() and int(part) < len(node.value):
        found_item: Node = node.value[int(part)]
        return found_item
    return None


def _written(node: ScalarNode, value: str) -> str:
    """The value as it is written: in the quotes that were there, plain when that means the same kind of value as before."""
    if node.style == "'":
        return "'" + value.replace("'", "''") + "'"
    if node.style is None or node.style == "":
        try:
            plain = YAML(typ="rt").compose(StringIO(f"k: [{value}]\n"))
        except (YAMLError, ValueError):
            plain = None
        items = plain.value[0][1].value if plain is not None and len(plain.value) == 1 else []
        same = len(items) == 1 and isinstance(items[0], ScalarNode) and items[0].value == value and items[0].style in (None, "")
        if same and str(items[0].tag) in {str(node.tag), "tag:yaml.org,2002:str"}:
            return value
    return json.dumps(value, ensure_ascii=False)


def _events(text: str) -> list[tuple[Any, ...]]:
    """The document as a flat list, for comparing in linear time, whatever the file's aliases would expand to."""
    try:
        return [
            (type(event).__name__, getattr(event, "anchor", None), str(getattr(event, "tag", None)), getattr(event, "value", None))
            for event in YAML(typ="rt").parse(StringIO(text))
        ]
    except (YAMLError, ValueError) as error:
        raise FieldUnusable("the changed file would be no YAML") from error
