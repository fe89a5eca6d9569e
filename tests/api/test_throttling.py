"""How often one caller may call."""

from __future__ import annotations

import threading

import pytest

from rollbackhub.api import throttling, views
from rollbackhub.api.throttling import Bucket
from tests.api.conftest import Caller
from tests.api.openapi import CheckedClient
from tests.factories.fixtures import Cast


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that a test turns."""
    present = [1000.0]
    monkeypatch.setattr(throttling, "monotonic", lambda: present[0])
    return present


def test_bucket_lets_the_burst_through_then_the_rate(clock: list[float]) -> None:
    bucket = Bucket(per_minute=60, burst=3)
    assert [bucket.take("a") for _ in range(3)] == [0, 0, 0]
    assert bucket.take("a") == pytest.approx(1)
    clock[0] += 0.5
    assert bucket.take("a") == pytest.approx(0.5)
    clock[0] += 0.5
    assert bucket.take("a") == 0
    assert bucket.take("a") > 0


def test_bucket_is_full_again_after_a_pause(clock: list[float]) -> None:
    bucket = Bucket(per_minute=60, burst=3)
    for _ in range(5):
        bucket.take("a")
    clock[0] += 3
    assert [bucket.take("a") for _ in range(4)] == [0, 0, 0, pytest.approx(1)]


def test_bucket_keys_do_not_pay_for_each_other(clock: list[float]) -> None:
    bucket = Bucket(per_minute=60, burst=1)
    assert bucket.take("a") == 0
    assert bucket.take("b") == 0


def test_bucket_forgets_the_oldest_key_first(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttling, "_REMEMBERED", 2)
    bucket = Bucket(per_minute=60, burst=1)
    for key in "abc":
        bucket.take(key)
    assert bucket.take("a") == 0
    assert bucket.take("c") > 0


def test_bucket_counts_rightly_for_many_threads(clock: list[float]) -> None:
    bucket = Bucket(per_minute=60, burst=50)
    through: list[float] = []
    threads = [threading.Thread(target=lambda: through.extend(bucket.take("a") for _ in range(20))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert through.count(0) == 50


def test_caller_over_its_rate_gets_429_with_retry_after(cast: Cast, by_token: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "CALLERS", Bucket(per_minute=1, burst=2))
    client, other = by_token(cast.on_call), by_token(cast.on_call)
    assert [client.get("/api/v1/me/").status_code for _ in range(3)] == [200, 200, 429]
    response = client.get("/api/v1/me/")
    assert response.json()["code"] == "throttled"
    assert 1 <= int(response.headers["Retry-After"]) <= 60
    assert other.get("/api/v1/me/").status_code == 200


def test_stranger_who_tries_tokens_gets_429_and_rightful_callers_from_there_do_not(
    cast: Cast, by_token: Caller, anonymous: CheckedClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "STRANGERS", Bucket(per_minute=1, burst=2))
    statuses = [anonymous.get("/api/v1/me/", HTTP_AUTHORIZATION=f"Token {number:064x}").status_code for number in range(4)]
    assert statuses == [401, 401, 429, 429]
    assert by_token(cast.on_call).get("/api/v1/me/").status_code == 200
