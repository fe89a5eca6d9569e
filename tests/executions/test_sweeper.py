"""Production does not queue behind drills."""

from __future__ import annotations

import datetime as dt
from concurrent.futures import Future

from django.db.models.functions import Now

from rollbackhub.common import clock
from rollbackhub.executions.domain.sweep import take_due
from rollbackhub.executions.enums import ExecutionKind, ExecutionState
from rollbackhub.executions.models import Execution
from rollbackhub.executions.sweeper import OWN_RUNS, Sweeper
from tests.databases import FreshDatabase
from tests.executions.conftest import FLIP, start
from tests.routing.conftest import seed_policy

LONG_AGO_SECONDS = 60


def called_in_vain(execution: Execution) -> None:
    Execution.objects.filter(pk=execution.pk).update(published_at=Now() - dt.timedelta(seconds=LONG_AGO_SECONDS))


def test_take_due_gives_rollbacks_before_older_drills(db: None) -> None:
    drill = start(seed_policy(alias="first"), FLIP)
    rollback = start(seed_policy(alias="second"), FLIP, kind=ExecutionKind.ROLLBACK)
    due = take_due()
    assert [(entry.execution_id, entry.urgent) for entry in due] == [(rollback.pk, True), (drill.pk, False)]


def test_sweeper_full_of_drills_still_runs_a_rollback(fresh_database: FreshDatabase) -> None:
    drill = start(seed_policy(alias="first"), FLIP)
    rollback = start(seed_policy(alias="second"), FLIP, kind=ExecutionKind.ROLLBACK)
    for execution in (drill, rollback):
        called_in_vain(execution)
    sweeper = Sweeper()
    sweeper._own = {Future() for _ in range(OWN_RUNS)}
    sweeper.sweep()
    deadline = clock.monotonic() + 20
    while Execution.objects.get(pk=rollback.pk).is_active and clock.monotonic() < deadline:
        clock.sleep(0.05)
    # It was taken up, and ended at once: no rollback has asked for this execution.
    assert (Execution.objects.get(pk=rollback.pk).state, Execution.objects.get(pk=rollback.pk).claims) == (ExecutionState.CANCELLED, 1)
    assert Execution.objects.get(pk=drill.pk).state == ExecutionState.QUEUED
