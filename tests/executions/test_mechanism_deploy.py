"""A deployment that fails for good ends its step at once: against the lab's real deployer, which is killed in the middle."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from rollbackhub.accounts.models import Team
from rollbackhub.common.verdict import Verdict
from rollbackhub.executions.domain import owners
from rollbackhub.executions.domain.deliver import deliver_due
from rollbackhub.executions.domain.engine import advance_execution
from rollbackhub.executions.domain.owners import ExecutionOwner
from rollbackhub.executions.domain.plan import build_plan
from rollbackhub.executions.domain.transitions import retry_execution, start_execution
from rollbackhub.executions.enums import ExecutionKind, ExecutionState, FindingCode, StepState
from rollbackhub.executions.models import Execution, Sample
from rollbackhub.registry.models import Artefact, Connection, Environment, Version
from rollbackhub.routing.domain.transitions import create_policy
from rollbackhub.routing.rules import CandidateSpec
from tests.connectors.deploy_receiver import SECRET, SIGNING, Receiver, running_receiver
from tests.routing.conftest import ACTOR

SERVICE = "agent"
LAGS = "reports"
"""Uses the version, too, and stays at v2."""
WAITS = ("await_observed", "await_consumers", "verify_served")
LIMIT_SECONDS = 60.0
"""Of each step: a test that waited it out would be seen."""
SOON_SECONDS = 20.0


class World:
    """Agent code in staging, deployed by the lab's deployer: v2 runs, v1 is what to go back to; it is what says which version it runs, too."""

    def __init__(self, receiver: Receiver) -> None:
        self.receiver = receiver
        team, _ = Team.objects.get_or_create(slug="platform", defaults={"name": "Platform"})
        artefact = Artefact.objects.create(slug=SERVICE, name="Agent", change_type="agent_code", team=team)
        for label in ("v1", "v2"):
            Version.objects.create(artefact=artefact, label=label, digest=f"sha256:{label}", uri=f"oci://registry/agent:{label}")
        environment = Environment.objects.create(slug="staging", name="Staging", kind="staging")
        settings = {
            "deploy_url": f"{receiver.address}/deploy",
            "status_url": f"{receiver.address}/services/{{service}}",
            "signing_ref": f"env:{SIGNING}",
        }
        self.policy = create_policy(
            environment=environment,
            alias="support-agent",
            artefact=artefact,
            candidates=[CandidateSpec("agent:v2", "v2", 100), CandidateSpec("agent:v1", "v1", 0)],
            actor=ACTOR,
            reason="seed",
            connection=Connection.objects.create(environment=environment, connector="deploy", settings=settings),
            target={"service": SERVICE, "consumers": [{"url": f"{receiver.address}/services/{SERVICE}"}]},
        )

    def start(self, *, without: Sequence[str] = (), consumer: str = SERVICE) -> Execution:
        """A rollback whose steps wait for LIMIT_SECONDS; `without`: steps that its procedure does not have; `consumer`: who is asked."""
        plan = build_plan(policy=self.policy, kind=ExecutionKind.ROLLBACK, bad_version=Version.objects.get(label="v2"))
        steps = [step for step in plan.content["steps"] if step["key"] not in without]
        for step in steps:
            if step["action"] in WAITS:
                step["params"] = {**step["params"], "limit_seconds": LIMIT_SECONDS, "interval_seconds": 0.05}
        plan.content["steps"] = steps
        plan.content["mechanism"]["target"]["consumers"] = [{"url": f"{self.receiver.address}/services/{consumer}"}]
        return start_execution(kind=ExecutionKind.ROLLBACK, policy=self.policy, plan=plan, actor=ACTOR, user=None)


@pytest.fixture
def world(db: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setenv(SIGNING, SECRET)
    # Who may roll back is another test's matter.
    monkeypatch.setitem(owners._owners, ExecutionKind.ROLLBACK, ExecutionOwner())
    with running_receiver(tmp_path, "--deploy-seconds=30", f"--service={SERVICE}=v2,v1", f"--service={LAGS}=v2,v1") as receiver:
        made = World(receiver)
        assert receiver.status(LAGS)["version"] == "v2"
        assert deliver_due() == 1
        yield made


@contextmanager
def killed_in_the_middle(receiver: Receiver) -> Iterator[None]:
    """While this is open: as soon as the deployment of v1 runs, the deployer is killed and started anew, as a crash does it."""
    errors: list[BaseException] = []

    def kill() -> None:
        try:
            Receiver.wait(lambda: receiver.status(SERVICE)["version"] == "v1")
            time.sleep(0.5)
            receiver.kill()
            receiver.options[0] = "--deploy-seconds=0.2"
            receiver.start()
        except BaseException as error:
            errors.append(error)
            raise

    thread = threading.Thread(target=kill)
    thread.start()
    yield
    thread.join(20)
    assert errors == []


def timed(act: Callable[[], Any]) -> float:
    began = time.monotonic()
    act()
    return time.monotonic() - began


@pytest.mark.parametrize(
    ("action", "without", "consumer"),
    [("await_observed", (), SERVICE), ("await_consumers", ("propagate",), LAGS), ("verify_served", ("propagate", "drain"), SERVICE)],
)
def test_deployment_that_fails_ends_the_step_that_waits_for_it_at_once(action: str, without: Sequence[str], consumer: str, world: World) -> None:
    execution = world.start(without=without, consumer=consumer)
    with killed_in_the_middle(world.receiver):
        took = timed(lambda: advance_execution(execution_id=execution.pk, worker="worker-1"))
    assert took < SOON_SECONDS
    execution.refresh_from_db()
    assert execution.state == ExecutionState.NEEDS_HUMAN
    assert execution.restored_at is None
    stopped = execution.attempts.get(state=StepState.FAILED)
    assert stopped.action == action
    finding = execution.findings.get()
    assert (finding.code, finding.subject) == (FindingCode.NOT_RESTORED, "deploy")
    assert finding.found == "v1, and the deployment failed: The deployer was restarted meanwhile."
    assert "It will not get there by itself." in stopped.message
    kept = Sample.objects.filter(execution=execution, kind="observed").order_by("id").last()
    assert kept is not None
    assert kept.value["failed"] == "The deployer was restarted meanwhile."


def test_step_that_stopped_goes_on_once_it_was_deployed_there_again(world: World) -> None:
    execution = world.start()
    with killed_in_the_middle(world.receiver):
        advance_execution(execution_id=execution.pk, worker="worker-1")
    world.receiver.deploy(SERVICE, "v1", key="by-hand")
    retry_execution(execution_id=execution.pk, actor=ACTOR)
    advance_execution(execution_id=execution.pk, worker="worker-1")
    execution.refresh_from_db()
    assert (execution.state, execution.verdict) == (ExecutionState.FINISHED, Verdict.PASSED), execution.outcome


def test_failed_deployment_of_the_bad_version_is_no_reason_to_stop_going_back(world: World) -> None:
    receiver = world.receiver
    assert receiver.post("/deploy", {"type": "deploy", "service": SERVICE, "version": {"label": "v2"}}, key="bad")[0] == 202
    receiver.kill()
    receiver.options[0] = "--deploy-seconds=0.2"
    receiver.start()
    assert receiver.status(SERVICE)["state"] == "failed"
    execution = world.start()
    advance_execution(execution_id=execution.pk, worker="worker-1")
    execution.refresh_from_db()
    assert (execution.state, execution.verdict) == (ExecutionState.FINISHED, Verdict.PASSED), execution.outcome
