"""What is kept of the looks at a job that takes its time."""

from __future__ import annotations

from typing import Any

import pytest

from rollbackhub.executions.actions.run_job import TEXT_SECONDS, is_news

KEPT: dict[str, Any] = {"job": "rebuild_index", "id": "j", "state": "running", "progress": 40.2, "message": "row 4020", "result": {}}


@pytest.mark.parametrize(
    ("change", "seconds", "kept"),
    [
        ({}, 60.0, False),
        ({"state": "succeeded"}, 0.0, True),
        ({"progress": 40.9}, 0.5, False),
        ({"progress": 41.0}, 0.5, True),
        ({"progress": None}, 0.5, True),
        ({"message": "row 4021"}, 0.5, False),
        ({"message": "row 4500"}, TEXT_SECONDS, True),
        ({"progress": 40.9}, TEXT_SECONDS, True),
        ({"result": {"version": "v1"}}, 0.5, True),
    ],
)
def test_look_at_a_job_is_kept_when_it_says_something_new(change: dict[str, Any], seconds: float, kept: bool) -> None:
    assert is_news({**KEPT, **change}, KEPT, seconds=seconds) is kept


def test_look_that_fails_is_kept_once_and_so_is_the_one_after_it() -> None:
    failed = {"job": "rebuild_index", "id": "j", "error": "unreachable: no answer"}
    assert is_news(failed, KEPT, seconds=0.1)
    assert not is_news(failed, failed, seconds=60.0)
    assert is_news(KEPT, failed, seconds=0.1)


def test_job_of_hours_that_counts_its_rows_leaves_some_hundreds_of_looks_not_thousands() -> None:
    """Two looks a second for four hours, each with another text."""
    kept, kept_at, count = KEPT, 0.0, 0
    for look in range(4 * 3600 * 2):
        at = look / 2
        value = {**KEPT, "progress": 100 * look / 28800, "message": f"row {look}"}
        if is_news(value, kept, seconds=at - kept_at):
            kept, kept_at, count = value, at, count + 1
    assert 100 <= count <= 3000
