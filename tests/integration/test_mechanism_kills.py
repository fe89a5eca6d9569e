"""Workers are killed around what a mechanism does to a real system: another one takes over, and the system was told once.

All the mechanisms are rolled back at once, and each of them is killed at the same point.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from uuid import UUID

import pytest
from pytest_django.plugin import DjangoDbBlocker

from rollbackhub.accounts.domain.actors import actor_of
from rollbackhub.audit.models import AuditEvent
from rollbackhub.common import clock
from rollbackhub.executions.enums import ExecutionState, StepState
from rollbackhub.executions.models import Execution
from rollbackhub.lab.parts.balancer import ALIAS as BALANCED
from rollbackhub.lab.parts.git import AGENT as IN_GIT
from rollbackhub.lab.parts.tables import ALIAS as TABLE
from rollbackhub.rollbacks.domain.acts import retry_rollback
from rollbackhub.rollbacks.enums import RollbackState
from rollbackhub.routing.models import Delivery, PolicyRevision
from tests import leaks
from tests.connectors.deploy_receiver import SECRET, SIGNING
from tests.connectors.mlflow_server import shared_mlflow
from tests.integration.conftest import _running
from tests.integration.hub import assert_audit_log_verifies, resume_seconds, steps_of
from tests.integration.moved import DEPLOYED, ENVIRONMENT, REGISTERED, TOLD_ONCE, Gate, Moved, PushGate, pid_of
from tests.integration.production import effect_keys, executions_of, say

ALIASES = (REGISTERED, BALANCED, IN_GIT, TABLE, DEPLOYED)
LOST = "The worker was lost while this ran"

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("mechanism_kills"), pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def moved_hub(
    django_test_environment: None, database_template: str, django_db_blocker: DjangoDbBlocker, worker_id: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Moved]:
    """The hub, the lab's systems, MLflow (the run's own, if tests of its connector run, too) and a receiver of deploy hooks."""
    base = tmp_path_factory.getbasetemp()
    with ExitStack() as stack:
        environment = stack.enter_context(pytest.MonkeyPatch.context())
        environment.setenv(SIGNING, SECRET)
        # The sweeper would run by itself what waits for a worker, several at once: who kills one of them there kills all.
        environment.setenv("WAKE_GRACE_SECONDS", "10")
        # MLflow takes its time to come up: meanwhile the hub does.
        with ThreadPoolExecutor(1) as beside:
            server = shared_mlflow((base if worker_id == "master" else base.parent) / "mlflow" / "open", auth=False)
            mlflow = beside.submit(stack.enter_context, server)
            running = _running(Moved, template=database_template, blocker=django_db_blocker, worker_id=worker_id, folders=tmp_path_factory, concurrency=8)
            moved = stack.enter_context(running)
        leaks.watch(moved.world.signing_file.read_text().strip())
        moved.begin(mlflow=mlflow.result(), folder=tmp_path_factory.mktemp("receiver"), stack=stack)
        yield moved
        assert_audit_log_verifies(moved.hub)


@pytest.fixture
def moved(moved_hub: Moved) -> Moved:
    """Everything at the bad version."""
    moved_hub.begin_again()
    return moved_hub


class Before:
    """How the systems stood before the rollbacks; what each of them was told since is counted by the system itself, or by a relay before it."""

    def __init__(self, moved: Moved) -> None:
        self._moved = moved
        self._branch, self._table = moved.branch(), moved.table.open().version()
        self._deployments = {service: moved.receiver.deployments(service) for service in (DEPLOYED, *TOLD_ONCE)}
        self._changes = len(moved.mlflow.changes(moved.model))
        moved.to_balancer.commands.clear()

    def assert_told_once(self, executions: dict[str, Execution]) -> None:
        """The system of each of these aliases was told once, and says who and why where it has a place for it."""
        looks = {REGISTERED: self._mlflow, BALANCED: self._balancer, IN_GIT: self._git, TABLE: self._delta, DEPLOYED: self._receiver}
        for alias, execution in executions.items():
            looks[alias](execution)

    def _mlflow(self, execution: Execution) -> None:
        assert self._moved.mlflow.alias(self._moved.model, ENVIRONMENT) == "1"

    def _balancer(self, execution: Execution) -> None:
        assert self._moved.balance() == {"good": 100, "tested": 0}
        assert sorted(self._moved.to_balancer.commands) == ["good 100", "tested 0"]

    def _git(self, execution: Execution) -> None:
        (commit,) = self._moved.commits_since(self._branch)
        said = self._moved.message(commit)
        assert f"RollbackHub-Key: {execution.pk}:flip" in said
        assert execution.requested_by_label in said
        assert self._moved.agent() == f"{IN_GIT}-v7"

    def _delta(self, execution: Execution) -> None:
        table = self._moved.table
        assert table.open().version() == self._table + 1
        (restore,) = table.open().history(1)
        assert restore["operation"] == "RESTORE"
        assert restore["rollbackhub.key"] == f"{execution.pk}:flip"
        assert execution.requested_by_label in restore["rollbackhub.reason"]
        assert len(table.rows()) == 400

    def _receiver(self, execution: Execution) -> None:
        status = self._moved.receiver.status(DEPLOYED)
        assert self.deployments(DEPLOYED) == 1
        assert (status["version"], status["deployment"]) == ("v1", f"{execution.pk}:flip")

    def changes_of_alias(self) -> list[int]:
        """The versions that MLflow's alias was really pointed to since."""
        return self._moved.mlflow.changes(self._moved.model)[self._changes :]

    def deployments(self, service: str) -> int:
        """The deployments that the receiver began since."""
        return self._moved.receiver.deployments(service) - self._deployments[service]


def start(moved: Moved, *aliases: str) -> dict[str, UUID]:
    """Roll these back, each by itself; the rollback of each alias."""
    return {alias: moved.go_back(alias) for alias in aliases}


def wait_verified(moved: Moved, rollbacks: dict[str, UUID]) -> dict[str, Execution]:
    """Wait until all are restored and verified; the one execution of each."""
    found = {}
    for alias, rollback_id in rollbacks.items():
        rollback = moved.wait_for(rollback_id, timeout_seconds=90)
        assert rollback.verified_at is not None
        (found[alias],) = executions_of(rollback_id)
    return found


def assert_taken_up_again(execution: Execution, *, key: str) -> None:
    """Attempts and audit say that a step was interrupted and another process went on; every step is done once, with one revision for the flip."""
    steps = steps_of(execution)
    done = [attempt.key for attempt in execution.attempts.filter(state=StepState.DONE)]
    assert done == [step["key"] for step in execution.plan["steps"] if not step.get("undo")], steps
    attempts = list(execution.attempts.filter(key=key).order_by("number"))
    assert [attempt.state for attempt in attempts] == [StepState.INTERRUPTED, StepState.DONE], steps
    first, second = attempts
    assert first.message.startswith(LOST)
    assert pid_of(first) != pid_of(second)
    assert execution.attempts.count() == len(done) + 1, steps
    events = AuditEvent.objects.filter(subject_id=str(execution.pk), event__in=("execution.started", "execution.resumed")).order_by("id")
    assert [(event.event, event.data["worker"]) for event in events] == [("execution.started", first.worker), ("execution.resumed", second.worker)]
    assert effect_keys(execution) == ["flip"]
    revision = PolicyRevision.objects.get(effect_key=f"{execution.pk}:flip")
    assert Delivery.objects.get(policy=execution.policy).number == revision.number


@pytest.mark.parametrize(("point", "key"), [("applying-flip", "flip"), ("middle-flip", "flip"), ("middle-propagate", "propagate")])
def test_rollback_killed_around_what_its_mechanism_does_has_it_once(moved: Moved, point: str, key: str) -> None:
    """Right before the system is told, right after, and while it is waited for."""
    before = Before(moved)
    for alias in ALIASES:
        moved.hub.arm(point, alias=alias, lines=["kill self"])
    executions = wait_verified(moved, start(moved, *ALIASES))
    for alias, execution in executions.items():
        assert_taken_up_again(execution, key=key)
        # How soon is held in test_kills.py and test_rollback_kills.py, where the machine is less busy.
        seconds = resume_seconds(moved.hub, point, alias, execution)
        say(f"{point}, {alias}: resumed after {seconds:.2f} s, restored after {execution.rollback_seconds:.2f} s")
        told = execution.attempts.get(key="flip", state=StepState.DONE)
        # Killed after it, the step finds at its second try that the system stands so.
        assert told.result["changed"] is (point != "middle-flip"), told.message
    before.assert_told_once(executions)
    assert before.changes_of_alias() == [1]


def test_message_of_a_killed_worker_that_arrives_with_its_successors_has_one_effect(moved: Moved, tmp_path: Path) -> None:
    """What the killed worker had sent already arrives when the next one sends the same; of two weights one was set."""
    before = Before(moved)
    to_mlflow, to_receiver, pushes = Gate(), Gate(), PushGate(moved.repository, tmp_path / "gate")
    weights: list[str] = []

    def hold_alias(method: str, path: str) -> str:
        if method == "POST" and path.endswith("/registered-models/alias"):
            to_mlflow.pass_through()
        return "pass"

    def hold_deployment(method: str, path: str) -> str:
        if method == "POST":
            to_receiver.pass_through()
        return "pass"

    def lose_second(command: str) -> bool:
        weights.append(command)
        return len(weights) == 2

    killed: set[str] = set()
    gates: dict[str, Gate] = {REGISTERED: to_mlflow, DEPLOYED: to_receiver, IN_GIT: pushes}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(moved.to_mlflow, "fault", hold_alias)
        patch.setattr(moved.to_receiver, "fault", hold_deployment)
        patch.setattr(moved.to_balancer, "swallow", lose_second)
        rollbacks = start(moved, *gates, BALANCED)
        executions = {alias: executions_of(rollback)[0].pk for alias, rollback in rollbacks.items()}
        opened: set[str] = set()
        deadline = clock.monotonic() + 60
        while len(killed) < len(rollbacks) or len(opened) < len(gates):
            assert clock.monotonic() < deadline, (killed, opened, moved.say_where(executions))
            sent = {alias: gate.arrived for alias, gate in gates.items()} | {BALANCED: int(len(weights) >= 2)}
            for alias, arrived in sent.items():
                if arrived == 1 and alias not in killed:
                    if alias == BALANCED:
                        assert moved.balance() == {"good": 100, "tested": 10}
                    moved.kill_worker_of(executions[alias])
                    killed.add(alias)
                elif arrived == 2 and alias not in opened:
                    gates[alias].open()
                    opened.add(alias)
            clock.sleep(0.02)
        ended = wait_verified(moved, rollbacks)
    for execution in ended.values():
        assert_taken_up_again(execution, key="flip")
    # Both said the same to MLflow, which keeps no keys: what it was pointed to is what was wanted.
    assert set(before.changes_of_alias()) == {1}
    before.assert_told_once(ended)


def test_hook_that_honours_no_keys_is_not_told_again_before_a_person_has_looked(moved: Moved) -> None:
    """Whether the killed worker had told it, nobody but the receiver knows."""
    before = Before(moved)
    untold, told = TOLD_ONCE
    moved.hub.arm("applying-flip", alias=untold, lines=["kill self"])
    moved.hub.arm("middle-flip", alias=told, lines=["kill self"])
    rollbacks = start(moved, untold, told)
    for rollback_id in rollbacks.values():
        rollback = moved.wait_for(rollback_id, RollbackState.NEEDS_HUMAN)
        (execution,) = executions_of(rollback_id)
        assert execution.state == ExecutionState.NEEDS_HUMAN
        assert [attempt.state for attempt in execution.attempts.filter(key="flip")] == [StepState.UNKNOWN]
        assert "may or may not have happened" in rollback.outcome
    assert {service: before.deployments(service) for service in TOLD_ONCE} == {untold: 0, told: 1}
    for rollback_id in rollbacks.values():
        retry_rollback(rollback_id=rollback_id, account=moved.cast.lead, actor=actor_of(moved.cast.lead))
    for service, rollback_id in rollbacks.items():
        moved.wait_for(rollback_id)
        assert before.deployments(service) == 1
        assert moved.receiver.status(service)["version"] == "v1"
