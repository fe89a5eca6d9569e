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
    for written in _ways(node, value):
        changed = text[:start] + written + text[end:]
        if _is_only_change(text, changed, field=field, node=node, value=value):
            return changed.encode("utf-8")
    raise FieldUnusable(f"{field} cannot be replaced without changing more of the file")


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


def _ways(node: ScalarNode, value: str) -> list[str]:
    """How the value can be written, the way in which the present one is written first."""
    single, double = "'" + value.replace("'", "''") + "'", json.dumps(value, ensure_ascii=False)
    if node.style == "'":
        return [single]
    return [double] if node.style == '"' else [value, double]


def _is_only_change(text: str, changed: str, *, field: str, node: ScalarNode, value: str) -> bool:
    """Whether the file says the same as before but for this value, and the value is of the same kind as before or a text."""
    try:
        before, after = _events(text), _events(changed)
        found = _find(changed, field)
    except (YAMLError, ValueError, FieldUnusable):
        return False
    differing = [pair for pair in zip(before, after, strict=False) if pair[0] != pair[1]]
    same_kind = str(found.tag) in {str(node.tag), "tag:yaml.org,2002:str"}
    return len(before) == len(after) and len(differing) <= 1 and found.value == value and same_kind


def _events(text: str) -> list[tuple[Any, ...]]:
    """The document as a flat list, for comparing in linear time, whatever the file's aliases would expand to."""
    return [
        (type(event).__name__, getattr(event, "anchor", None), str(getattr(event, "tag", None)), getattr(event, "value", None))
        for event in YAML(typ="rt").parse(StringIO(text))
    ]
