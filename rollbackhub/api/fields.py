"""How values are written: instants as RFC 3339 in UTC, durations in seconds, choices as their values."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from django.db import models
from rest_framework import serializers


class Instant(serializers.DateTimeField):
    """An instant in UTC, whatever zone the viewer's pages use. One that is sent to us names its zone, as RFC 3339 wants it."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("default_timezone", dt.UTC)
        super().__init__(**kwargs)

    def enforce_timezone(self, value: dt.datetime) -> dt.datetime:
        """The same in UTC. Raises ValidationError for a time without a zone: it would be another instant to whoever wrote it elsewhere."""
        if value.tzinfo is None:
            raise serializers.ValidationError("This names no time zone. Write it as 2026-11-23T01:20:00Z, or with its offset: 2026-11-23T06:50:00+05:30.")
        return super().enforce_timezone(value)


class Seconds(serializers.FloatField):
    """A duration in seconds, to a tenth of a millisecond."""

    def to_representation(self, value: Any) -> float:  # type: ignore[override]
        """Rounded: what comes behind is noise of the clock."""
        return round(float(value), 4)


class Choice(serializers.ChoiceField):
    """One of a few values. What is none of them is refused with those that there are."""

    def __init__(self, choices: Any, **kwargs: Any) -> None:
        super().__init__(choices, **kwargs)
        values = ", ".join(str(value) for value in self.choices)
        self.error_messages["invalid_choice"] = '"{input}" is not a valid choice: write one of ' + values.replace("{", "{{").replace("}", "}}") + "."


class ChoiceOrNull(Choice):
    """A choice that the database keeps as an empty text while there is none: null."""

    def __init__(self, choices: Any, **kwargs: Any) -> None:
        kwargs["allow_null"] = True
        super().__init__(choices, **kwargs)

    def get_attribute(self, instance: Any) -> Any:
        """The value, or None."""
        return super().get_attribute(instance) or None


class ApiSerializer(serializers.Serializer[Any]):
    """What is sent to us. A member that we do not know is refused: a misspelt one would otherwise be ignored in silence."""

    def to_internal_value(self, data: Any) -> Any:
        """The checked values. Raises ValidationError, unknown members included."""
        wrong: dict[str, Any] = {}
        values: Any = None
        try:
            values = super().to_internal_value(data)
        except serializers.ValidationError as error:
            if not isinstance(data, Mapping):
                raise
            wrong = dict(error.detail)  # type: ignore[arg-type]
        unknown = {str(name) for name in data} - set(self.fields)
        known = ", ".join(name for name, field in self.fields.items() if not field.read_only)
        wrong |= {name: [f"Unknown; there are {known}."] for name in sorted(unknown)}
        if wrong:
            raise serializers.ValidationError(wrong)
        return values


class NoBody(ApiSerializer):
    """A POST that needs nothing but its address; an empty object or no body at all."""


class ApiModelSerializer(serializers.ModelSerializer[Any]):
    """What we answer of a model's row."""

    serializer_field_mapping = {
        **serializers.ModelSerializer.serializer_field_mapping,
        models.DateTimeField: Instant,
        models.FloatField: Seconds,
    }

    def get_fields(self) -> dict[str, Any]:
        """The fields; each is always there in an answer, which the OpenAPI description shall say."""
        fields = super().get_fields()
        for field in fields.values():
            field.required = not field.read_only
        return fields
