"""/healthz in one process; with real processes and hanging servers: tests/local/test_up.py."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import psycopg
import pytest
from django.test import Client

from rollbackhub.local.health import probes, views
from rollbackhub.local.health.probes import NoAnswer, Probe
from tests.databases import FreshDatabase


@pytest.fixture
def never() -> Iterator[threading.Event]:
    """Never set while the test runs."""
    event = threading.Event()
    yield event
    event.set()


def test_probe_that_hangs_costs_one_thread_however_often_it_is_asked(never: threading.Event) -> None:
    before = threading.active_count()
    probe: Probe[bool] = Probe("test", lambda: never.wait(30))
    for _ in range(5):
        with pytest.raises(NoAnswer, match=r"It has not answered for 0\.\d s\."):
            probe.answer(timeout_seconds=0.02)
    assert threading.active_count() == before + 1


def test_probe_that_fails_gives_the_first_line_of_the_reason() -> None:
    def fail() -> None:
        raise psycopg.OperationalError("no route\nto the host")

    with pytest.raises(NoAnswer, match=r"^It does not answer: no route$"):
        Probe("test", fail).answer(timeout_seconds=1)


def test_probe_asks_anew_after_an_answer() -> None:
    answers = iter([1, 2])
    probe = Probe("test", lambda: next(answers))
    assert [probe.answer(timeout_seconds=1), probe.answer(timeout_seconds=1)] == [1, 2]


def test_health_without_processes_is_down_and_needs_no_sign_in(client: Client, fresh_database: FreshDatabase) -> None:
    answer = client.get("/healthz")
    content = answer.json()
    assert (answer.status_code, content["status"]) == (503, "down")
    assert content["parts"]["database"]["status"] == "ok"
    assert content["parts"]["broker"]["status"] == "ok"
    assert content["parts"]["worker"]["sentence"] == "No worker process has ever reported."
    assert content["parts"]["audit"]["unsequenced"] == 0
    assert "no-store" in answer["Cache-Control"]


def test_health_with_everything_hanging_answers_long_before_that_ends(client: Client, monkeypatch: pytest.MonkeyPatch, never: threading.Event) -> None:
    hanging: Probe[bool] = Probe("test", lambda: never.wait(30))
    monkeypatch.setattr(views, "database_probe", hanging)
    monkeypatch.setattr(views, "broker_probe", Probe("test2", lambda: never.wait(30)))
    start = time.monotonic()
    answer = client.get("/healthz")
    # A second's patience for both together, on a busy machine; what hangs would take 30 s.
    assert time.monotonic() - start < 10
    parts = answer.json()["parts"]
    assert answer.status_code == 503
    assert {name: part["status"] for name, part in parts.items() if name in ("database", "broker", "worker", "web")} == {
        "database": "down",
        "broker": "down",
        "worker": "down",
        "web": "degraded",
    }


def test_health_refuses_to_be_posted_to(client: Client) -> None:
    assert client.post("/healthz").status_code == 405


def test_database_answer_counts_events_without_a_place(fresh_database: FreshDatabase) -> None:
    from django.db import transaction

    from rollbackhub.audit.actors import system_actor
    from rollbackhub.audit.domain.record import record

    with transaction.atomic():
        record(event="test.done", actor=system_actor("test"), subject_type="test", subject_id=1)
    answer = probes.ask_database()
    assert answer.pending == 1
    assert answer.oldest_pending_seconds is not None
    assert 0 <= answer.oldest_pending_seconds < 30
