"""What becomes of planned drills: started once, caught up, overdue, missed, settled, excused."""

from __future__ import annotations

import datetime as dt

import pytest

from drills.domain.planning import plan_ahead
from drills.domain.programme import mark_late, settle_running, start_due
from drills.enums import PlannedState
from drills.models import PlannedDrill
from rollbackhub.executions.models import Execution
from tests.drills.conftest import Clock, Plan, drills_of


def test_drill_whose_time_has_come_starts_once(time: Clock, plan: Plan) -> None:
    made = plan()
    assert [planned.starts_at for planned in drills_of(made)][:2] == [dt.datetime(2026, 12, 1, 10, tzinfo=dt.UTC), dt.datetime(2027, 1, 1, 10, tzinfo=dt.UTC)]
    assert start_due() == 0
    time.set(2026, 12, 1, 10)
    assert (start_due(), start_due()) == (1, 0)
    planned = drills_of(made)[0]
    assert (planned.state, planned.started_at, planned.why) == (PlannedState.RUNNING, time.at, "")
    execution = Execution.objects.get()
    assert (planned.execution, execution.drill.note, execution.requested_by_label) == (execution, "Planned: Reasoner", "drill programme")
