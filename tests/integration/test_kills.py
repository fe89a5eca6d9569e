"""Processes are killed at every boundary and in the middle of every step; every drill ends by itself, with one effect each.

Both of the lab's aliases are drilled at once, one killed at the boundary before the step, the other in the middle of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import pytest

from rollbackhub.audit.models import AuditEvent
from rollbackhub.common import clock
from rollbackhub.common.verdict import Verdict
from rollbackhub.executions.enums import ExecutionState, StepState
from rollbackhub.executions.models import Execution, Sample
from rollbackhub.executions.procedures import WEIGHT_FLIP
from rollbackhub.lab.catalogue import SMART_REASONER, SUPPORT_ANSWER
from rollbackhub.registry.models import Artefact
from rollbackhub.routing.models import PolicyRevision
from tests.integration.hub import PLAIN_CHECKS, RESUME_LIMIT_SECONDS, Staging, assert_audit_log_verifies, resume_seconds, wake

BOUNDARY, MIDDLE = SMART_REASONER.alias, SUPPORT_ANSWER.alias
KEYS = [step["key"] for step in WEIGHT_FLIP]


@pytest.fixture(scope="module", autouse=True)
def audit_log_verifies_after_all_of_it(staging: Staging) -> Iterator[None]:
    """However the tests are shared out: each hub's audit log is whole at its end, and every event has its place within 10 s."""
    Artefact.objects.update(checks=PLAIN_CHECKS)
    yield
    assert_audit_log_verifies(staging.hub)


def kill_lines(staging: Staging, target: str) -> list[str]:
    """Who dies. The process that runs the step always does, so that there is something to resume."""
    hub = staging.hub
    others = {"child": [], "main": [hub.worker], "sweeper": [hub.sweeper], "beat": [hub.beat]}[target]
    return [*(f"kill {child.pid}" for child in others), "kill self"]


def assert_ended_well(execution: Execution) -> None:
    """Passed, with each step done once, and exactly one revision for each intended flip."""
    steps = [(attempt.key, attempt.state, attempt.message) for attempt in execution.attempts.all()]
    assert (execution.state, execution.verdict) == (ExecutionState.FINISHED, Verdict.PASSED), (execution.outcome, steps)
    assert [attempt.key for attempt in execution.attempts.filter(state=StepState.DONE)] == KEYS
    keys = PolicyRevision.objects.filter(effect_key__startswith=str(execution.pk)).order_by("number").values_list("effect_key", flat=True)
    assert list(keys) == [f"{execution.pk}:flip", f"{execution.pk}:restore"]


@pytest.mark.parametrize("target", ["child", "main", "sweeper", "beat"])
@pytest.mark.parametrize("key", KEYS)
def test_drill_whose_processes_are_killed_resumes_by_itself(staging: Staging, key: str, target: str) -> None:
    seconds = killed_drills_resume(staging, key=key, target=target)
    if max(seconds.values()) > RESUME_LIMIT_SECONDS:
        # A machine that was busy with something else once is not busy twice; what is slow is slow again.
        seconds = killed_drills_resume(staging, key=key, target=target)
    assert max(seconds.values()) <= RESUME_LIMIT_SECONDS, f"{target} killed: resumed after {seconds}"


def killed_drills_resume(staging: Staging, *, key: str, target: str) -> dict[str, float]:
    """Two drills whose processes are killed, one between two steps and one in the middle of a step, end well; the seconds to go on of each."""
    hub = staging.hub
    staging.settle()
    restarts = {child.name: child.restarts for child in hub.children}
    points = {BOUNDARY: f"boundary-{key}", MIDDLE: f"middle-{key}"}
    for alias, point in points.items():
        hub.arm(point, alias=alias, lines=kill_lines(staging, target))
    drills = {alias: staging.drill(alias) for alias in points}
    seconds = {}
    for alias, drill in drills.items():
        execution = staging.wait_ended(drill)
        assert_ended_well(execution)
        seconds[points[alias]] = resume_seconds(hub, points[alias], alias, execution)
    for child, name in ((hub.worker, "main"), (hub.sweeper, "sweeper"), (hub.beat, "beat")):
        if name == target:
            hub.wait_up(child, restarts_before=restarts[child.name])
    return seconds


@pytest.mark.parametrize("point", ["started-flip", "acted-flip", "done-flip", "acted-restore", "boundary-end"])
def test_drill_killed_around_an_effect_has_it_once(staging: Staging, point: str) -> None:
    staging.settle()
    staging.hub.arm(point, alias=BOUNDARY, lines=["kill self"])
    execution = staging.wait_ended(staging.drill(BOUNDARY))
    assert_ended_well(execution)
    assert resume_seconds(staging.hub, point, BOUNDARY, execution) <= RESUME_LIMIT_SECONDS


@pytest.mark.parametrize("key", ["flip", "drain", "restore"])
def test_paused_worker_that_wakes_after_its_lease_writes_nothing(staging: Staging, key: str) -> None:
    hub = staging.hub
    staging.settle()
    hub.arm(f"middle-{key}", alias=BOUNDARY, lines=["stop self"])
    execution = staging.wait_ended(staging.drill(BOUNDARY))
    assert_ended_well(execution)
    paused = execution.attempts.get(key=key, number=1)
    assert paused.state == StepState.INTERRUPTED
    before = _everything(execution.pk)
    wake(int(paused.worker.rpartition(":")[2]))
    clock.sleep(1.5)
    assert _everything(execution.pk) == before
    resumed_at = AuditEvent.objects.get(event="execution.resumed", subject_id=str(execution.pk)).at
    assert not Sample.objects.filter(attempt=paused, taken_at__gt=resumed_at).exists()


def _everything(execution_id: UUID) -> list[object]:
    execution = Execution.objects.get(pk=execution_id)
    return [
        list(Execution.objects.filter(pk=execution_id).values()),
        list(execution.attempts.values()),
        list(execution.samples.values_list("pk", flat=True)),
        list(PolicyRevision.objects.filter(policy=execution.policy).values_list("pk", flat=True)),
        AuditEvent.objects.filter(subject_id=str(execution_id)).count(),
    ]


def test_execution_that_was_published_and_whose_message_was_lost_is_run(staging: Staging) -> None:
    hub = staging.hub
    hub.hold(hub.worker)
    try:
        drill = staging.drill()
        clock.sleep(0.3)
        hub.wipe_broker()
        assert_ended_well(staging.wait_ended(drill))
        assert Execution.objects.get(pk=drill).claimed_by.startswith("sweeper@")
    finally:
        hub.let_go(hub.worker)


def test_two_kills_in_one_drill_are_both_survived(staging: Staging) -> None:
    staging.settle()
    for point in ("middle-flip", "boundary-verify"):
        staging.hub.arm(point, alias=BOUNDARY, lines=["kill self"])
    execution = staging.wait_ended(staging.drill(BOUNDARY))
    assert_ended_well(execution)
    assert execution.claims == 3
