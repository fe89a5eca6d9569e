"""What may be recorded, and what exactly is hashed of it."""

from __future__ import annotations

import datetime as dt
import json
import math
import uuid
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rollbackhub.audit.actors import Actor, system_actor
from rollbackhub.audit.canonical import HASHED_FIELDS, MAX_INTEGER, AuditDataError, canonical_event, check_data
from rollbackhub.audit.domain.record import record
from rollbackhub.audit.models import AuditEvent, AuditPending
from rollbackhub.common.secret_names import looks_secret
from rollbackhub.common.verdict import Verdict

ACTOR = system_actor("test")


def write(data: Any = None, **changes: Any) -> AuditEvent:
    """Record something ordinary, but for the changes."""
    values: dict[str, Any] = {"event": "test.happened", "actor": ACTOR, "subject_type": "test", "subject_id": 7, "data": data}
    with transaction.atomic():
        return record(**values | changes)


def test_record_inserts_event_that_waits_for_its_place(db: None) -> None:
    actor = Actor(kind="token", label="Lee by token ci", user_id=3, token_id="abc")
    found = AuditEvent.objects.get(pk=write({"alias": "smart-reasoner"}, actor=actor).pk)
    assert (found.event, found.actor_kind, found.actor_label, found.actor_user_id, found.actor_token_id) == (
        "test.happened",
        "token",
        "Lee by token ci",
        3,
        "abc",
    )
    assert (found.subject_type, found.subject_id, found.data) == ("test", "7", {"alias": "smart-reasoner"})
    assert AuditPending.objects.filter(event=found).exists()


def test_record_of_many_at_once_all_wait(db: None) -> None:
    made = AuditEvent.objects.bulk_create(
        AuditEvent(event="test.happened", actor_kind="system", actor_label="test", subject_type="test", subject_id=str(number)) for number in range(5)
    )
    assert AuditPending.objects.filter(event__in=made).count() == 5


@pytest.mark.usefixtures("fresh_database")
def test_record_outside_transaction_is_refused() -> None:
    with pytest.raises(transaction.TransactionManagementError, match="inside the transaction"):
        record(event="test.happened", actor=ACTOR, subject_type="test", subject_id=1)
    assert not AuditEvent.objects.exists()


def test_record_rolls_back_with_its_act(db: None) -> None:
    with transaction.atomic():
        record(event="test.happened", actor=ACTOR, subject_type="test", subject_id=1)
        transaction.set_rollback(True)
    assert not AuditEvent.objects.exists()
    assert not AuditPending.objects.exists()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"n": 2**53}, "data.n is 9007199254740992"),
        ({"n": -(2**53)}, "2\\^53"),
        ({"a": [{"n": 2**60}]}, r"data\.a\[0\]\.n"),
        ({"x": math.nan}, "data.x is nan"),
        ({"x": math.inf}, "data.x is inf"),
        ({"x": 1e300}, "data.x is 1e\\+300"),
        ({1: "a"}, "keys must be strings"),
        ({"a": {None: 1}}, "data.a has the key None"),
        ({"when": dt.datetime(2026, 1, 1, tzinfo=dt.UTC)}, "data.when is a datetime"),
        ({"id": uuid.UUID(int=1)}, "data.id is a UUID"),
        ({"d": Decimal(1)}, "data.d is a Decimal"),
        ({"s": {1, 2}}, "data.s is a set"),
        ({"b": b"x"}, "data.b is a bytes"),
        ({"s": "a\x00b"}, "data.s holds a NUL"),
        ({"s": "\ud800"}, "surrogate"),
        ({"a\x00": 1}, "a key of data holds a NUL"),
        ([1], "data must be a dict"),
        ("text", "data must be a dict"),
    ],
)
def test_record_of_what_json_cannot_keep_is_refused(db: None, data: Any, says: str) -> None:
    with pytest.raises(AuditDataError, match=says):
        write(data)
    assert not AuditEvent.objects.exists()


def test_record_of_endless_nesting_is_refused(db: None) -> None:
    data: dict[str, Any] = {}
    data["again"] = data
    with pytest.raises(AuditDataError, match="nested deeper"):
        write(data)


@pytest.mark.parametrize(
    "key",
    ["password", "new_password", "Password", "token", "access_token", "refreshToken", "secret", "client_secret", "Authorization", "api_key", "apiKey"]
    + ["X-Api-Key", "private_key", "cookie", "credentials", "sessionid"],
)
def test_record_of_key_that_looks_secret_is_refused(db: None, key: str) -> None:
    with pytest.raises(AuditDataError, match="looks like a secret"):
        write({"outer": [{key: "x"}]})
    assert not AuditEvent.objects.exists()


@pytest.mark.parametrize(
    "key", ["token_id", "token_name", "max_tokens", "prompt_tokens", "key", "idempotency_key", "effect_key", "password-reset-bot", "acme:secret:eu"]
)
def test_record_of_key_that_only_sounds_alike_is_accepted(db: None, key: str) -> None:
    assert write({key: 1}).data == {key: 1}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"event": ""}, "event is empty"),
        ({"event": "x" * 81}, "event has 81 characters"),
        ({"subject_id": "x" * 65}, "subject_id has 65"),
        ({"subject_id": ""}, "subject_id is empty"),
        ({"actor": system_actor("x" * 201)}, "actor_label has 201"),
        ({"actor": system_actor("a\x00")}, "actor_label holds a NUL"),
    ],
)
def test_record_of_text_that_does_not_fit_is_refused(db: None, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(AuditDataError, match=says):
        write(**changes)


@pytest.mark.parametrize("data", ['{"n": 9007199254740992}', '{"a": [{"n": -1e300}]}', "[1]", '"text"', "null"])
def test_insert_by_hand_of_data_that_cannot_be_hashed_is_refused_by_the_database(db: None, data: str) -> None:
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO audit_auditevent (event, actor_kind, actor_label, actor_token_id, subject_type, subject_id, data)"
            " VALUES ('x', 'x', 'x', '', 'x', 'x', %s)",
            [data],
        )


def test_canonical_event_is_exactly_this() -> None:
    at = dt.datetime(2026, 11, 23, 6, 30, 1, 5, tzinfo=dt.timezone(dt.timedelta(hours=5, minutes=30)))
    written = canonical_event(
        id=12,
        at=at,
        event="drill.requested",
        actor_kind="person",
        actor_label="Åsa",
        actor_user_id=None,
        actor_token_id="",
        subject_type="drill",
        subject_id="7",
        data={"b": 1.0, "a": [True, None, 0.1], "ä": "\n"},
    )
    assert written.decode() == (
        '{"actor_kind":"person","actor_label":"Åsa","actor_token_id":"","actor_user_id":null,"at":"2026-11-23T01:00:01.000005Z",'
        '"data":{"a":[true,null,0.1],"b":1,"ä":"\\n"},"event":"drill.requested","id":12,"subject_id":"7","subject_type":"drill"}'
    )


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=12)
NUMBERS = st.integers(-MAX_INTEGER, MAX_INTEGER) | st.floats(-MAX_INTEGER, MAX_INTEGER) | st.floats(-1, 1)
KEYS = TEXT.filter(lambda key: not looks_secret(key))
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT | st.sampled_from(Verdict),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4) | st.tuples(inner, inner),
    max_leaves=12,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=300)
@given(data=st.dictionaries(KEYS, VALUES, max_size=4))
def test_recorded_data_has_the_same_canonical_form_after_jsonb(db: None, data: dict[str, Any]) -> None:
    check_data(data)
    made = AuditEvent(event="e", actor_kind="system", actor_label="a", subject_type="s", subject_id="1", data=data)
    with transaction.atomic():
        made.save()
    stored = AuditEvent.objects.values(*HASHED_FIELDS).get(pk=made.pk)
    made.at = stored["at"]
    assert canonical_event(**{name: getattr(made, name) for name in HASHED_FIELDS}) == canonical_event(**stored)
    assert json.loads(canonical_event(**stored))["id"] == made.pk
