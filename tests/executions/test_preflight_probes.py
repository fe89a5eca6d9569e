"""A probe that may not be asked any more is known before anything is flipped."""

from __future__ import annotations

from typing import Any

from rollbackhub.common.verdict import Verdict
from rollbackhub.executions.domain.engine import advance_execution
from rollbackhub.executions.domain.procedures import append_procedure_version
from rollbackhub.executions.models import Execution, Finding, Procedure, StepAttempt
from rollbackhub.routing.models import PolicyRevision, RoutingPolicy
from tests.executions.conftest import FLIP, start
from tests.factories.fixtures import Cast, cast
from tests.rollbacks.conftest import ACTOR, ask, run, seed_production

__all__ = ["cast"]

PREFLIGHT: dict[str, Any] = {"key": "preflight", "title": "Look before acting", "action": "preflight", "segment": "setup"}
VERIFY: dict[str, Any] = {"key": "verify", "title": "Verify", "action": "verify", "params": {"limit_seconds": 0.1}, "segment": "verify"}
PROBE = {"kind": "probe", "key": "answer", "url": "http://gateway.example/health"}


def looked(execution: Execution) -> Verdict:
    """What the preflight said, having named the probe."""
    assert Finding.objects.filter(execution=execution, subject="probe answer", found__startswith="RollbackHub may not call gateway.example").exists()
    attempt = StepAttempt.objects.get(execution=execution, key="preflight")
    assert "probe answer: expected an address that RollbackHub may call, found RollbackHub may not call gateway.example." in attempt.message
    return Verdict(attempt.verdict)


def probed(policy: RoutingPolicy) -> RoutingPolicy:
    policy.artefact.checks = [PROBE]
    policy.artefact.save()
    return policy


def test_drill_stops_before_the_flip(policy: RoutingPolicy) -> None:
    execution = start(probed(policy), PREFLIGHT, FLIP, VERIFY)
    advance_execution(execution_id=execution.pk, worker="worker-1")
    assert looked(execution) == Verdict.FAILED
    assert PolicyRevision.objects.filter(policy=policy).count() == 1


def test_rollback_in_production_is_told_and_goes_on(cast: Cast) -> None:
    policy = probed(seed_production())
    append_procedure_version(procedure=Procedure.objects.get(change_type="model", connector=""), steps=[PREFLIGHT, FLIP, VERIFY], actor=ACTOR)
    run(ask(policy, account=cast.on_call))
    assert looked(Execution.objects.get()) == Verdict.PASSED
    assert PolicyRevision.objects.filter(policy=policy).count() == 2
