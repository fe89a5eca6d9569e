"""The housekeeper runs jobs at their intervals, and one that fails keeps no other from running."""

from __future__ import annotations

import pytest
from django.db import OperationalError

from rollbackhub.common import housekeeping
from rollbackhub.common.housekeeping import Housekeeper, register_job


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(housekeeping, "_jobs", {})


def note(ran: list[str], name: str) -> int:
    ran.append(name)
    return 1


def test_job_runs_at_its_interval_and_not_before(jobs: None, db: None) -> None:
    ran: list[str] = []
    register_job("often", every_seconds=0, function=lambda: note(ran, "often"))
    register_job("seldom", every_seconds=3600, function=lambda: note(ran, "seldom"))
    housekeeper = Housekeeper()
    housekeeper.run_due()
    housekeeper.run_due()
    assert ran == ["often", "seldom", "often"]


@pytest.mark.parametrize(
    ("error", "said"), [(RuntimeError("no such thing"), "RuntimeError: no such thing"), (OperationalError("gone"), "the database does not answer")]
)
def test_job_that_fails_is_named_in_the_heartbeat_and_the_others_run(jobs: None, db: None, error: Exception, said: str) -> None:
    ran: list[str] = []

    def fail() -> int:
        if error.args:
            raise error
        return 0

    register_job("a_bad_one", every_seconds=0, function=fail)
    register_job("b_good_one", every_seconds=0, function=lambda: note(ran, "good"))
    housekeeper = Housekeeper()
    housekeeper.run_due()
    assert ran == ["good"]
    assert housekeeper.state() == {"failing": {"a_bad_one": said}}
    error.args = ()
    housekeeper.run_due()
    assert housekeeper.state() == {"failing": {}}


def test_stopped_housekeeper_runs_nothing_more(jobs: None, db: None) -> None:
    housekeeper = Housekeeper()
    register_job("late", every_seconds=0, function=lambda: pytest.fail("ran after the stop"))
    housekeeper.stop()
    housekeeper.run_due()
    housekeeper.run()
