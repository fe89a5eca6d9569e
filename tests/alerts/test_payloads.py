"""What the systems post becomes one form; what has no sense is refused with its place."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest

from rollbackhub.alerts.enums import AlertState, HookKind
from rollbackhub.alerts.payloads import LONGEST_VALUE, MAX_ALERTS, Entry, Unreadable, Unusable, read_delivery
from tests.alerts.posts import BEGAN, am_alert, am_body, pd_body, std_body


def test_alertmanager_several_alerts_become_entries_with_the_year_1_as_no_end() -> None:
    delivery = read_delivery(HookKind.ALERTMANAGER, am_body(am_alert("a"), am_alert("b", status="resolved", ended=BEGAN)))
    first, second = delivery.entries
    assert (first.fingerprint, first.status, first.name, first.starts_at, first.ends_at) == ("a", AlertState.FIRING, "ReasonerFeedbackBad", BEGAN, None)
    assert (second.status, second.ends_at) == (AlertState.RESOLVED, BEGAN)
    assert Entry.from_json(json.loads(json.dumps(second.as_json()))) == second


def test_alertmanager_nanoseconds_and_offsets_are_read() -> None:
    alert = am_alert() | {"startsAt": "2026-11-30T13:30:00.123456789+05:30"}
    found = read_delivery(HookKind.ALERTMANAGER, am_body(alert)).entries[0].starts_at
    assert found == dt.datetime(2026, 11, 30, 8, 0, 0, 123456, tzinfo=dt.UTC)


def test_alertmanager_without_fingerprint_takes_the_labels_for_it() -> None:
    one, other = am_alert(), am_alert(severity="page")
    for alert in (one, other):
        del alert["fingerprint"]
    found = [entry.fingerprint for entry in read_delivery(HookKind.ALERTMANAGER, am_body(one, other, one)).entries]
    assert found[0] == found[2] != found[1]


EVENTS = {
    "incident.triggered": "firing",
    "incident.reopened": "firing",
    "incident.resolved": "resolved",
    "incident.acknowledged": None,
    "pagey.ping": None,
}


@pytest.mark.parametrize(("event", "state"), EVENTS.items())
def test_pagerduty_events_that_fire_resolve_or_say_nothing(event: str, state: str | None) -> None:
    delivery = read_delivery(HookKind.PAGERDUTY, pd_body(event))
    assert delivery.delivery_id == "01EVENT"
    assert [entry.status.value for entry in delivery.entries] == ([state] if state else [])
    if state:
        assert delivery.entries[0].labels["service"] == "smart-reasoner"
        assert delivery.entries[0].name == "Reasoner answers badly"


def test_standard_is_our_own_form() -> None:
    entry = read_delivery(HookKind.STANDARD, std_body(fingerprint="s7")).entries[0]
    assert (entry.fingerprint, entry.labels["alias"], entry.annotations) == ("s7", "smart-reasoner", {"summary": "Negative feedback is above 20 %"})


def test_long_and_unshowable_texts_are_cut_not_refused() -> None:
    alert = am_alert(note="x" * 9000, nul="a\x00b\u202ec")
    labels = read_delivery(HookKind.ALERTMANAGER, am_body(alert)).entries[0].labels
    assert len(labels["note"]) == LONGEST_VALUE
    assert labels["nul"] == "a\ufffdb\ufffdc"


@pytest.mark.parametrize("kind", list(HookKind))
@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"not json", b"[" * 100_000, json.dumps({"a": 1}).encode()[:-1], b"[" * 30 + b"]" * 30])
def test_body_that_is_no_json_is_unreadable(kind: HookKind, body: bytes) -> None:
    with pytest.raises(Unreadable):
        read_delivery(kind, body)


WRONG: list[tuple[HookKind, Any]] = [
    (HookKind.ALERTMANAGER, []),
    (HookKind.ALERTMANAGER, {"version": "3", "alerts": [am_alert()]}),
    (HookKind.ALERTMANAGER, {"version": "4"}),
    (HookKind.ALERTMANAGER, {"version": "4", "alerts": []}),
    (HookKind.ALERTMANAGER, {"version": "4", "alerts": [am_alert()] * (MAX_ALERTS + 1)}),
    (HookKind.ALERTMANAGER, {"version": "4", "alerts": [am_alert() | {"status": "burning"}]}),
    (HookKind.ALERTMANAGER, {"version": "4", "alerts": [am_alert() | {"startsAt": "yesterday"}]}),
    (HookKind.ALERTMANAGER, {"version": "4", "alerts": [am_alert() | {"startsAt": "2026-11-30T08:00:00"}]}),
    (HookKind.ALERTMANAGER, {"version": "4", "alerts": [am_alert() | {"startsAt": "0001-01-01T00:00:00Z"}]}),
    (HookKind.ALERTMANAGER, {"version": "4", "alerts": [am_alert() | {"labels": {"a": {"b": 1}}}]}),
    (HookKind.ALERTMANAGER, {"version": "4", "alerts": [am_alert() | {"labels": {f"l{number}": "x" for number in range(65)}}]}),
    (HookKind.ALERTMANAGER, {"version": "4", "alerts": [am_alert("f" * 201)]}),
    (HookKind.PAGERDUTY, {"event": {}}),
    (HookKind.PAGERDUTY, {"event": {"id": "1", "event_type": "incident.triggered", "occurred_at": BEGAN.isoformat(), "data": {}}}),
    (HookKind.STANDARD, {"alerts": [{"fingerprint": "x"}]}),
    (HookKind.STANDARD, json.loads(std_body()) | {"more": 1}),
]


@pytest.mark.parametrize(("kind", "content"), WRONG, ids=range(len(WRONG)))
def test_json_of_another_form_is_unusable_and_names_the_place(kind: HookKind, content: Any) -> None:
    with pytest.raises(Unusable) as caught:
        read_delivery(kind, json.dumps(content).encode())
    assert caught.value.fields
    assert all(sentence.endswith((".", "?")) for sentences in caught.value.fields.values() for sentence in sentences)
