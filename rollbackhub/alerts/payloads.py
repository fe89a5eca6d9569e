"""What the systems post, checked and brought into one form. Pure: no database, nothing of the request but its body.

What may be long (an annotation) is cut, not refused: an alert is not lost because somebody wrote much. What has no sense is refused.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from rollbackhub.alerts.enums import AlertState, HookKind
from rollbackhub.common.shown_text import problem_of
from rollbackhub.common.typed_words import problems_in_words

MAX_ALERTS = 1000
"""In one post."""
MAX_LABELS = 64
LONGEST_NAME = 200
LONGEST_VALUE = 2000
MAX_DEPTH = 20

PAGERDUTY_FIRES = ("incident.triggered", "incident.reopened")
PAGERDUTY_RESOLVES = ("incident.resolved",)


class Unreadable(Exception):
    """The body is no JSON that could be read."""


class Unusable(Exception):
    """The body is JSON, and not what the hook takes. `fields`: sentences by place."""

    def __init__(self, fields: Mapping[str, list[str]]) -> None:
        super().__init__("; ".join(f"{place}: {' '.join(said)}" for place, said in list(fields.items())[:5]))
        self.fields = dict(list(fields.items())[:20])


@dataclass(frozen=True, slots=True)
class Entry:
    """One alert of a post, in our form. `starts_at` None: the sender does not say, and means the firing that is known."""

    fingerprint: str
    status: AlertState
    name: str
    labels: dict[str, str]
    annotations: dict[str, str]
    starts_at: dt.datetime | None
    ends_at: dt.datetime | None

    def as_json(self) -> dict[str, Any]:
        """As it is kept until it is looked at."""
        return {
            "fingerprint": self.fingerprint,
            "status": self.status.value,
            "name": self.name,
            "labels": self.labels,
            "annotations": self.annotations,
            "starts_at": self.starts_at.isoformat() if self.starts_at else None,
            "ends_at": self.ends_at.isoformat() if self.ends_at else None,
        }

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Entry:
        """Back from what was kept."""
        return cls(
            fingerprint=kept["fingerprint"],
            status=AlertState(kept["status"]),
            name=kept["name"],
            labels=kept["labels"],
            annotations=kept["annotations"],
            starts_at=_instant(kept["starts_at"]),
            ends_at=_instant(kept["ends_at"]),
        )


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a post says: its alerts, and what the sender calls it (empty: nothing). `occurred_at`: when it was made, if the body says so."""

    entries: list[Entry]
    delivery_id: str = ""
    occurred_at: dt.datetime | None = None


def _after_1970(value: dt.datetime) -> dt.datetime:
    if value.year < 1971:
        raise ValueError("must be a real instant, with its zone")
    return value.astimezone(dt.UTC)


Instant = Annotated[AwareDatetime, AfterValidator(_after_1970)]
Texts = Annotated[dict[str, str], Field(max_length=MAX_LABELS)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=False)


class _AlertmanagerAlert(_Body):
    status: Literal["firing", "resolved"]
    labels: Texts
    annotations: Texts = {}
    startsAt: Instant
    endsAt: AwareDatetime | None = None
    fingerprint: Annotated[str, Field(max_length=LONGEST_NAME)] = ""


class _AlertmanagerBody(_Body):
    version: Literal["4"]
    alerts: Annotated[list[_AlertmanagerAlert], Field(min_length=1, max_length=MAX_ALERTS)]


class _Named(_Body):
    summary: str = ""


class _PagerDutyIncident(_Body):
    id: Annotated[str, Field(min_length=1, max_length=LONGEST_NAME)]
    title: str = ""
    urgency: str = ""
    service: _Named | None = None
    priority: _Named | None = None
    created_at: Instant | None = None


class _PagerDutyEvent(_Body):
    id: Annotated[str, Field(min_length=1, max_length=LONGEST_NAME)]
    event_type: Annotated[str, Field(min_length=1, max_length=100)]
    occurred_at: Instant
    data: dict[str, Any] = {}


class _PagerDutyBody(_Body):
    event: _PagerDutyEvent


class _StandardAlert(BaseModel):
    model_config = ConfigDict(extra="forbid")

    fingerprint: Annotated[str, Field(min_length=1, max_length=LONGEST_NAME)]
    status: Literal["firing", "resolved"]
    labels: Texts
    annotations: Texts = {}
    starts_at: Instant
    ends_at: Instant | None = None


class _StandardBody(BaseModel):
    model_config = ConfigDict(extra="forbid")

    alerts: Annotated[list[_StandardAlert], Field(min_length=1, max_length=MAX_ALERTS)]


def read_delivery(kind: HookKind | str, body: bytes) -> Delivery:
    """The alerts of a post. Raises Unreadable (no JSON) and Unusable (JSON of another form)."""
    content = _loaded(body)
    match HookKind(kind):
        case HookKind.ALERTMANAGER:
            return _alertmanager(_checked(_AlertmanagerBody, content))
        case HookKind.PAGERDUTY:
            return _pagerduty(_checked(_PagerDutyBody, content))
        case _:
            return _standard(_checked(_StandardBody, content))


def _alertmanager(body: _AlertmanagerBody) -> Delivery:
    entries = []
    for alert in body.alerts:
        labels = _tidy(alert.labels)
        fingerprint = _line(alert.fingerprint, LONGEST_NAME) or _hash_of(alert.labels)
        # An alert that fires has the year 1 as its end.
        ends_at = alert.endsAt.astimezone(dt.UTC) if alert.endsAt is not None and alert.endsAt.year > 1970 and alert.status == "resolved" else None
        entries.append(Entry(fingerprint, AlertState(alert.status), _name_of(labels), labels, _tidy(alert.annotations), alert.startsAt, ends_at))
    return Delivery(entries)


def _pagerduty(body: _PagerDutyBody) -> Delivery:
    event = body.event
    if event.event_type not in (*PAGERDUTY_FIRES, *PAGERDUTY_RESOLVES):
        # A note, an acknowledgement, a test of the address: taken, and there is nothing to do.
        return Delivery([], delivery_id=event.id, occurred_at=event.occurred_at)
    incident = _checked(_PagerDutyIncident, event.data, place="event.data")
    labels = {
        "alertname": incident.title or incident.id,
        "service": incident.service.summary if incident.service else "",
        "urgency": incident.urgency,
        "priority": incident.priority.summary if incident.priority else "",
        "event_type": event.event_type,
    }
    labels = _tidy({name: value for name, value in labels.items() if value})
    fires = event.event_type in PAGERDUTY_FIRES
    starts_at = event.occurred_at if event.event_type == "incident.reopened" else (incident.created_at or event.occurred_at)
    entry = Entry(
        fingerprint=_line(incident.id, LONGEST_NAME),
        status=AlertState.FIRING if fires else AlertState.RESOLVED,
        name=_name_of(labels),
        labels=labels,
        annotations={},
        starts_at=starts_at if fires else None,
        ends_at=None if fires else event.occurred_at,
    )
    return Delivery([entry], delivery_id=event.id, occurred_at=event.occurred_at)


def _standard(body: _StandardBody) -> Delivery:
    entries = []
    for alert in body.alerts:
        labels = _tidy(alert.labels)
        entries.append(
            Entry(
                _line(alert.fingerprint, LONGEST_NAME),
                AlertState(alert.status),
                _name_of(labels),
                labels,
                _tidy(alert.annotations),
                alert.starts_at,
                alert.ends_at,
            )
        )
    return Delivery(entries)


def _loaded(body: bytes) -> Any:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Unreadable from error
    level = [content]
    for _ in range(MAX_DEPTH):
        level = [item for value in level if isinstance(value, dict | list) for item in (value.values() if isinstance(value, dict) else value)]
        if not level:
            return content
    raise Unreadable


def _checked(kind: type[Any], content: Any, *, place: str = "") -> Any:
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        found = problems_in_words(error, kind, whole="body")
    raise Unusable({f"{place}.{name}" if place else name: said for name, said in found.items()})


def _name_of(labels: Mapping[str, str]) -> str:
    return _line(labels.get("alertname", ""), LONGEST_NAME) or "(no name)"


def _tidy(texts: Mapping[str, str]) -> dict[str, str]:
    """Bounded, and without what cannot be stored or shown."""
    return {_line(name, LONGEST_NAME): _cut(_shown(value), LONGEST_VALUE) for name, value in texts.items()}


def _line(text: str, longest: int) -> str:
    return _cut(" ".join(_shown(text).split()), longest)


def _shown(text: str) -> str:
    if not problem_of(text, lines=True):
        return text
    return "".join(character if character in "\n\t" or not problem_of(character, lines=True) else "\ufffd" for character in text.replace("\r\n", "\n"))


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _hash_of(labels: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(labels, sort_keys=True).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _instant(text: str | None) -> dt.datetime | None:
    return dt.datetime.fromisoformat(text) if text else None
