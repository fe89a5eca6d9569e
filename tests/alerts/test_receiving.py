"""Posts: taken with one row, or refused with the right status and nothing but a count."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.db.models import Sum

from rollbackhub.alerts.domain.receiving import Refused
from rollbackhub.alerts.enums import Counted, HookKind
from rollbackhub.alerts.models import Alert, AlertHook, AlertPost, PostCount
from rollbackhub.audit.models import AuditEvent
from rollbackhub.common import clock
from tests.alerts.conftest import SECRET
from tests.alerts.posts import am_alert, am_body, pd_body, pd_headers, post, std_body, std_headers
from tests.factories.alerts import AlertHookFactory


def refused(hook: AlertHook | None, counted: Counted, status: int, action: Any) -> Refused:
    """It is refused like this, and nothing is stored but a count."""
    before = (AlertPost.objects.count(), Alert.objects.count(), AuditEvent.objects.count())
    counts = _count(hook, counted)
    with pytest.raises(Refused) as caught:
        action()
    assert (caught.value.counted, caught.value.status) == (counted, status)
    assert (AlertPost.objects.count(), Alert.objects.count(), AuditEvent.objects.count()) == before
    assert _count(hook, counted) == counts + 1
    return caught.value


def _count(hook: AlertHook | None, counted: Counted) -> int:
    return PostCount.objects.filter(hook=hook, counted=counted, day=clock.now().date()).aggregate(total=Sum("count"))["total"] or 0


def test_alertmanager_post_is_one_row_with_its_alerts(hook: AlertHook, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(2):
        assert post(hook, am_body(am_alert("a"), am_alert("b")), key=SECRET) == 2
    row = AlertPost.objects.get()
    assert (row.hook, row.processed_at, [entry["fingerprint"] for entry in row.entries]) == (hook, None, ["a", "b"])


def test_alertmanager_sends_the_same_again_and_both_are_taken(hook: AlertHook) -> None:
    assert [post(hook, am_body(), key=SECRET) for _ in range(3)] == [1, 1, 1]
    assert AlertPost.objects.count() == 3


@pytest.mark.parametrize("key", ["no-such-secret-of-an-alertmanager", "x", "ä", "a" * 101, ""])
def test_unknown_secret_is_a_404_that_tells_nothing(hook: AlertHook, key: str) -> None:
    said = refused(None, Counted.UNKNOWN_HOOK, 404, lambda: post(hook, am_body(), key=key or "-"))
    assert said.message == "There is no such hook."


def test_secret_of_an_ended_hook_or_of_another_kind_is_unknown(hook: AlertHook) -> None:
    hook.is_active, hook.ended_at = False, clock.now()
    hook.save()
    refused(None, Counted.UNKNOWN_HOOK, 404, lambda: post(hook, am_body(), key=SECRET))
    refused(None, Counted.UNKNOWN_HOOK, 404, lambda: post(hook, am_body(), key=str(hook.pk)))


@pytest.mark.parametrize(("body", "counted", "status"), [(b"{", Counted.MALFORMED, 400), (b"{}", Counted.UNUSABLE, 422)])
def test_malformed_body_is_refused(hook: AlertHook, body: bytes, counted: Counted, status: int) -> None:
    refused(hook, counted, status, lambda: post(hook, body, key=SECRET))


def test_malformed_body_to_an_unknown_secret_tells_nothing_of_it(hook: AlertHook) -> None:
    refused(None, Counted.UNKNOWN_HOOK, 404, lambda: post(hook, b"{", key="no-such-secret-of-an-alertmanager"))


def test_pagerduty_signed_post_is_taken_once(pagerduty: AlertHook) -> None:
    body = pd_body()
    assert post(pagerduty, body, headers=pd_headers(body)) == 1
    refused(pagerduty, Counted.REPLAYED, 409, lambda: post(pagerduty, body, headers=pd_headers(body)))
    assert AlertPost.objects.get().delivery_id == "01EVENT"


FORGED: list[Any] = [*({"x-pagerduty-signature": value} for value in ("", "v1=", "v2=abc", "ü")), {}, "other", "altered"]


@pytest.mark.parametrize("headers", FORGED)
def test_pagerduty_forged_post_is_refused(pagerduty: AlertHook, headers: Any) -> None:
    body = pd_body()
    if headers == "other":
        headers = pd_headers(body, secret="another")
    elif headers == "altered":
        headers = pd_headers(body + b" ")
    refused(pagerduty, Counted.FORGED, 401, lambda: post(pagerduty, body, headers=headers))


def test_pagerduty_old_event_is_stale_and_one_of_yesterday_is_taken(pagerduty: AlertHook) -> None:
    old = pd_body(at=clock.now() - dt.timedelta(days=3, minutes=1))
    refused(pagerduty, Counted.STALE, 401, lambda: post(pagerduty, old, headers=pd_headers(old)))
    late = pd_body(at=clock.now() - dt.timedelta(days=1))
    assert post(pagerduty, late, headers=pd_headers(late)) == 1


def test_standard_signed_post_is_taken_once(standard: AlertHook) -> None:
    body = std_body()
    assert post(standard, body, headers=std_headers(body)) == 1
    refused(standard, Counted.REPLAYED, 409, lambda: post(standard, body, headers=std_headers(body)))
    assert post(standard, body, headers=std_headers(body, delivery="msg_2")) == 1


@pytest.mark.parametrize("seconds", [-3600, -301, 301, 3600])
def test_standard_stale_post_is_refused(standard: AlertHook, seconds: int) -> None:
    body = std_body()
    headers = std_headers(body, at=clock.now() + dt.timedelta(seconds=seconds))
    refused(standard, Counted.STALE, 401, lambda: post(standard, body, headers=headers))


@pytest.mark.parametrize(
    "change",
    [
        {"webhook-id": ""},
        {"webhook-id": "another"},
        {"webhook-id": "x" * 201},
        {"webhook-timestamp": ""},
        {"webhook-timestamp": "soon"},
        {"webhook-signature": ""},
        {"webhook-signature": "v1"},
        {"webhook-signature": "v1,###"},
        {"webhook-signature": "v1,AAAA v2,BBBB"},
    ],
)
def test_standard_forged_post_is_refused(standard: AlertHook, change: dict[str, str]) -> None:
    body = std_body()
    refused(standard, Counted.FORGED, 401, lambda: post(standard, body, headers=std_headers(body) | change))


def test_standard_altered_body_or_other_secret_is_refused(standard: AlertHook) -> None:
    body = std_body()
    refused(standard, Counted.FORGED, 401, lambda: post(standard, body + b" ", headers=std_headers(body)))
    refused(standard, Counted.FORGED, 401, lambda: post(standard, b"\xff", headers=std_headers(body)))
    other = std_headers(body, secret="whsec_" + "QUJD" * 8)
    refused(standard, Counted.FORGED, 401, lambda: post(standard, body, headers=other))


def test_signed_hook_that_there_is_not_answers_as_a_wrong_signature_does(standard: AlertHook) -> None:
    body = std_body()
    forged = refused(standard, Counted.FORGED, 401, lambda: post(standard, body))
    unknown = refused(None, Counted.UNKNOWN_HOOK, 401, lambda: post(standard, body, key="0b0e8f63-8a5e-4d8e-9d53-52dcd0c7b1a1", headers=std_headers(body)))
    assert (forged.message, forged.code) == (unknown.message, unknown.code)


def test_signed_hook_without_its_secret_asks_to_send_it_again(standard: AlertHook, monkeypatch: pytest.MonkeyPatch) -> None:
    body = std_body()
    monkeypatch.delenv("HOOK_SECRET")
    said = refused(standard, Counted.SECRET_MISSING, 503, lambda: post(standard, body, headers=std_headers(body)))
    assert "HOOK_SECRET" not in said.message
    for wrong in ("not base64!", "whsec_QUJD", "root:x:0:0:root:/root:/bin/bash"):
        monkeypatch.setenv("HOOK_SECRET", wrong)
        refused(standard, Counted.SECRET_MISSING, 503, lambda: post(standard, body, headers=std_headers(body)))


def test_ids_of_two_hooks_do_not_meet(standard: AlertHook) -> None:
    other = AlertHookFactory(environment=standard.environment, signed=True)
    body = std_body()
    assert post(standard, body, headers=std_headers(body)) == post(other, body, headers=std_headers(body)) == 1
    assert HookKind(other.kind) == HookKind.STANDARD
