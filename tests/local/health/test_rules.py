"""What heartbeats mean."""

from __future__ import annotations

from typing import Any

import pytest

from rollbackhub.local.health.rules import Beat, Part, judge_audit, judge_process, judge_whole

OK, DEGRADED, DOWN = (Part(status=status, sentence="") for status in ("ok", "degraded", "down"))
ALL = ("database", "broker", "web", "worker", "beat", "sweeper", "housekeeper", "sequencer", "audit")


def beat(**values: Any) -> Beat:
    defaults: dict[str, Any] = {"name": "worker", "pid": 7, "host": "a", "age": 1.0}
    return Beat(**(defaults | values))


@pytest.mark.parametrize(
    ("beats", "status", "sentence"),
    [
        ([], "down", "No worker process has ever reported."),
        ([beat()], "ok", "It runs."),
        ([beat(), beat(pid=8)], "ok", "2 processes run."),
        ([beat(name="web")], "down", "No worker process has ever reported."),
        ([beat(age=9)], "down", "Process 7 on a has not been heard of for 9 s; none runs."),
        ([beat(), beat(pid=8, age=9)], "degraded", "Process 8 on a has not been heard of for 9 s; others go on."),
        ([beat(), beat(pid=8, age=61)], "ok", "It runs."),
        ([beat(age=5, ended_ago=4, ending="was killed by SIGKILL")], "down", "Process 7 on a was killed by SIGKILL 4 s ago; none runs."),
        ([beat(), beat(pid=8, age=5, ended_ago=4, ending="was killed by SIGKILL")], "degraded", "Process 8 on a was killed by SIGKILL 4 s ago; started again."),
        ([beat(), beat(pid=8, age=31, ended_ago=31, ending="was killed by SIGKILL")], "ok", "It runs."),
        ([beat(), beat(pid=8, age=5, ended_ago=4, ending="stopped", ended_well=True)], "ok", "It runs."),
        ([beat(age=5, ended_ago=4, ending="stopped", ended_well=True)], "down", "It was stopped 4 s ago."),
        ([beat(failing=["b", "a"]), beat(pid=8)], "degraded", "It runs, but some of its work fails (a, b): see its log."),
    ],
)
def test_judge_process(beats: list[Beat], status: str, sentence: str) -> None:
    part = judge_process(name="worker", beats=beats)
    assert (part.status, part.sentence) == (status, sentence)


def test_judge_process_shows_the_freshest_canary() -> None:
    part = judge_process(name="worker", beats=[beat(canary_age=12.04), beat(canary_age=3.31), beat()])
    assert part.extra == {"processes": 3, "seconds_since_canary": 3.3}


@pytest.mark.parametrize(("pending", "oldest", "status"), [(0, None, "ok"), (3, 30.0, "ok"), (3, 31.0, "degraded")])
def test_judge_audit(pending: int, oldest: float | None, status: str) -> None:
    part = judge_audit(pending=pending, oldest_seconds=oldest)
    assert (part.status, part.extra["unsequenced"]) == (status, pending)


@pytest.mark.parametrize(
    ("unwell", "status"),
    [
        ({}, "ok"),
        ({"broker": DOWN}, "degraded"),
        ({"worker": DOWN}, "degraded"),
        ({"sweeper": DOWN}, "degraded"),
        ({"audit": DEGRADED}, "degraded"),
        ({"worker": DOWN, "sweeper": DOWN}, "down"),
        ({"database": DOWN}, "down"),
    ],
)
def test_judge_whole(unwell: dict[str, Part], status: str) -> None:
    assert judge_whole(dict.fromkeys(ALL, OK) | unwell) == status
