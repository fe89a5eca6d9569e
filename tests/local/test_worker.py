"""When a worker counts as deaf. That a deaf one ends itself and is started again: measured in docs/decisions/0003-process-runner.md."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from rollbackhub.common.models import ProcessHeartbeat
from rollbackhub.local import worker
from rollbackhub.local.tasks import canary_task
from rollbackhub.local.worker import DEAF_AFTER_SECONDS, Canary, CanaryClock


def rounds(*entries: tuple[float, bool, bool, object]) -> list[bool]:
    clock = CanaryClock()
    return [clock.note(at=at, sent=sent, busy=busy, answer=answer) for at, sent, busy, answer in entries]


def test_canary_without_answer_is_deaf_after_thirty_seconds() -> None:
    assert rounds((0, True, False, None), (25, True, False, None), (30, True, False, None), (31, True, False, None)) == [False, False, False, True]


def test_canary_with_answers_is_never_deaf() -> None:
    assert not any(rounds(*((at, True, False, f"answer {at // 10}") for at in range(0, 300, 5))))


def test_canary_that_stops_answering_is_deaf() -> None:
    assert rounds((0, True, False, "a"), (20, True, False, "b"), (49, True, False, "b"), (51, True, False, "b"))[-2:] == [False, True]


def test_canary_that_cannot_be_sent_is_the_brokers_trouble() -> None:
    assert not any(rounds((0, True, False, None), (20, False, False, None), (40, False, False, None), (60, True, False, None), (85, True, False, None)))


def test_canary_of_a_busy_worker_waits() -> None:
    assert not any(rounds((0, True, False, None), (20, False, True, None), (45, False, True, None), (60, True, False, None), (85, True, False, None)))


@pytest.mark.django_db
def test_canary_task_writes_when_it_was_carried_out() -> None:
    heartbeat = ProcessHeartbeat.objects.create(name="worker", host="a", pid=1)
    other = ProcessHeartbeat.objects.create(name="worker", host="a", pid=2)
    canary_task(str(heartbeat.pk))
    heartbeat.refresh_from_db()
    other.refresh_from_db()
    assert heartbeat.canary_at is not None
    assert other.canary_at is None


def test_deaf_worker_says_so_and_asks_itself_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[Any] = []
    heartbeat: Any = SimpleNamespace(canary_at=None, instance="0", stop=lambda **how: said.append(how))
    consumer: Any = SimpleNamespace(hostname="worker@a", controller=SimpleNamespace(concurrency=1))
    monkeypatch.setattr(os, "kill", lambda pid, signum: said.append((pid, signum)))
    monkeypatch.setattr(os, "_exit", lambda code: said.append(code))
    monkeypatch.setattr(worker, "END_SECONDS", 0)
    Canary(consumer=consumer, heartbeat=heartbeat)._end()
    assert said == [
        {"ending": f"was deaf to its canary for {DEAF_AFTER_SECONDS:.0f} s and ended itself", "well": False},
        (os.getpid(), signal.SIGTERM),
        os.EX_SOFTWARE,
    ]


def test_worker_has_the_judges_mathematics_before_its_processes_are_forked() -> None:
    said = (
        "import os, sys, django; django.setup(); from celery import signals; import rollbackhub.local.worker;"
        " before = 'scipy' in sys.modules; signals.worker_init.send(None);"
        " print(before, all(name in sys.modules for name in ('scipy.stats', 'statsmodels.stats.rates', 'scipy.special')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", said], env=os.environ | {"DJANGO_SETTINGS_MODULE": "rollbackhub.settings"}, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "True"]
