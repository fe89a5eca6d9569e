"""What a typed model (settings, targets, parameters) finds wrong in what a person wrote, in our words: pydantic's own never reach people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

_NEEDED = "This is needed."
_TEXT = "It must be text. Put a number or a date in quotes."
_WHOLE, _NUMBER, _BOOLEAN, _MAPPING, _LIST = (
    "It must be a whole number.",
    "It must be a number.",
    "It must be true or false.",
    "It must be a mapping: names, each with its value.",
    "It must be a list.",
)
_WORDS = {
    "missing": _NEEDED,
    "string_type": _TEXT,
    "string_unicode": "It has characters that cannot be stored.",
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_parsing_size": _WHOLE,
    "int_from_float": _WHOLE,
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "finite_number": _NUMBER,
    "bool_type": _BOOLEAN,
    "bool_parsing": _BOOLEAN,
    "dict_type": _MAPPING,
    "mapping_type": _MAPPING,
    "model_type": _MAPPING,
    "model_attributes_type": _MAPPING,
    "list_type": _LIST,
    "tuple_type": _LIST,
}
_BOUNDS = {
    "greater_than": ("It must be above {}.", "gt"),
    "greater_than_equal": ("It must be {} or more.", "ge"),
    "less_than": ("It must be below {}.", "lt"),
    "less_than_equal": ("It must be {} or less.", "le"),
    "string_too_long": ("It may have at most {} characters.", "max_length"),
    "too_long": ("It may have at most {} entries.", "max_length"),
}
# How our own validators begin what they say: a sentence about the member, without its subject.
_VERBS = frozenset({"must", "has", "have", "is", "needs", "names", "cannot"})


def problems_in_words(error: ValidationError, kind: type[BaseModel], *, whole: str = "") -> dict[str, list[str]]:
    """Sentences by the dotted place of what is wrong; `whole`: what stands for the place of what is about all of it."""
    found: dict[str, list[str]] = {}
    for item in error.errors(include_url=False, include_input=False):
        found.setdefault(".".join(str(part) for part in item["loc"]) or whole, []).append(in_words(item, kind))
    return found


def in_words(item: Mapping[str, Any], kind: type[BaseModel]) -> str:
    """One error of a ValidationError as a sentence that says what is missing, unknown or wrong. What was written is not repeated."""
    type_, context = item["type"], item.get("ctx", {})
    if type_ in _WORDS:
        return _WORDS[type_]
    if type_ in _BOUNDS:
        sentence, name = _BOUNDS[type_]
        limit = context[name]
        return sentence.format(f"{limit:g}" if isinstance(limit, float) else limit)
    match type_:
        case "value_error":
            return _own_words(str(context["error"]))
        case "extra_forbidden":
            holder = _model_at(kind, item["loc"][:-1])
            return f"There is no such name here; there are {', '.join(holder.model_fields)}." if holder else "There is no such name here."
        case "literal_error" | "enum":
            return f"Choose {str(context['expected']).replace(chr(39), '')}."
        case "string_too_short" | "too_short":
            least = context["min_length"]
            return _NEEDED if least == 1 else f"It must have at least {least} {'characters' if type_ == 'string_too_short' else 'entries'}."
        case "string_pattern_mismatch":
            return f"It cannot be written so.{_example(kind, item['loc'])}"
    return "It cannot be used as it is."


def _own_words(said: str) -> str:
    first = said.partition(" ")[0]
    said = f"It {said}" if first in _VERBS else said if "_" in first else said[:1].upper() + said[1:]
    return said if said.endswith((".", "?", "!")) else f"{said}."


def _example(kind: type[BaseModel], place: Sequence[Any]) -> str:
    field = _field_at(kind, place)
    return f" An example: {field.examples[0]}" if field and field.examples else ""


def _field_at(kind: type[BaseModel], place: Sequence[Any]) -> FieldInfo | None:
    """The field of this place; of an entry in a list or mapping, the field that has it."""
    names = [position for position, part in enumerate(place) if isinstance(part, str)]
    for position in reversed(names):
        holder = _model_at(kind, place[:position])
        if holder is not None and place[position] in holder.model_fields:
            return holder.model_fields[place[position]]
    return None


def _model_at(kind: type[BaseModel], place: Sequence[Any]) -> type[BaseModel] | None:
    """The model that stands at this place of another."""
    found: type[BaseModel] | None = kind
    for part in place:
        if isinstance(part, int):
            continue
        field = found.model_fields.get(part) if found is not None else None
        found = _model_in(field.annotation) if field is not None else None
    return found


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for argument in get_args(annotation) if (model := _model_in(argument)) is not None), None)
