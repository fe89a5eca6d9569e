"""All five change types go back on the lab's real systems, by the page's own drill: MLflow, HAProxy, Git with a deployer, a Delta table with an index."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from django.test import Client

from drills.domain.transitions import start_drill
from rollbackhub.accounts.enums import Role
from rollbackhub.common import clock
from rollbackhub.common.config import LAB_PORTS
from rollbackhub.common.verdict import Verdict
from rollbackhub.executions.domain.deliver import deliver_due
from rollbackhub.executions.domain.engine import advance_execution
from rollbackhub.executions.enums import ExecutionState, FindingCode
from rollbackhub.executions.models import Execution, ProcedureVersion, Sample
from rollbackhub.lab.domain.seed import ACTOR, seed_lab
from rollbackhub.lab.parts.mlflow import MlflowPart
from rollbackhub.lab.world import LabWorld
from rollbackhub.readiness.domain.preflight import claim_run, make_runs, run_preflight
from rollbackhub.readiness.models import PreflightFinding
from rollbackhub.registry.models import Connection
from rollbackhub.routing.models import Delivery, RoutingPolicy
from tests import leaks
from tests.factories.accounts import UserFactory
from tests.lab.worlds import eventually
from tests.ports import free_port

CACHE_SECONDS = 6
"""Instead of the 60 s of MLflow's own client, so that the test is quick."""

TYPES = {"support-tone": "prompt", "fast-model": "model", "support-agent": "agent_code", "support-evals": "eval_set", "support-articles": "dataset"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabWorld]:
    """The lab's staging with every part; there is no hub, so its gateway has no routes."""
    made = LabWorld(
        hub_url="http://127.0.0.1:9",
        base_port=free_port(size=LAB_PORTS),
        directory=tmp_path_factory.mktemp("lab"),
        environments=("staging",),
        requests_per_second=100,
        parts=("git", "delta", "haproxy", "mlflow"),
    )
    assert made.missing_parts == {}
    with made:
        leaks.watch(made.signing_file.read_text().strip())
        made.wait_ready(timeout_seconds=60)
        mlflow = next(part for part in made.parts if isinstance(part, MlflowPart))

        def has_prompt() -> bool:
            made.follow_parts()
            return mlflow.seeded

        eventually(has_prompt, within=120, what="MLflow")
        yield made


@pytest.fixture
def seeded(world: LabWorld, db: None, settings: Any) -> LabWorld:
    """The registry knows the lab as it stands, and everything is delivered."""
    # Calls of a mechanism have a third of the lease, and MLflow takes its time on a busy machine.
    settings.CONFIG = settings.CONFIG.model_copy(update={"lease_seconds": 15})
    seed_lab(world)
    mlflow = Connection.objects.get(connector="mlflow")
    Connection.objects.filter(pk=mlflow.pk).update(settings={**mlflow.settings, "client_cache_seconds": CACHE_SECONDS})

    def delivered() -> bool:
        Delivery.objects.update(due_at=clock.now())
        deliver_due()
        return Delivery.objects.exclude(number=0).count() == len(TYPES)

    eventually(delivered, within=60, what="everything delivered")
    return world


def policy_of(alias: str) -> RoutingPolicy:
    return RoutingPolicy.objects.select_related("environment", "artefact", "connection").get(alias=alias)


def drill(alias: str) -> Execution:
    """Run it here, as a worker would."""
    started = start_drill(policy=policy_of(alias), actor=ACTOR, user=None)
    advance_execution(execution_id=started.execution_id, worker="test")
    return Execution.objects.get(pk=started.execution_id)


def seconds(execution: Execution, first: str, last: str) -> float:
    return float((getattr(execution, last) - getattr(execution, first)).total_seconds())


def findings() -> list[tuple[str, str]]:
    make_runs()
    claim = claim_run(environment_id=policy_of("support-tone").environment_id)
    assert claim is not None
    assert run_preflight(claim)
    rows = PreflightFinding.objects.filter(closed_at=None, policy__isnull=False).select_related("policy")
    return sorted((finding.policy.alias, finding.code) for finding in rows if finding.policy and finding.policy.connection_id)


def test_five_drills_pass_and_stand_against_five_targets_on_one_chart(seeded: LabWorld, client: Client) -> None:
    ran = {alias: drill(alias) for alias in TYPES}
    assert {alias: (found.state, found.verdict) for alias, found in ran.items()} == dict.fromkeys(TYPES, (ExecutionState.FINISHED, Verdict.PASSED)), {
        alias: found.outcome for alias, found in ran.items()
    }
    assert {alias: found.change_type for alias, found in ran.items()} == TYPES
    for alias, found in ran.items():
        assert found.rollback_seconds is not None, alias
        assert found.target_seconds is not None, alias
        assert found.rollback_seconds < found.target_seconds, alias
    assert seconds(ran["support-tone"], "executed_at", "propagated_at") >= CACHE_SECONDS, "what MLflow's clients may still hold is waited out"
    assert findings() == [], "everything was put back"
    client.force_login(UserFactory(roles=[Role.PLATFORM_LEAD]))
    page = client.get("/drills/").content.decode()
    figure = json.loads(re.search(r'<script[^>]*type="application/json"[^>]*>(.*?)</script>', page, re.S)[1].replace("\\u003C", "<"))  # type: ignore[index]
    drawn = json.dumps(figure)
    for name in ("Prompt", "Model", "Agent code", "Eval set", "Data set"):
        assert name in drawn
    for label in ("target 5 min", "target 10 min", "target 15 min", "target 30 min"):
        assert label in drawn


def test_index_is_rebuilt_before_the_data_set_counts_as_restored_and_its_progress_is_kept(seeded: LabWorld) -> None:
    found = drill("support-articles")
    assert found.verdict == Verdict.PASSED, found.outcome
    jobs = list(Sample.objects.filter(execution=found, kind="job").order_by("id"))
    progress = [sample.value["progress"] for sample in jobs if sample.attempt.key == "job"]
    assert progress == sorted(progress)
    assert len(set(progress)) > 3
    ended = next(sample for sample in jobs if sample.value["state"] == "succeeded")
    assert found.restored_at is not None
    assert ended.taken_at <= found.restored_at
    assert search(seeded)["version"] == "support-articles-2026-11"


def search(world: LabWorld) -> Any:
    address = f"http://127.0.0.1:{world.ports.deployer}/services/support-articles-staging/search"
    return httpx.get(address, params={"q": "refund"}, trust_env=False).json()


def test_eval_set_without_its_new_baseline_is_not_restored(seeded: LabWorld) -> None:
    """The job that the procedure names does not exist there: found before anything happens."""
    policy = policy_of("support-evals")
    version = ProcedureVersion.objects.get(procedure__slug="eval-set-git")
    steps = [{**step, "params": {**step.get("params", {}), "job": "no_such_job"}} if step["action"] == "run_job" else step for step in version.steps]
    ProcedureVersion.objects.create(procedure=version.procedure, number=2, steps=steps, content_hash="x")
    before = policy.revision_number
    found = drill("support-evals")
    assert found.verdict == Verdict.FAILED
    assert found.restored_at is None
    assert list(found.findings.values_list("code", flat=True)) != []
    assert policy_of("support-evals").revision_number == before


def test_model_behind_haproxy_whose_target_is_down_is_refused_at_preflight(seeded: LabWorld) -> None:
    good = next(child for child in seeded.children if child.name == "model-claude-sonnet-4-5")
    # Stopped, not ended: the lab would start it again.
    assert good.pid is not None
    os.kill(good.pid, signal.SIGSTOP)
    try:
        eventually(lambda: findings() == [("fast-model", "target_retired")], within=30, what="the finding")
        found = drill("fast-model")
        assert found.verdict == Verdict.FAILED
        assert FindingCode.TARGET_RETIRED in found.findings.values_list("code", flat=True)
        assert policy_of("fast-model").revision_number == 1
    finally:
        os.kill(good.pid, signal.SIGCONT)
    eventually(lambda: findings() == [], within=30, what="no finding")
